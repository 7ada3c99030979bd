// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The log writer and the commit protocol, over any medium.
//!
//! TLVs are gathered in a DRAM staging buffer. Nothing that an earlier commit
//! made durable is written to: within a tid the log only grows, and its durable
//! head moves when a commit's last barrier has succeeded, not before.

use core::fmt;
use core::marker::PhantomData;

use super::crc::{chain_seed, Crc32c};
use super::error::WriteError;
use super::features::Features;
use super::gather::{Gathering, Position, Running};
use super::geometry::Geometry;
pub use super::medium::{FileData, Medium, Persistence};
use super::record::{ALIGN, DEFAULT_PAYLOAD, HEADER_LEN, MAX_PAYLOAD};
use super::tlv::TL_LEN;

/// Shortest staging buffer, bytes: a header and a record of the default size.
pub const MIN_STAGING: usize = HEADER_LEN + DEFAULT_PAYLOAD;

/// What a successful commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Its ordinal within the tid, from 1; 0 if it had no TLV and wrote nothing.
    pub ordinal: u32,
    /// Records written.
    pub records: u32,
    /// Bytes of TLVs.
    pub payload_bytes: u64,
    /// Bytes of log: headers, TLVs and padding, without the opener.
    pub log_bytes: u64,
    /// Whether a TLV describes file data, so that a data barrier came first.
    pub describes_data: bool,
    /// Whether it was the tid's first and so wrote the opener.
    pub opener_written: bool,
}

/// The staging buffer has fewer than [`MIN_STAGING`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagingTooShort;

impl fmt::Display for StagingTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "staging buffer has fewer than {MIN_STAGING} bytes")
    }
}

impl core::error::Error for StagingTooShort {}

/// Writes the log of one area.
///
/// A fast commit is any number of [`reserve`](Self::reserve) calls, each filled
/// before the next, and then [`commit`](Self::commit) or
/// [`discard`](Self::discard). `S` is the staging buffer.
pub struct LogWriter<C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> {
    pub(super) staging: S,
    /// Payload bytes of a full record.
    pub(super) payload_max: usize,
    /// Longest TLV, bytes.
    pub(super) max_tlv: usize,
    pub(super) geometry: Geometry,
    uuid: [u8; 16],
    /// Features that a commit has needed so far. Every opener names them, so that a log
    /// that begins without them does not refuse the next such commit.
    pub(super) features: Features,
    /// Those that the running log lacks: none while it has no opener.
    pub(super) lacks: Features,
    pub(super) log: Option<Running>,
    pub(super) now: Gathering,
    crc: PhantomData<fn() -> C>,
}

impl<C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> LogWriter<C, S> {
    /// A writer for an area of a filesystem with `uuid`. Records are as large as
    /// `staging` allows, which has at least [`MIN_STAGING`] bytes.
    pub fn new(staging: S, geometry: Geometry, uuid: [u8; 16]) -> Result<Self, StagingTooShort> {
        let len = staging.as_ref().len();
        if len < MIN_STAGING {
            return Err(StagingTooShort);
        }
        let whole = len.saturating_sub(HEADER_LEN) & !(ALIGN - 1);
        let payload_max = whole.min(MAX_PAYLOAD);
        let at = Position {
            head: geometry.log_start(),
            seq: 0,
            chain: 0,
        };
        Ok(Self {
            staging,
            payload_max,
            max_tlv: payload_max.min(geometry.block_size().max_tlv()),
            geometry,
            uuid,
            features: Features::NONE,
            lacks: Features::NONE,
            log: None,
            now: Gathering::from(at, 0),
            crc: PhantomData,
        })
    }

    /// Starts the log of transaction `tid` where the area's log starts: a full
    /// commit has made redundant whatever is there. `nonce` must be random.
    ///
    /// If `tid`'s log is the running one it goes on, so that a second call can
    /// never overwrite what is durable; what was gathered is dropped either way.
    pub fn start(&mut self, tid: u32, nonce: u32) {
        if self.tid() != Some(tid) {
            self.lacks = Features::NONE;
            self.log = Some(Running {
                tid,
                nonce,
                commits: 0,
                durable: Position {
                    head: self.geometry.log_start(),
                    seq: 0,
                    chain: chain_seed::<C>(&self.uuid, tid, nonce),
                },
                closed: false,
            });
        }
        self.discard();
    }

    /// Transaction of the running log, also when a failed commit has closed it.
    pub fn tid(&self) -> Option<u32> {
        self.log.as_ref().map(|log| log.tid)
    }

