// SPDX-License-Identifier: GPL-2.0

//! The state of a mount, and what ext4 asks of it.

use crate::{
    abstractions::{
        cycles::{CycleClock, Cycles},
        dax::DaxDevice,
        errno,
        fc_backend::{AttachFlags, Backend, Found, Recovery, Waits},
        jbd2::Journal,
        super_block::SuperBlock,
    },
    bytelog::error::WriteError,
    fallback::Fallback,
    log::MountLog,
    refusal::Refusal,
    replay,
    stats::Stats,
    trace,
};
use kernel::{debugfs::Scope, page::PAGE_SIZE, prelude::*};

/// A mount that has attached.
pub(crate) struct Mount {
    /// The filesystem's device, for the tracepoints.
    dev: u32,
    flags: AttachFlags,
    clock: CycleClock,
    stats: Pin<KBox<Scope<Stats>>>,
}

impl Mount {
    /// Whether the mount can have ByteLog, as far as that can be told before its
    /// journal is loaded.
    fn check(sb: &SuperBlock, journal: &Journal, flags: AttachFlags) -> Result<(), Refusal> {
        let dax = DaxDevice::of(journal.device());
        if flags.dax_never() && (dax.is_some() || flags.wants_log()) {
            return Err(Refusal::DaxNever);
        }
        // Replay does without: see `replay::read()`.
        if !flags.wants_log() {
            return Ok(());
        }
        for block in [sb.block_size(), journal.block_size().unwrap_or(0)] {
            if block != PAGE_SIZE {
                return Err(Refusal::BlockSize {
                    block,
                    page: PAGE_SIZE,
                });
            }
        }
        dax.map(drop).ok_or(Refusal::NoDax)
    }

    /// Says why the mount is not served.
    fn refuse(sb: &SuperBlock, flags: AttachFlags, refusal: Refusal) -> Error {
        let what = if flags.wants_log() {
            "is not used"
        } else {
            "cannot replay"
        };
        pr_warn!("{}: ByteLog {what}: {refusal}\n", sb.id());
        refusal.errno()
    }

    /// Counts and traces why a commit is given up. Returns what ext4 is told.
    #[cold]
    fn give_up(&self, tid: u32, level: (u64, u64), error: WriteError<Error>) -> Error {
        let Some(why) = Fallback::of(error) else {
            return errno::canceled();
        };
        if let Fallback::LogFull = why {
            trace::full(self.dev, tid, level.0, level.1);
        }
        self.count(tid, why);
        why.errno()
    }

    fn count(&self, tid: u32, why: Fallback) {
        self.stats.aborted_commits.add(1);
        why.counter(&self.stats).add(1);
        trace::abort(self.dev, tid, why);
    }
}

impl Backend for Mount {
    const NAME: &'static CStr = c"bytelog";

    type Log = MountLog;

    fn attach(sb: &SuperBlock, journal: &Journal, flags: AttachFlags) -> Result<Pin<KBox<Self>>> {
        Self::check(sb, journal, flags).map_err(|refusal| Self::refuse(sb, flags, refusal))?;
        let stats = Stats::with_files(sb.id())
            .map_err(|error| Self::refuse(sb, flags, Refusal::of_statistics(error)))?;
        let mount = Self {
            dev: sb.dev(),
            flags,
            clock: CycleClock::new(),
            stats,
        };
        KBox::pin(mount, GFP_KERNEL).map_err(|_| Self::no_memory(sb, flags))
    }

    fn no_memory(sb: &SuperBlock, flags: AttachFlags) -> Error {
        Self::refuse(sb, flags, Refusal::NoMemory)
    }

    fn start(
        &self,
        sb: &SuperBlock,
        journal: &Journal,
        uuid: [u8; 16],
    ) -> Result<(MountLog, Waits)> {
        let log = MountLog::begin(journal, uuid, &self.stats)
            .map_err(|refusal| Self::refuse(sb, self.flags, refusal))?;
        let mapping = log.area().mapping();
        pr_info!(
            "{}: ByteLog in use: {} KiB in {} piece(s), {} persistence{}\n",
            sb.id(),
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
                sb.id()
            );
        }
        self.stats.area_bytes.set(mapping.len());
        self.stats.log_capacity.set(log.capacity());
        trace::attach(self.dev, mapping);
        let waits = log.waits();
        Ok((log, waits))
    }

    #[inline]
    fn reserve<'l>(
        &self,
        log: &'l mut MountLog,
        journal: &Journal,
        tid: u32,
        len: usize,
    ) -> Option<&'l mut [u8]> {
        let level = (log.used(), log.capacity());
        match log.reserve(journal, tid, len, &self.stats) {
            Ok(room) => Some(room),
            Err(error) => {
                self.give_up(tid, level, error);
                None
            }
        }
    }

    #[inline]
    fn commit(&self, log: &mut MountLog, journal: &Journal, tid: u32, owed: bool) -> Result {
        let start = Cycles::now();
        match log.commit(journal, tid, owed, &self.stats) {
            Ok(done) => {
                let nanos = self.clock.nanos_since(start);
                self.stats.commit_latency_ns.add(nanos);
                trace::commit(self.dev, tid, &done, self.stats.log_used.get(), nanos);
                Ok(())
            }
            Err(error) => Err(self.give_up(tid, (log.used(), log.capacity()), error)),
        }
    }

    fn abort(&self, log: &mut MountLog) {
        if let Some(tid) = log.discard() {
            self.count(tid, Fallback::ByExt4);
        }
    }

    fn read_log(&self, recovery: &Recovery<'_>, blocks: &[u8]) -> Result<Found> {
        replay::read(recovery, blocks, &self.stats)
    }
}
