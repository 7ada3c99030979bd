// SPDX-License-Identifier: GPL-2.0

//! The commit path: TLVs are staged in DRAM by the format crate's writer, which
//! also keeps the order of copy, write-back, fence and flush; this file gives it
//! the mapped area, the device and the counters.

use crate::{
    abstractions::{
        cycles::Cycles,
        dax::DaxDevice,
        errno,
        fc_backend::{FastCommits, Filled, Waits},
        jbd2::Journal,
        mapping::{Locked, Lost, Mapping},
        pmem, random, zeroed,
    },
    area::FcArea,
    bindings,
    bytelog::{
        error::WriteError,
        features::Features,
        opener::OPENER_LEN,
        writer::{Commit, Contents, FileData, LogWriter, Medium, Persistence, MIN_STAGING},
    },
    checksum::KernelCrc32c,
    fallback::Fallback,
    mount::Mount,
    refusal::Refusal,
    stats::Stats,
    trace,
};
use kernel::prelude::*;

/// The DRAM in which a record is put together.
struct Staging(KVec<u8>);

impl AsRef<[u8]> for Staging {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for Staging {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Where file data is, and what makes it durable there.
#[derive(Clone, Copy)]
enum DataDevice {
    /// The journal's device.
    Journal,
    /// Another, where a fence is enough.
    Fenced,
    /// Another, which is flushed.
    Flushed,
}

impl DataDevice {
    fn of(journal: &Journal) -> Self {
        match journal.other_device() {
            None => Self::Journal,
            Some(device) if DaxDevice::of(device).is_some_and(|dax| dax.is_synchronous()) => {
                Self::Fenced
            }
            Some(_) => Self::Flushed,
        }
    }
}

/// The mapped area and the devices, as the writer sees them.
struct PmemMedium<'a> {
    mapping: &'a Mapping,
    /// From the first access on, until a device is flushed.
    locked: Option<Locked<'a>>,
    journal: &'a Journal,
    data: DataDevice,
    /// Whether an fsync owes data of its file.
    owed: bool,
    stats: &'a Stats,
}

impl<'a> PmemMedium<'a> {
    #[inline]
    fn new(
        area: &'a FcArea,
        data: DataDevice,
        journal: &'a Journal,
        owed: bool,
        stats: &'a Stats,
    ) -> Self {
        Self {
            mapping: area.mapping(),
            locked: None,
            journal,
            data,
            owed,
            stats,
        }
    }

    /// The mapping, to be accessed.
    #[inline(always)]
    fn locked(&mut self) -> &mut Locked<'a> {
        self.locked.get_or_insert_with(|| self.mapping.lock())
    }
}

impl Medium for PmemMedium<'_> {
    type Error = Error;

    #[inline(always)]
    fn copy_in(&mut self, off: u64, bytes: &[u8]) -> Result {
        self.locked().copy_in(off, bytes)
    }

    #[inline(always)]
    fn write_back(&mut self, off: u64, len: u64) -> Result {
        self.stats.written_back_bytes.add(len);
        self.locked().write_back(off, len.try_into()?)
    }

    #[inline(always)]
    fn fence(&mut self) {
        self.stats.fences.add(1);
        pmem::fence();
        // Nothing is accessed between a fence and the end of a commit, or a flush.
        self.locked = None;
    }

    #[inline(always)]
    fn flush_device(&mut self) -> Result {
        // With `nobarrier` somebody has promised that no flush is needed.
        if !self.journal.has_barrier() {
            return Ok(());
        }
        self.stats.device_flushes.add(1);
        // This can take long, and must not keep the device from being removed.
        self.locked = None;
        self.journal.device().flush()
    }

    #[inline(always)]
    fn file_data(&self) -> FileData {
        match self.data {
            DataDevice::Journal => FileData::Here,
            DataDevice::Fenced | DataDevice::Flushed => FileData::Apart { owed: self.owed },
        }
    }

    #[cold]
    fn flush_data(&mut self) -> Result {
        match (self.data, self.journal.other_device()) {
            (DataDevice::Fenced, _) => {
                self.fence();
                Ok(())
            }
            (DataDevice::Flushed, Some(device)) if self.journal.has_barrier() => {
                self.stats.data_flushes.add(1);
                self.locked = None;
                device.flush()
            }
            _ => Ok(()),
        }
    }

    #[inline(always)]
    fn persistence(&self) -> Persistence {
        if self.mapping.is_synchronous() {
            Persistence::Synchronous
        } else {
            Persistence::NeedsFlush
        }
    }
}

/// The log of a mount.
pub(crate) struct MountLog {
    area: FcArea,
    data: DataDevice,
    writer: LogWriter<KernelCrc32c, Staging>,
}

impl MountLog {
    /// Takes the area over for new commits: whatever log is in it has been
    /// replayed, or belongs to an earlier life of the device.
    pub(crate) fn begin(journal: &Journal, uuid: [u8; 16], stats: &Stats) -> Result<Self, Refusal> {
        let area = FcArea::map(journal, Lost::Refused)?;
        let staging = zeroed::bytes(MIN_STAGING).map_err(|_| Refusal::NoMemory)?;
        let writer = LogWriter::new(Staging(staging), area.geometry(), uuid)
            .map_err(|_| Refusal::Staging)?;
        let log = Self {
            data: DataDevice::of(journal),
            area,
            writer,
        };
        log.wipe_opener(journal, stats)
            .map_err(Refusal::of_writing)?;
        Ok(log)
    }

    /// The mapped area.
    pub(crate) fn area(&self) -> &FcArea {
        &self.area
    }

