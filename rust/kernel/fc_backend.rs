// SPDX-License-Identifier: GPL-2.0

//! Fast-commit backends of ext4.
//!
//! A backend implements [`Backend`] for the state of a mount and registers it
//! with a [`Registration`]. [`OperationsVTable`] holds the `extern "C"`
//! functions that ext4 and jbd2 call.
//!
//! C header: `fs/ext4/fc_backend.h`

use super::{
    buffer_head::{BorrowedBlock, DramBlock},
    jbd2::{Journal, ReplayCallback},
    super_block::SuperBlock,
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
};
use kernel::{
    error::{from_result, to_result},
    ffi::{c_int, c_uint, c_void},
    prelude::*,
    types::Opaque,
};

/// How the mount looks that asks for a backend: `EXT4_FC_BACKEND_*`.
#[derive(Clone, Copy)]
pub(crate) struct AttachFlags(c_uint);

impl AttachFlags {
    /// New commits are wanted, not only replay.
    pub(crate) fn wants_log(self) -> bool {
        self.0 & bindings::EXT4_FC_BACKEND_LOG != 0
    }

    /// Mounted with `dax=never`.
    pub(crate) fn dax_never(self) -> bool {
        self.0 & bindings::EXT4_FC_BACKEND_DAX_NEVER != 0
    }

    /// The feature bit is left alone.
    pub(crate) fn is_force(self) -> bool {
        self.0 & bindings::EXT4_FC_BACKEND_FORCE != 0
    }
}

/// What a commit waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Only for the CPU.
    ForNothing,
    /// For a device to flush, so that commits are worth sharing.
    ForFlush,
}

/// What jbd2 does with the blocks it hands to a replay callback.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The log is checked, nothing is changed.
    Scan,
    /// The log is applied.
    Replay,
}

/// What a replay callback wants of jbd2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next block, please.
    Continue,
    /// No further block of this pass.
    Stop,
}

impl Next {
    fn from_raw(ret: c_int) -> Result<Self> {
        to_result(ret)?;
        Ok(if ret == bindings::JBD2_FC_REPLAY_STOP as c_int {
            Next::Stop
        } else {
            Next::Continue
        })
    }

    fn into_raw(self) -> c_int {
        match self {
            Next::Continue => bindings::JBD2_FC_REPLAY_CONTINUE as c_int,
            Next::Stop => bindings::JBD2_FC_REPLAY_STOP as c_int,
        }
    }
}

/// A recovery that jbd2 is in the middle of.
///
/// # Invariants
///
/// Exists only while jbd2 runs the replay callback of `journal`; `original` is
/// the callback that stood there before.
pub(crate) struct Recovery {
    journal: Journal,
    original: ReplayCallback,
    raw_pass: bindings::passtype,
    /// The pass that jbd2 is in.
    pub(crate) pass: Pass,
    /// The transaction whose fast commits may be replayed.
    pub(crate) expected_tid: u32,
}

impl Recovery {
    /// Lets ext4 have the block that jbd2 read.
    pub(crate) fn pass_on(&self, block: &BorrowedBlock, off: c_int) -> Result<Next> {
        self.call(block.as_ptr(), off)
    }

    /// Lets ext4 have a block of ours as block `off` of the area.
    pub(crate) fn feed(&self, block: &mut DramBlock, off: c_int) -> Result<Next> {
        self.call(block.as_ptr(), off)
    }

    /// Before the scan: the log is of this version of the writer, which logs whoever loses a
    /// name and is not gone behind it. Replay leaves link counts to that.
    pub(crate) fn log_is_exact(&self, sb: SuperBlock) {
        // SAFETY: By the type invariant of `SuperBlock` the filesystem is there; it is the
        // one whose journal is being recovered, and nobody else looks at its state of replay.
        unsafe { bindings::ext4_fc_backend_exact(sb.as_ptr()) }
    }

    fn call(&self, block: *mut bindings::buffer_head, off: c_int) -> Result<Next> {
        // SAFETY: By the type invariants jbd2 is recovering this journal and
        // `original` is ext4's callback for it; the callers pass a valid buffer
        // head with a whole journal block of data.
        Next::from_raw(unsafe {
            (self.original)(
                self.journal.as_ptr(),
                block,
                self.raw_pass,
                off,
                self.expected_tid,
            )
        })
    }
}

