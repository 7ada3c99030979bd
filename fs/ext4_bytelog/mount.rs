// SPDX-License-Identifier: GPL-2.0

//! The state of a mount, and what ext4 asks of it.

use crate::{
    abstractions::{
        cycles::CycleClock,
        dax::DaxDevice,
        fc_backend::{AttachFlags, Backend, Found, Recovery, Waits},
        jbd2::Journal,
        super_block::SuperBlock,
    },
    log::MountLog,
    refusal::Refusal,
    replay,
    stats::Stats,
    trace,
};
use core::num::NonZeroUsize;
use kernel::{debugfs::Scope, page::PAGE_SIZE, prelude::*};

/// A mount that has attached.
pub(crate) struct Mount {
    /// The filesystem's device, for the tracepoints.
    pub(crate) dev: u32,
    flags: AttachFlags,
    pub(crate) clock: CycleClock,
    pub(crate) stats: Pin<KBox<Scope<Stats>>>,
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
        for block in [
            sb.block_size(),
            journal.block_size().map_or(0, NonZeroUsize::get),
        ] {
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
                "{}: dax_fc_bytelog=force leaves the journal unmarked: after a crash a stock \
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

    fn read_log(&self, recovery: &Recovery<'_>, blocks: &[u8]) -> Result<Found> {
        replay::read(recovery, blocks, &self.stats)
    }
}