    /// What a commit waits for.
    pub(crate) fn waits(&self) -> Waits {
        match self.data {
            DataDevice::Flushed => Waits::ForFlush,
            _ if self.area.mapping().is_synchronous() => Waits::ForNothing,
            _ => Waits::ForFlush,
        }
    }

    /// Where file data is, as an addition to a message.
    pub(crate) fn file_data(&self) -> &'static str {
        match self.data {
            DataDevice::Journal => "",
            DataDevice::Fenced => ", file data on a synchronous device",
            DataDevice::Flushed => ", file data on a device that is flushed",
        }
    }

    /// Makes an opener that an earlier life of the device left unreadable. Its
    /// log could be of a transaction number that this life is still to reach.
    fn wipe_opener(&self, journal: &Journal, stats: &Stats) -> Result {
        let mut medium = PmemMedium::new(&self.area, self.data, journal, false, stats);
        medium.copy_in(0, &[0; OPENER_LEN])?;
        medium.write_back(0, OPENER_LEN as u64)?;
        medium.fence();
        match medium.persistence() {
            Persistence::Synchronous => Ok(()),
            Persistence::NeedsFlush => medium.flush_device(),
        }
    }

    /// Begins the log of `tid`: a transaction can only commit fast when the one before it has
    /// committed in full. The window may have TLVs of it, but a record would have been of the
    /// transaction before.
    #[cold]
    fn enter(&mut self, tid: u32, stats: &Stats) -> Result<(), WriteError<Error>> {
        if self.writer.is_gathering() {
            return Err(WriteError::NotStarted);
        }
        self.writer.start(tid, random::nonzero_u32());
        stats.logs.add(1);
        Ok(())
    }

    /// Bytes that a log can have.
    pub(crate) fn capacity(&self) -> u64 {
        self.writer.capacity()
    }

    #[inline]
    fn try_commit(
        &mut self,
        mount: &Mount,
        journal: &Journal,
        tid: u32,
        filled: Filled,
        owed: bool,
    ) -> Result<Commit, WriteError<Error>> {
        if self.writer.tid() != Some(tid) {
            self.enter(tid, &mount.stats)?;
        }
        let contents = Contents::from_bits(filled.contents);
        let mut medium = PmemMedium::new(&self.area, self.data, journal, owed, &mount.stats);
        self.writer
            .commit_window(&mut medium, filled.bytes, contents)
    }

    /// Counts and traces why a commit is given up. Returns what ext4 is told.
    #[cold]
    fn give_up(&self, mount: &Mount, tid: u32, error: WriteError<Error>) -> Error {
        let Some(why) = Fallback::of(error) else {
            return errno::canceled();
        };
        if let Fallback::LogFull = why {
            trace::full(mount.dev, tid, self.writer.used(), self.capacity());
        }
        count(mount, tid, why);
        why.errno()
    }
}

fn count(mount: &Mount, tid: u32, why: Fallback) {
    mount.stats.aborted_commits.add(1);
    why.counter(&mount.stats).add(1);
    trace::abort(mount.dev, tid, why);
}

impl FastCommits<Mount> for MountLog {
    #[inline]
    fn window(&mut self) -> &mut [u8] {
        self.writer.window()
    }

    fn room(
        &mut self,
        mount: &Mount,
        journal: &Journal,
        tid: u32,
        filled: Filled,
        len: usize,
    ) -> bool {
        let entered = match self.writer.tid() == Some(tid) {
            true => Ok(()),
            false => self.enter(tid, &mount.stats),
        };
        let mut medium = PmemMedium::new(&self.area, self.data, journal, false, &mount.stats);
        let room = entered.and_then(|()| {
            let window = self.writer.next_window(&mut medium, filled.bytes, len);
            window.map(drop)
        });
        match room {
            Ok(()) => true,
            Err(error) => {
                self.give_up(mount, tid, error);
                false
            }
        }
    }

    #[inline]
    fn commit(
        &mut self,
        mount: &Mount,
        journal: &Journal,
        tid: u32,
        filled: Filled,
        owed: bool,
    ) -> Result {
        let start = Cycles::now();
        let done = match self.try_commit(mount, journal, tid, filled, owed) {
            Ok(done) => done,
            Err(error) => return Err(self.give_up(mount, tid, error)),
        };
        let stats = &mount.stats;
        stats.commits.add(1);
        if done.ordinal == 0 {
            stats.empty_commits.add(1);
        }
        if done.describes_data {
            stats.data_commits.add(1);
        }
        stats.records.add(done.records.into());
        stats.payload_bytes.add(done.payload_bytes);
        stats.log_bytes.add(done.log_bytes);
        let used = self.writer.used();
        stats.log_used.set(used);
        stats.log_high_water.raise(used);
        let nanos = mount.clock.nanos_since(start);
        stats.commit_latency_ns.add(nanos);
        trace::commit(mount.dev, tid, &done, used, nanos);
        Ok(())
    }

    fn abort(&mut self, mount: &Mount, tid: u32, filled: Filled) {
        let has_tlvs = filled.bytes != 0 || self.writer.is_gathering();
        // What the writer has refused has been counted.
        if has_tlvs && !self.writer.has_failed() {
            count(mount, tid, Fallback::ByExt4);
        }
        self.writer.discard();
    }
}

static_assert!(bindings::EXT4_FC_BACKEND_DATA == Contents::DATA);
static_assert!(bindings::EXT4_FC_BACKEND_DIRECTORIES == Features::DIRECTORIES.bits());
static_assert!(bindings::EXT4_FC_BACKEND_SPECIAL == Features::SPECIAL.bits());