/// The state of one mount, and what ext4 and jbd2 ask of it.
///
/// [`Self::reserve`], [`Self::commit`] and [`Self::abort`] are called between the
/// start and the end of a fast commit, of which jbd2 runs one at a time.
pub(crate) trait Backend: Sized + Send + Sync + 'static {
    /// The name ext4 looks the backend up by.
    const NAME: &'static CStr;

    /// Prepares a mount before its journal is loaded, or says in the log why not.
    fn attach(sb: SuperBlock, journal: Journal, flags: AttachFlags) -> Result<Pin<KBox<Self>>>;

    /// Says in the log that there is no memory for a mount's state. Returns what
    /// ext4 is told.
    fn no_memory(sb: SuperBlock, flags: AttachFlags) -> Error;

    /// The area is known: from now on commits are logged. Or says in the log why
    /// not.
    fn start(&self) -> Result<Waits>;

    /// Bytes for the next TLV, written by the caller before its next call. `None`:
    /// the fast commit is given up.
    fn reserve(&self, tid: u32, len: usize) -> Option<NonNull<u8>>;

    /// Makes what was reserved since the last commit durable, and before it the
    /// file data that it describes, or that an fsync owes on another device.
    fn commit(&self, tid: u32, owed: bool) -> Result;

    /// The fast commit is given up: what was reserved is not to be committed.
    fn abort(&self);

    /// jbd2 has read block `off` of the area.
    fn replay(&self, recovery: &Recovery, block: &BorrowedBlock, off: c_int) -> Result<Next>;
}

/// What stands behind ext4's private pointer of a mount.
struct Instance<T> {
    mount: Pin<KBox<T>>,
    journal: Journal,
    replay: ReplayCallback,
}

/// The functions that ext4 and jbd2 call, for a backend `T`.
struct OperationsVTable<T>(PhantomData<T>);

impl<T: Backend> OperationsVTable<T> {
    /// # Safety
    ///
    /// `data` must come from [`Self::attach_callback`] and not have been given
    /// to [`Self::detach_callback`] yet, nor be within the returned lifetime.
    unsafe fn instance<'a>(data: *mut c_void) -> &'a Instance<T> {
        // SAFETY: By the safety requirements it is a live `KBox<Instance<T>>`,
        // of which only shared references are made.
        unsafe { &*data.cast::<Instance<T>>() }
    }

    /// The instance of the mount that a journal belongs to.
    ///
    /// # Safety
    ///
    /// Only for callbacks that this file has installed in `journal`: ext4 sets
    /// `j_private` to its superblock, and detaches the backend after the journal
    /// is gone.
    unsafe fn instance_of<'a>(journal: *mut bindings::journal_t) -> Option<&'a Instance<T>> {
        // SAFETY: The journal is valid during its own callback.
        let sb = unsafe { (*journal).j_private }.cast::<bindings::super_block>();
        // SAFETY: `j_private` of ext4's journals is the superblock.
        let data = unsafe { bindings::ext4_fc_backend_priv(sb) };
        // SAFETY: ext4 stores there what `attach_callback()` made, and has not
        // detached it, by the safety requirements.
        (!data.is_null()).then(|| unsafe { Self::instance(data) })
    }