    /// Offset where the durable log ends, bytes from the start of the area.
    pub fn head(&self) -> u64 {
        match self.log {
            Some(log) => log.durable.head,
            None => self.geometry.log_start(),
        }
    }

    /// Durable fast commits of the running log.
    pub fn commits(&self) -> u32 {
        self.log.map_or(0, |log| log.commits)
    }

    /// Durable records of the running log.
    pub fn seq(&self) -> u64 {
        self.log.map_or(0, |log| log.durable.seq)
    }

    /// Features that the openers of the logs to come name, at the least.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Durable bytes of the running log.
    pub fn used(&self) -> u64 {
        self.head().saturating_sub(self.geometry.log_start())
    }

    /// Bytes that a log can have.
    pub fn capacity(&self) -> u64 {
        self.geometry.log_len()
    }

    /// Whether the fast commit being gathered has a TLV.
    pub fn is_gathering(&self) -> bool {
        self.now.staged != 0 || self.now.records != 0
    }

    /// Whether a [`reserve`](Self::reserve) of the fast commit being gathered has
    /// failed.
    pub fn has_failed(&self) -> bool {
        self.now.failed
    }

    /// Longest TLV that [`reserve`](Self::reserve) gives room for, bytes.
    pub fn max_tlv(&self) -> usize {
        self.max_tlv
    }

    /// Room for one whole TLV of `len` bytes, header included, all of it to be
    /// filled before the next call. What is in it has no meaning; the header is
    /// zeroed, so that a TLV that is never filled is refused. A full record is
    /// copied to the medium, unsealed.
    ///
    /// Once this has failed the fast commit is not complete, and
    /// [`commit`](Self::commit) refuses it.
    #[inline]
    pub fn reserve<M: Medium>(
        &mut self,
        medium: &mut M,
        len: usize,
    ) -> Result<&mut [u8], WriteError<M::Error>> {
        if !self.fits(len) {
            self.make_room(medium, len)?;
        }
        self.take(len).ok_or(WriteError::Staging)
    }

    /// Whether a TLV of `len` bytes has room, so that [`take`](Self::take) gives it.
    #[inline]
    pub fn fits(&self, len: usize) -> bool {
        let end = self.now.staged.checked_add(len);
        (TL_LEN..=self.max_tlv).contains(&len) && end.is_some_and(|end| end <= self.now.room)
    }

    /// What [`reserve`](Self::reserve) gives, where it fits or room has been made.
    #[inline]
    pub fn take(&mut self, len: usize) -> Option<&mut [u8]> {
        let from = self.now.staged;
        let end = from.checked_add(len).unwrap_or(usize::MAX);
        let payload = self.staging.as_mut().get_mut(HEADER_LEN..);
        match payload.and_then(|payload| payload.get_mut(from..end)) {
            Some(bytes) => {
                self.now.staged = end;
                if let Some(header) = bytes.first_chunk_mut::<TL_LEN>() {
                    *header = [0; TL_LEN];
                }
                Some(bytes)
            }
            None => {
                self.now.failed = true;
                None
            }
        }
    }

    /// Makes room for a TLV of `len` bytes where it does not fit, as
    /// [`reserve`](Self::reserve) does, or says why there is none.
    #[cold]
    pub fn make_room<M: Medium>(
        &mut self,
        medium: &mut M,
        len: usize,
    ) -> Result<(), WriteError<M::Error>> {
        let made = self.try_make_room(medium, len);
        if made.is_err() {
            self.now.failed = true;
            self.now.room = 0;
        }
        made
    }

    /// Makes the gathered fast commit durable, with the file data that it
    /// describes. Without a TLV it writes nothing and still is the barrier that
    /// fsync owes. On an error the commit is discarded.
    #[inline]
    pub fn commit<M: Medium>(&mut self, medium: &mut M) -> Result<Commit, WriteError<M::Error>> {
        match self.try_commit(medium) {
            Ok(done) => Ok(done),
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    /// Drops what was gathered. Records that were copied in stay unsealed, or are
    /// overwritten by the next commit.
    #[inline]
    pub fn discard(&mut self) {
        if let Some(log) = &self.log {
            let room = if log.closed {
                0
            } else {
                self.room_at(log.durable.head)
            };
            self.now = Gathering::from(log.durable, room);
        }
    }

    /// Payload bytes that a record at `head` can have.
    #[inline]
    pub(super) fn room_at(&self, head: u64) -> usize {
        let from = head.saturating_add(HEADER_LEN as u64);
        let payload = self.geometry.area_len().saturating_sub(from);
        usize::try_from(payload).map_or(self.payload_max, |left| left.min(self.payload_max))
    }
}
