// SPDX-License-Identifier: GPL-2.0

//! The state of a mount, and what ext4 asks of it.

use crate::{
    bytelog::error::WriteError,
    fallback::Fallback,
    kapi::{
        buffer_head::BorrowedBlock,
        cycles::{CycleClock, Cycles},
        dax::DaxDevice,
        errno,
        exclusive::{Entered, Exclusive},
        fc_backend::{AttachFlags, Backend, Next, Pass, Recovery, Waits},
        jbd2::Journal,
        super_block::SuperBlock,
    },
    log::Log,
    refusal::Refusal,
    replay::Plan,
    stats::Stats,
    trace,
};
use core::ptr::NonNull;
use kernel::{
    debugfs::Scope,
    ffi::c_int,
    page::PAGE_SIZE,
    prelude::*,
    sync::{new_mutex, Mutex},
};

/// A mount that has attached.
#[pin_data]
pub(crate) struct Mount {
    sb: SuperBlock,
    journal: Journal,
    flags: AttachFlags,
    clock: CycleClock,
    stats: Pin<KBox<Scope<Stats>>>,
    /// Set once the mount has started.
    log: Exclusive<Option<Log>>,
    /// Used while jbd2 recovers the journal.
    #[pin]
    plan: Mutex<Plan>,
}

impl Mount {
    /// Whether the mount can have ByteLog, as far as that can be told before its
    /// journal is loaded.
    fn check(sb: SuperBlock, journal: Journal, flags: AttachFlags) -> Result<(), Refusal> {
        if flags.dax_never() {
            return Err(Refusal::DaxNever);
        }
        for block in [sb.block_size(), journal.block_size().unwrap_or(0)] {
            if block != PAGE_SIZE {
                return Err(Refusal::BlockSize {
                    block,
                    page: PAGE_SIZE,
                });
            }
        }
        let device = journal.device().ok_or(Refusal::NoDax)?;
        DaxDevice::of(device).map(drop).ok_or(Refusal::NoDax)
    }

    /// Says why the mount is not served.
    fn refuse(sb: SuperBlock, flags: AttachFlags, refusal: Refusal) -> Error {
        let what = if flags.wants_log() {
            "is not used"
        } else {
            "cannot replay"
        };
        pr_warn!("{}: ByteLog {what}: {refusal}\n", sb.id());
        refusal.errno()
    }

    /// What [`Backend::reserve`] does where there is no room yet.
    #[cold]
    fn reserve_anew(
        &self,
        mut log: Entered<'_, Option<Log>>,
        tid: u32,
        len: usize,
    ) -> Option<NonNull<u8>> {
        let log = (*log).as_mut()?;
        let error = match log.make_room(tid, len, &self.stats) {
            Ok(()) => match log.reserve(tid, len) {
                Some(bytes) => return Some(NonNull::from(bytes).cast()),
                None => WriteError::Staging,
            },
            Err(error) => error,
        };
        self.give_up(tid, log, error);
        None
    }

    /// Counts and traces why a commit is given up. Returns what ext4 is told.
    #[cold]
    fn give_up(&self, tid: u32, log: &Log, error: WriteError<Error>) -> Error {
        let Some(why) = Fallback::of(error) else {
            return errno::canceled();
        };
        if let Fallback::LogFull = why {
            trace::full(self.sb, tid, log.used(), log.capacity());
        }
        self.count(tid, why);
        why.errno()
    }

    fn count(&self, tid: u32, why: Fallback) {
        self.stats.aborted_commits.add(1);
        why.counter(&self.stats).add(1);
        trace::abort(self.sb, tid, why);
    }
}

impl Backend for Mount {
    const NAME: &'static CStr = c"bytelog";