    /// # Safety
    ///
    /// Called by ext4 only, before `jbd2_journal_load()` or, during it, by ext4's own
    /// replay callback: `sb` and `journal` are valid until the journal is destroyed,
    /// `sb` until after the detach, and `data` is valid for a write.
    unsafe extern "C" fn attach_callback(
        sb: *mut bindings::super_block,
        journal: *mut bindings::journal_t,
        flags: c_uint,
        data: *mut *mut c_void,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements of this function.
            let sb = unsafe { SuperBlock::from_raw(NonNull::new(sb).ok_or(EINVAL)?) };
            // SAFETY: By the safety requirements of this function; `T` learns of
            // the detach, after which it is not called again.
            let journal = unsafe { Journal::from_raw(NonNull::new(journal).ok_or(EINVAL)?) };
            // SAFETY: By the safety requirements of this function nobody recovers the
            // journal, or the caller, in its replay callback.
            let replay = unsafe { journal.replay() }.ok_or(EINVAL)?;
            let flags = AttachFlags(flags);
            let room = KBox::new_uninit(GFP_KERNEL).map_err(|_| T::no_memory(sb, flags))?;
            let instance = room.write(Instance {
                mount: T::attach(sb, journal, flags)?,
                journal,
                replay,
            });
            // SAFETY: As above. ext4 keeps the module pinned until after the journal is
            // destroyed.
            unsafe { journal.set_replay(Self::replay_callback) };
            // SAFETY: `data` is valid for a write.
            unsafe { *data = KBox::into_raw(instance).cast() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by ext4 only, with `data` as attached, before the first commit; again
    /// only if it has failed.
    unsafe extern "C" fn start_callback(data: *mut c_void) -> c_int {
        // SAFETY: By the safety requirements of this function.
        let instance = unsafe { Self::instance(data) };
        from_result(|| {
            Ok(match instance.mount.start()? {
                Waits::ForNothing => 0,
                Waits::ForFlush => bindings::EXT4_FC_BACKEND_FLUSHES as c_int,
            })
        })
    }

    /// # Safety
    ///
    /// Called by ext4 only, once, with `data` as attached, after the journal is
    /// gone. Nothing uses `data` afterwards.
    unsafe extern "C" fn detach_callback(data: *mut c_void) {
        // SAFETY: `data` came from `KBox::into_raw()` and nobody uses it any more.
        drop(unsafe { KBox::from_raw(data.cast::<Instance<T>>()) });
    }

    /// # Safety
    ///
    /// Called by ext4 only, within a fast commit of a started mount. The caller
    /// writes at most `len` bytes to the result, before its next call.
    unsafe extern "C" fn reserve_callback(
        data: *mut c_void,
        tid: bindings::tid_t,
        len: c_uint,
    ) -> *mut u8 {
        // SAFETY: By the safety requirements of this function.
        let instance = unsafe { Self::instance(data) };
        match instance.mount.reserve(tid, len as usize) {
            Some(bytes) => bytes.as_ptr(),
            None => ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// As [`Self::reserve_callback`].
    unsafe extern "C" fn commit_callback(
        data: *mut c_void,
        tid: bindings::tid_t,
        owed: bool,
    ) -> c_int {
        // SAFETY: By the safety requirements of this function.
        let instance = unsafe { Self::instance(data) };
        from_result(|| instance.mount.commit(tid, owed).map(|()| 0))
    }

    /// # Safety
    ///
    /// As [`Self::reserve_callback`].
    unsafe extern "C" fn abort_callback(data: *mut c_void) {
        // SAFETY: By the safety requirements of this function.
        unsafe { Self::instance(data) }.mount.abort();
    }

    /// # Safety
    ///
    /// Called by jbd2 only, during recovery, with the journal in which it was
    /// installed and a buffer head that jbd2 has read and holds.
    unsafe extern "C" fn replay_callback(
        journal: *mut bindings::journal_t,
        bh: *mut bindings::buffer_head,
        pass: bindings::passtype,
        off: c_int,
        expected_tid: bindings::tid_t,
    ) -> c_int {
        from_result(|| {
            // SAFETY: This callback is installed in the journal that it is
            // called for.
            let instance = unsafe { Self::instance_of(journal) }.ok_or(EIO)?;
            // INVARIANT: jbd2 is in this callback until we return.
            let recovery = Recovery {
                journal: instance.journal,
                original: instance.replay,
                raw_pass: pass,
                pass: match pass {
                    bindings::passtype_PASS_SCAN => Pass::Scan,
                    _ => Pass::Replay,
                },
                expected_tid,
            };
            // SAFETY: jbd2 holds the buffer head until we return.
            let block = unsafe { BorrowedBlock::from_raw(NonNull::new(bh).ok_or(EIO)?) };
            Ok(instance.mount.replay(&recovery, &block, off)?.into_raw())
        })
    }
}

/// A backend that ext4 can find, for as long as this exists.
///
/// ext4 pins the module while a mount uses it, so that dropping this (at module
/// unload) never finds one.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: Backend> {
    #[pin]
    ops: Opaque<bindings::ext4_fc_backend_ops>,
    _backend: PhantomData<T>,
}

// SAFETY: The operations are not written to once they are registered, but for the list
// that ext4 keeps under its own lock; they belong to no thread.
unsafe impl<T: Backend> Send for Registration<T> {}
// SAFETY: As above; nothing is reachable through a shared reference.
unsafe impl<T: Backend> Sync for Registration<T> {}

impl<T: Backend> Registration<T> {
    /// Registers `T`. Fails with `EEXIST` if the name is taken.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let fill = move |slot: *mut bindings::ext4_fc_backend_ops| {
            let ops = bindings::ext4_fc_backend_ops {
                owner: module.as_ptr(),
                name: T::NAME.as_char_ptr(),
                list: bindings::list_head {
                    next: ptr::null_mut(),
                    prev: ptr::null_mut(),
                },
                attach: Some(OperationsVTable::<T>::attach_callback),
                start: Some(OperationsVTable::<T>::start_callback),
                detach: Some(OperationsVTable::<T>::detach_callback),
                reserve: Some(OperationsVTable::<T>::reserve_callback),
                commit: Some(OperationsVTable::<T>::commit_callback),
                abort: Some(OperationsVTable::<T>::abort_callback),
            };
            // SAFETY: The slot is valid for a write, by `try_ffi_init()`.
            unsafe { slot.write(ops) };
            // SAFETY: The operations stay where they are, pinned, until
            // `PinnedDrop` unregisters them.
            to_result(unsafe { bindings::ext4_fc_backend_register(slot) })
        };
        try_pin_init!(Self {
            ops <- Opaque::try_ffi_init(fill),
            _backend: PhantomData,
        })
    }
}

#[pinned_drop]
impl<T: Backend> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered in `new()`; the module is not in use any more.
        unsafe { bindings::ext4_fc_backend_unregister(self.ops.get()) };
    }
}
