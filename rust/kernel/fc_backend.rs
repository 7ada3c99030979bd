// SPDX-License-Identifier: GPL-2.0

//! Fast-commit backends of ext4.
//!
//! A backend implements [`Backend`] for the state of a mount and registers it
//! with a [`Registration`]. [`OperationsVTable`] holds the `extern "C"`
//! functions that ext4 and jbd2 call.
//!
//! C header: `fs/ext4/fc_backend.h`

use super::{
    buffer_head::{self, DramBlock},
    jbd2::{Journal, ReplayCallback},
    super_block::SuperBlock,
    zeroed,
};
use crate::bindings;
use core::{cell::UnsafeCell, marker::PhantomData, ptr};
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

    /// The journal gets no mark.
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

/// A recovery that jbd2 is in the middle of.
pub(crate) struct Recovery<'a> {
    /// The mount.
    pub(crate) sb: &'a SuperBlock,
    /// Its journal.
    pub(crate) journal: &'a Journal,
    /// The filesystem's UUID.
    pub(crate) uuid: [u8; 16],
    /// The transaction whose fast commits may be replayed.
    pub(crate) tid: u32,
}

/// What a backend makes of the fast-commit area at recovery.
pub(crate) enum Found {
    /// It has to see the next block, too.
    Unclear,
    /// Nothing of the backend's: ext4 gets the blocks as jbd2 reads them.
    NotOurs,
    /// A log, as conventional fast-commit blocks. There may be none.
    Log {
        /// The blocks, one behind the other.
        blocks: KVVec<u8>,
        /// The log is of this version of the writer, which logs each inode that loses a name
        /// and is not gone behind it. Replay leaves link counts to that.
        has_link_counts: bool,
    },
}

/// What ext4 has put into the window since the last call.
#[derive(Clone, Copy)]
pub(crate) struct Filled {
    /// Bytes of whole TLVs.
    pub(crate) bytes: usize,
    /// `EXT4_FC_BACKEND_*`: what these and the TLVs of the commit before them have.
    pub(crate) contents: u32,
}

/// The log of a mount `M`. ext4 puts TLVs into the window, calls [`Self::room`] where that is
/// too small, and ends with [`Self::commit`] or [`Self::abort`].
pub(crate) trait FastCommits<M>: Send {
    /// Where TLVs can be put until the next call of another method. May be empty.
    fn window(&mut self) -> &mut [u8];

    /// The window is to have room for `len` bytes behind what is filled. False: the fast commit
    /// is given up.
    fn room(&mut self, mount: &M, journal: &Journal, tid: u32, filled: Filled, len: usize) -> bool;

    /// Makes the TLVs since the last commit durable, and before them the file data that they
    /// describe, or that an fsync owes on another device.
    fn commit(
        &mut self,
        mount: &M,
        journal: &Journal,
        tid: u32,
        filled: Filled,
        owed: bool,
    ) -> Result;

    /// The fast commit is given up: its TLVs are not to be committed.
    fn abort(&mut self, mount: &M, tid: u32, filled: Filled);
}

/// The state of one mount, and what ext4 and jbd2 ask of it.
pub(crate) trait Backend: Sized + Send + Sync + 'static {
    /// The name ext4 looks the backend up by.
    const NAME: &'static CStr;

    /// What commits write to.
    type Log: FastCommits<Self>;

    /// Prepares a mount before its journal is loaded, or says in the log why not.
    fn attach(sb: &SuperBlock, journal: &Journal, flags: AttachFlags) -> Result<Pin<KBox<Self>>>;

    /// Says in the log that there is no memory for a mount's state. Returns what
    /// ext4 is told.
    fn no_memory(sb: &SuperBlock, flags: AttachFlags) -> Error;

    /// The area is known: from now on commits are logged. Or says in the log why
    /// not.
    fn start(
        &self,
        sb: &SuperBlock,
        journal: &Journal,
        uuid: [u8; 16],
    ) -> Result<(Self::Log, Waits)>;

    /// Reads the area before anything of it is replayed. `blocks` are its first blocks as jbd2
    /// has read them, one in the first call and one more in each that follows.
    fn read_log(&self, recovery: &Recovery<'_>, blocks: &[u8]) -> Result<Found>;
}

