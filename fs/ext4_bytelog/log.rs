// SPDX-License-Identifier: GPL-2.0

//! The commit path: TLVs are staged in DRAM by the format crate's writer, which
//! also keeps the order of copy, write-back, fence and flush; this file gives it
//! the mapped area, the device and the counters.

use crate::{
    abstractions::{
        dax::DaxDevice,
        fc_backend::Waits,
        jbd2::Journal,
        mapping::{Locked, Lost, Mapping},
        pmem, random, zeroed,
    },
    area::FcArea,
    bytelog::{
        error::WriteError,
        opener::OPENER_LEN,
        writer::{Commit, FileData, LogWriter, Medium, Persistence, MIN_STAGING},
    },
    checksum::KernelCrc32c,
    refusal::Refusal,
    stats::Stats,
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
    #[inline]
    fn locked(&mut self) -> &mut Locked<'a> {
        self.locked.get_or_insert_with(|| self.mapping.lock())
    }
}

impl Medium for PmemMedium<'_> {
    type Error = Error;

    #[inline]
    fn copy_in(&mut self, off: u64, bytes: &[u8]) -> Result {
        self.locked().copy_in(off, bytes)
    }

    #[inline]
    fn write_back(&mut self, off: u64, len: u64) -> Result {
        self.stats.written_back_bytes.add(len);
        self.locked().write_back(off, len.try_into()?)
    }

    #[inline]
    fn fence(&mut self) {
        self.stats.fences.add(1);
        pmem::fence();
    }

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

    fn file_data(&self) -> FileData {
        match self.data {
            DataDevice::Journal => FileData::Here,
            DataDevice::Fenced | DataDevice::Flushed => FileData::Apart { owed: self.owed },
        }
    }

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

    /// Begins the log of `tid` unless it is the running one: a transaction can
    /// only commit fast when the one before it has committed in full.
    #[cold]
    fn enter(&mut self, tid: u32, stats: &Stats) {
        if self.writer.tid() != Some(tid) {
            self.writer.start(tid, random::nonzero_u32());
            stats.logs.add(1);
        }
    }

    /// Room for one TLV of `len` bytes, header included.
    pub(crate) fn reserve(
        &mut self,
        journal: &Journal,
        tid: u32,
        len: usize,
        stats: &Stats,
    ) -> Result<&mut [u8], WriteError<Error>> {
        self.enter(tid, stats);
        let mut medium = PmemMedium::new(&self.area, self.data, journal, false, stats);
        self.writer.reserve(&mut medium, len)
    }

    /// Makes what was reserved durable, and the file data that it describes.
    #[inline]
    pub(crate) fn commit(
        &mut self,
        journal: &Journal,
        tid: u32,
        owed: bool,
        stats: &Stats,
    ) -> Result<Commit, WriteError<Error>> {
        if self.writer.tid() != Some(tid) {
            self.enter(tid, stats);
        }
        let mut medium = PmemMedium::new(&self.area, self.data, journal, owed, stats);
        let done = self.writer.commit(&mut medium)?;
        stats.commits.add(1);
        stats.empty_commits.add((done.ordinal == 0).into());
        stats.data_commits.add(done.describes_data.into());
        stats.records.add(done.records.into());
        stats.payload_bytes.add(done.payload_bytes);
        stats.log_bytes.add(done.log_bytes);
        let used = self.writer.used();
        stats.log_used.set(used);
        stats.log_high_water.raise(used);
        Ok(done)
    }

    /// Durable bytes of the running log.
    pub(crate) fn used(&self) -> u64 {
        self.writer.used()
    }

    /// Bytes that a log can have.
    pub(crate) fn capacity(&self) -> u64 {
        self.writer.capacity()
    }

    /// Drops what was reserved and not committed. Returns the transaction of it, if
    /// there was anything that the writer had not refused.
    pub(crate) fn discard(&mut self) -> Option<u32> {
        let dropped = self.writer.is_gathering() && !self.writer.has_failed();
        self.writer.discard();
        self.writer.tid().filter(|_| dropped)
    }
}