    fn attach(sb: SuperBlock, journal: Journal, flags: AttachFlags) -> Result<Pin<KBox<Self>>> {
        Self::check(sb, journal, flags).map_err(|refusal| Self::refuse(sb, flags, refusal))?;
        let stats = Stats::with_files(sb.id()).map_err(|_| Self::no_memory(sb, flags))?;
        KBox::pin_init(
            pin_init!(Self {
                sb,
                journal,
                flags,
                clock: CycleClock::new(),
                stats,
                log: Exclusive::new(None),
                plan <- new_mutex!(Plan::Unread, "bytelog_plan"),
            }),
            GFP_KERNEL,
        )
        .map_err(|_| Self::no_memory(sb, flags))
    }

    fn no_memory(sb: SuperBlock, flags: AttachFlags) -> Error {
        Self::refuse(sb, flags, Refusal::NoMemory)
    }

    fn start(&self) -> Result<Waits> {
        let log = Log::begin(self.sb, self.journal, &self.stats)
            .map_err(|refusal| Self::refuse(self.sb, self.flags, refusal))?;
        let mapping = log.area().mapping();
        pr_info!(
            "{}: ByteLog in use: {} KiB in {} piece(s), {} persistence{}\n",
            self.sb.id(),
            mapping.len() >> 10,
            mapping.segments(),
            if mapping.is_synchronous() {
                "synchronous"
            } else {
                "flushed"
            },
            log.file_data(),
        );
        if self.flags.is_force() {
            pr_warn!(
                "{}: dax_fc_bytelog=force leaves the feature bit alone: after a crash a stock \
                 e2fsck drops the log and calls the filesystem clean; use dax_fc_bytelog=on \
                 for data that matters\n",
                self.sb.id()
            );
        }
        self.stats.area_bytes.set(mapping.len());
        self.stats.log_capacity.set(log.capacity());
        trace::attach(self.sb, mapping);
        let waits = log.waits();
        *self.log.enter()? = Some(log);
        Ok(waits)
    }

    #[inline]
    fn reserve(&self, tid: u32, len: usize) -> Option<NonNull<u8>> {
        let mut log = self.log.enter().ok()?;
        if let Some(bytes) = (*log).as_mut().and_then(|log| log.reserve(tid, len)) {
            // The staging buffer stays where it is, and is not touched before the
            // caller's next call.
            return Some(NonNull::from(bytes).cast());
        }
        self.reserve_anew(log, tid, len)
    }

    #[inline]
    fn commit(&self, tid: u32, owed: bool) -> Result {
        let start = Cycles::now();
        let mut log = self.log.enter()?;
        let Some(log) = &mut *log else {
            return Err(EINVAL);
        };
        match log.commit(tid, owed, &self.stats) {
            Ok(done) => {
                let nanos = self.clock.nanos_since(start);
                self.stats.commit_latency_ns.add(nanos);
                trace::commit(self.sb, tid, &done, self.stats.log_used.get(), nanos);
                Ok(())
            }
            Err(error) => Err(self.give_up(tid, log, error)),
        }
    }

    fn abort(&self) {
        // Nobody else can be in the log; if somebody were, it would not be ours to
        // touch.
        let Ok(mut log) = self.log.enter() else {
            return;
        };
        if let Some(tid) = (*log).as_mut().and_then(Log::discard) {
            self.count(tid, Fallback::ByExt4);
        }
    }

    fn replay(&self, recovery: &Recovery, block: &BorrowedBlock, off: c_int) -> Result<Next> {
        let mut plan = self.plan.lock();
        if off == 0 && recovery.pass == Pass::Scan {
            *plan = Plan::read(self.sb, self.journal, recovery, block, &self.stats)?;
        }
        let next = plan.step(recovery, block, off);
        // jbd2 asks no more: of a log that has been replayed nothing is to stay
        // in memory for as long as the mount does.
        let over = match next {
            Ok(Next::Continue) => false,
            Ok(Next::Stop) => recovery.pass == Pass::Replay,
            Err(_) => true,
        };
        if over {
            *plan = Plan::Unread;
        }
        next
    }
}