/// What is known of the area while jbd2 recovers the journal.
enum Area {
    /// Nothing, or what was known has been replayed.
    Unread,
    /// Its first blocks.
    Begun(KVVec<u8>),
    /// As [`Found::NotOurs`].
    NotOurs,
    /// As [`Found::Log`].
    Log(KVVec<u8>),
}

/// What stands behind ext4's private pointer of a mount. ext4 takes that for a pointer to the
/// window.
#[repr(C)]
struct Instance<T: Backend> {
    window: UnsafeCell<bindings::ext4_fc_window>,
    mount: Pin<KBox<T>>,
    /// From the mount's start on.
    log: UnsafeCell<Option<T::Log>>,
    /// What jbd2's recovery has led to so far.
    area: UnsafeCell<Area>,
    sb: *mut bindings::super_block,
    journal: *mut bindings::journal_t,
    original: ReplayCallback,
}

/// The functions that ext4 and jbd2 call, for a backend `T`.
///
/// What their `# Safety` sections ask for is ext4's part of the contract; see
/// `struct ext4_fc_backend_ops`.
struct OperationsVTable<T>(PhantomData<T>);

impl<T: Backend> OperationsVTable<T> {
    /// # Safety
    ///
    /// `data` must be a pointer that [`Self::attach_callback`] has stored, and not be given to
    /// [`Self::detach_callback`] within `'a`.
    unsafe fn instance<'a>(data: *mut c_void) -> &'a Instance<T> {
        // SAFETY: `attach_callback()` stores a `KBox<Instance<T>>` that has been turned into a
        // pointer, and by the safety requirements it is not freed within `'a`. Only shared
        // references are made of it.
        unsafe { &*data.cast::<Instance<T>>() }
    }

    /// Calls `f` with the log of a mount, its journal, and what ext4 has filled; `None` before
    /// the mount has started. The window is the log's then.
    ///
    /// # Safety
    ///
    /// `instance` must be attached and stay so, and its journal not be destroyed, during the
    /// call. No other call of this function for it may run at the same time. ext4 must have
    /// written to nothing but the window's bytes, and moved `at` within it.
    #[inline(always)]
    unsafe fn with_log<R>(
        instance: &Instance<T>,
        f: impl FnOnce(&mut T::Log, &Journal, Filled) -> R,
    ) -> Option<R> {
        // SAFETY: By the safety requirements nobody else has a reference to either.
        let (window, log) = unsafe { (&mut *instance.window.get(), &mut *instance.log.get()) };
        let log = log.as_mut()?;
        // SAFETY: A journal that has been loaded is set up, and it is valid by the safety
        // requirements.
        let journal = unsafe { Journal::from_raw(instance.journal) };
        let filled = Filled {
            bytes: window.at.addr().wrapping_sub(window.start.addr()),
            contents: window.contents,
        };
        let result = f(log, journal, filled);
        Self::show(window, log);
        Some(result)
    }

    /// Lets ext4 have the log's window.
    #[inline(always)]
    fn show(window: &mut bindings::ext4_fc_window, log: &mut T::Log) {
        let bytes = log.window().as_mut_ptr_range();
        window.start = bytes.start;
        window.at = bytes.start;
        window.end = bytes.end;
    }

