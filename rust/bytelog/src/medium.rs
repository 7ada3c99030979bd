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

    /// What this medium needs.
    fn persistence(&self) -> Persistence;
}
