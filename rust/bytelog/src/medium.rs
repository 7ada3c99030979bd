// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a log is written to.

/// What makes stores to a medium survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Write-back and a fence (`dax_synchronous()`).
    Synchronous,
    /// Besides these a flush by the host or the controller (virtio-pmem).
    NeedsFlush,
}

/// Where the file data is that a log describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileData {
    /// On the log's own device.
    Here,
    /// On another device (an external journal). Commits without data need no flush
    /// there, unless an fsync waits for this one that owes the data of its file.
    Apart {
        /// Whether there is such an fsync.
        owed: bool,
    },
}

/// The mapped fast-commit area, and the device under it. Offsets count from the
/// start of the area.
pub trait Medium {
    /// Why an access failed.
    type Error;

    /// Stores `bytes` at `off`. They may become durable at any time from now on,
    /// in any order, in pieces of 8 aligned bytes, or never.
    fn copy_in(&mut self, off: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Starts to write back the cache lines that hold `len` bytes at `off`.
    fn write_back(&mut self, off: u64, len: u64) -> Result<(), Self::Error>;

    /// Waits until what was written back, and all file data stored before, is in
    /// the persistence domain (`pmem_wmb()`).
    fn fence(&mut self);

    /// Has host or controller make durable everything that passed a fence.
    fn flush_device(&mut self) -> Result<(), Self::Error>;

    /// Where file data is.
    fn file_data(&self) -> FileData {
        FileData::Here
    }

    /// Makes durable all file data that is complete, on a device of its own. Called
    /// only where [`file_data`](Self::file_data) says so.
    fn flush_data(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// What this medium needs.
    fn persistence(&self) -> Persistence;
}