    /// # Safety
    ///
    /// `sb` must point to a superblock that has been read, and stays valid until behind the
    /// detach. `journal` must point to its journal, which is set up, and stays valid until it
    /// is destroyed, which is before the detach; its `j_private` must be `sb`. It has not been
    /// loaded, or this is called in its replay callback. `data` must be valid for a write.
    unsafe extern "C" fn attach_callback(
        sb: *mut bindings::super_block,
        journal: *mut bindings::journal_t,
        flags: c_uint,
        data: *mut *mut c_void,
    ) -> c_int {
        from_result(|| {
            let flags = AttachFlags(flags);
            let (sb_ptr, journal_ptr) = (sb, journal);
            // SAFETY: By the safety requirements it is valid during this call.
            let sb = unsafe { SuperBlock::from_raw(sb_ptr) };
            // SAFETY: As above.
            let journal = unsafe { Journal::from_raw(journal_ptr) };
            // SAFETY: By the safety requirements nobody recovers the journal, or we are in its
            // replay callback.
            let original = unsafe { journal.replay() }.ok_or(EINVAL)?;
            let room = KBox::new_uninit(GFP_KERNEL).map_err(|_| T::no_memory(sb, flags))?;
            let instance = room.write(Instance {
                window: UnsafeCell::new(bindings::ext4_fc_window {
                    start: ptr::null_mut(),
                    at: ptr::null_mut(),
                    end: ptr::null_mut(),
                    contents: 0,
                }),
                mount: T::attach(sb, journal, flags)?,
                log: UnsafeCell::new(None),
                area: UnsafeCell::new(Area::Unread),
                sb: sb_ptr,
                journal: journal_ptr,
                original,
            });
            // SAFETY: As above. The callback is code of this module, which ext4 keeps from
            // being unloaded until behind the detach.
            unsafe { journal.set_replay(Self::replay_callback) };
            // SAFETY: `data` is valid for a write by the safety requirements.
            unsafe { *data = KBox::into_raw(instance).cast() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `data` must be as attached. The journal must have been loaded. No other call for `data`
    /// may run at the same time, and none may have succeeded here before. The filesystem's UUID
    /// must not be changed meanwhile.
    unsafe extern "C" fn start_callback(data: *mut c_void) -> c_int {
        // SAFETY: By the safety requirements it is attached.
        let instance = unsafe { Self::instance(data) };
        // SAFETY: Both stay valid until the detach, or until the journal is destroyed, neither
        // of which happens during this call.
        let (sb, journal) = unsafe {
            (
                SuperBlock::from_raw(instance.sb),
                Journal::from_raw(instance.journal),
            )
        };
        from_result(|| {
            // SAFETY: By the safety requirements it is not changed meanwhile.
            let (log, waits) = instance.mount.start(sb, journal, unsafe { sb.uuid() })?;
            // SAFETY: By the safety requirements nobody else uses the log or the window.
            let (window, slot) = unsafe { (&mut *instance.window.get(), &mut *instance.log.get()) };
            Self::show(window, slot.insert(log));
            Ok(match waits {
                Waits::ForNothing => 0,
                Waits::ForFlush => bindings::EXT4_FC_BACKEND_FLUSHES as c_int,
            })
        })
    }

    /// # Safety
    ///
    /// `data` must be as attached, and be used by nobody at the same time or from now on. The
    /// journal's replay callback is not called any more.
    unsafe extern "C" fn detach_callback(data: *mut c_void) {
        // SAFETY: `attach_callback()` got `data` from `KBox::into_raw()`, and by the safety
        // requirements this is its last use.
        drop(unsafe { KBox::from_raw(data.cast::<Instance<T>>()) });
    }

    /// # Safety
    ///
    /// `data` must be as attached. The journal must not be destroyed meanwhile. No other call
    /// for `data` may run at the same time. Since the last one the caller must have written to
    /// nothing of the window but its bytes, `contents`, and `at`, which is from `start` to `end`.
    unsafe extern "C" fn room_callback(
        data: *mut c_void,
        tid: bindings::tid_t,
        len: c_uint,
    ) -> bool {
        // SAFETY: By the safety requirements it is attached.
        let instance = unsafe { Self::instance(data) };
        let room = |log: &mut T::Log, journal: &Journal, filled| {
            log.room(&instance.mount, journal, tid, filled, len as usize)
                && log.window().len() >= len as usize
        };
        // SAFETY: By the safety requirements.
        unsafe { Self::with_log(instance, room) }.unwrap_or(false)
    }

    /// # Safety
    ///
    /// As [`Self::room_callback`].
    unsafe extern "C" fn commit_callback(
        data: *mut c_void,
        tid: bindings::tid_t,
        owed: bool,
    ) -> c_int {
        // SAFETY: By the safety requirements it is attached.
        let instance = unsafe { Self::instance(data) };
        let commit = |log: &mut T::Log, journal: &Journal, filled| {
            log.commit(&instance.mount, journal, tid, filled, owed)
        };
        // SAFETY: By the safety requirements.
        let done = unsafe { Self::with_log(instance, commit) };
        // SAFETY: As above; the reference that `with_log()` had is gone.
        unsafe { (*instance.window.get()).contents = 0 };
        match done {
            Some(Ok(())) => 0,
            Some(Err(error)) => error.to_errno(),
            None => EINVAL.to_errno(),
        }
    }

    /// # Safety
    ///
    /// As [`Self::room_callback`].
    unsafe extern "C" fn abort_callback(data: *mut c_void, tid: bindings::tid_t) {
        // SAFETY: By the safety requirements it is attached.
        let instance = unsafe { Self::instance(data) };
        let abort = |log: &mut T::Log, _: &Journal, filled| {
            log.abort(&instance.mount, tid, filled);
        };
        // SAFETY: By the safety requirements.
        unsafe { Self::with_log(instance, abort) };
        // SAFETY: By the safety requirements nobody else has a reference to it.
        unsafe { (*instance.window.get()).contents = 0 };
    }

    /// # Safety
    ///
    /// This must be the replay callback of `journal` because [`Self::attach_callback`] has made
    /// it so, and the mount not be detached. jbd2 recovers the journal in this thread. `bh` must
    /// be a buffer head of the journal's block `off` of the area, which has been read and is
    /// held.
    unsafe extern "C" fn replay_callback(
        journal: *mut bindings::journal_t,
        bh: *mut bindings::buffer_head,
        pass: bindings::passtype,
        off: c_int,
        expected_tid: bindings::tid_t,
    ) -> c_int {
        // SAFETY: By the safety requirements the journal is valid, and `j_private` is the
        // superblock.
        let data = unsafe { bindings::ext4_fc_backend_priv((*journal).j_private.cast()) };
        if data.is_null() {
            return EIO.to_errno();
        }
        // SAFETY: ext4 has what `attach_callback()` stored, until the detach.
        let instance = unsafe { Self::instance(data) };
        // SAFETY: jbd2 calls this in one thread, one block after the other, and ext4's own
        // callback does not call it.
        let area = unsafe { &mut *instance.area.get() };
        let scan = pass == bindings::passtype_PASS_SCAN;
        if scan && off == 0 {
            *area = Area::Begun(KVVec::new());
        }
        let next = from_result(|| {
            if scan {
                // SAFETY: jbd2 has read `bh` and holds it.
                unsafe { Self::look_at(instance, area, bh, off, expected_tid) }?;
            }
            match area {
                Area::Begun(_) if scan => Ok(bindings::JBD2_FC_REPLAY_CONTINUE as c_int),
                Area::NotOurs => {
                    // SAFETY: It is ext4's callback for this journal, and gets what jbd2 would
                    // have given it.
                    Ok(unsafe { (instance.original)(journal, bh, pass, off, expected_tid) })
                }
                // SAFETY: jbd2 is in this callback.
                Area::Log(blocks) => unsafe { Self::feed(instance, blocks, pass, expected_tid) },
                _ => Err(EIO),
            }
        });
        // Of a log that has been replayed nothing is to stay in memory for as long as the
        // mount does.
        if next < 0 || !scan && next == bindings::JBD2_FC_REPLAY_STOP as c_int {
            *area = Area::Unread;
        }
        next
    }

    /// Shows the backend one more block, unless it knows enough.
    ///
    /// # Safety
    ///
    /// jbd2 recovers the journal in this thread, and holds `bh`, block `off` of the area, which
    /// it has read.
    unsafe fn look_at(
        instance: &Instance<T>,
        area: &mut Area,
        bh: *mut bindings::buffer_head,
        off: c_int,
        tid: u32,
    ) -> Result {
        let Area::Begun(blocks) = area else {
            return Ok(());
        };
        // SAFETY: Both are valid during recovery.
        let (sb, journal) = unsafe {
            (
                SuperBlock::from_raw(instance.sb),
                Journal::from_raw(instance.journal),
            )
        };
        // SAFETY: By the safety requirements it has been read and is held.
        unsafe { buffer_head::copy_to(bh, blocks) }?;
        let recovery = Recovery {
            sb,
            journal,
            // SAFETY: The UUID can be changed once the mount is complete, and it is not.
            uuid: unsafe { sb.uuid() },
            tid,
        };
        *area = match instance.mount.read_log(&recovery, blocks)? {
            Found::Unclear => return Ok(()),
            // The blocks before have not been passed on.
            Found::NotOurs if off != 0 => return Err(EIO),
            Found::NotOurs => Area::NotOurs,
            Found::Log { blocks, .. } if blocks.len() % journal.block_size()?.get() != 0 => {
                return Err(EINVAL)
            }
            Found::Log {
                blocks,
                has_link_counts,
            } => {
                if has_link_counts {
                    // SAFETY: The superblock is valid, and replay has not begun.
                    unsafe { bindings::ext4_fc_backend_exact(instance.sb) };
                }
                Area::Log(blocks)
            }
        };
        Ok(())
    }

    /// Hands a log to ext4, block by block, in one of jbd2's passes. Both passes get the same
    /// bytes: ext4 checks them in the first one and trusts them in the second.
    ///
    /// # Safety
    ///
    /// jbd2 recovers the journal in this thread. `blocks` must be blocks of the journal's size,
    /// the same in all passes.
    unsafe fn feed(
        instance: &Instance<T>,
        blocks: &mut [u8],
        pass: bindings::passtype,
        tid: u32,
    ) -> Result<c_int> {
        const STOP: c_int = bindings::JBD2_FC_REPLAY_STOP as c_int;
        // SAFETY: The journal is valid during recovery.
        let size = unsafe { Journal::from_raw(instance.journal) }
            .block_size()?
            .get();
        let give = |bytes: &mut [u8], off: usize| {
            let mut block = DramBlock::new(bytes);
            let off = c_int::try_from(off)?;
            // SAFETY: It is ext4's callback for this journal, which jbd2 recovers; the block
            // has the journal's size.
            let next =
                unsafe { (instance.original)(instance.journal, block.as_ptr(), pass, off, tid) };
            to_result(next).map(|()| next)
        };
        let mut count = 0;
        for (off, block) in blocks.chunks_exact_mut(size).enumerate() {
            if give(block, off)? == STOP {
                return Ok(STOP);
            }
            count = off + 1;
        }
        // At a block whose first tag is none, ext4 finishes its scan, or its bitmaps. An empty
        // area is just that block.
        let mut end: KVec<u8> = zeroed::bytes(size)?;
        give(&mut end, count)?;
        Ok(STOP)
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

// SAFETY: `ext4_fc_backend_unregister()` may be called by any thread.
unsafe impl<T: Backend> Send for Registration<T> {}
// SAFETY: A shared reference gives access to nothing.
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
                room: Some(OperationsVTable::<T>::room_callback),
                commit: Some(OperationsVTable::<T>::commit_callback),
                abort: Some(OperationsVTable::<T>::abort_callback),
            };
            // SAFETY: `try_ffi_init()` calls this with a slot that is valid for a write.
            unsafe { slot.write(ops) };
            // SAFETY: The slot is pinned, and `PinnedDrop` unregisters the operations before
            // it is freed. Their functions are code of `module`, which they name.
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
        // SAFETY: `new()` has registered them. ext4 pins the module while a mount uses it, so
        // that none does when it is unloaded.
        unsafe { bindings::ext4_fc_backend_unregister(self.ops.get()) };
    }
}
