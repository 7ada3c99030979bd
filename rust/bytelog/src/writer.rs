// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The log writer and the commit protocol, over any medium.
//!
//! TLVs are gathered in a DRAM staging buffer. Nothing that an earlier commit
//! made durable is written to: within a tid the log only grows, and its durable
//! head moves when a commit's last barrier has succeeded, not before.

use core::fmt;
use core::marker::PhantomData;

use super::crc::{chain_seed, Crc32c, SEED};
use super::error::WriteError;
use super::gather::{Gathering, Position, Running};
use super::geometry::Geometry;
pub use super::medium::{FileData, Medium, Persistence};
use super::opener::{Opener, OPENER_LEN};
use super::record::{record_len, NewRecord, ALIGN, DEFAULT_PAYLOAD, HEADER_LEN, MAX_PAYLOAD};
use super::rules::Replayable;
use super::tlv::{Tag, Tlvs, TL_LEN};

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
    staging: S,
    /// Payload bytes of a full record.
    payload_max: usize,
    geometry: Geometry,
    uuid: [u8; 16],
    rules: Option<Replayable>,
    log: Option<Running>,
    now: Gathering,
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
        Ok(Self {
            staging,
            payload_max: whole.min(MAX_PAYLOAD),
            geometry,
            uuid,
            rules: None,
            log: None,
            now: Gathering::from(Position {
                head: geometry.log_start(),
                seq: 0,
                chain: 0,
            }),
            crc: PhantomData,
        })
    }

    /// Refuses fast commits that ext4's replay cannot apply.
    pub fn only_replayable(self) -> Self {
        Self {
            rules: Some(Replayable::default()),
            ..self
        }
    }

    /// Starts the log of transaction `tid` where the area's log starts: a full
    /// commit has made redundant whatever is there. `nonce` must be random.
    ///
    /// If `tid`'s log is the running one it goes on, so that a second call can
    /// never overwrite what is durable; what was gathered is dropped either way.
    pub fn start(&mut self, tid: u32, nonce: u32) {
        if self.tid() != Some(tid) {
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
        self.log.map(|log| log.tid)
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

    /// Longest TLV that [`reserve`](Self::reserve) gives room for, bytes.
    pub fn max_tlv(&self) -> usize {
        self.payload_max.min(self.geometry.block_size().max_tlv())
    }

    /// Zeroed room for one whole TLV of `len` bytes, header included, to be
    /// filled before the next call. A full record is copied to the medium,
    /// unsealed.
    ///
    /// Once this has failed the fast commit is not complete, and
    /// [`commit`](Self::commit) refuses it.
    pub fn reserve<M: Medium>(
        &mut self,
        medium: &mut M,
        len: usize,
    ) -> Result<&mut [u8], WriteError<M::Error>> {
        if let Err(error) = self.make_room(medium, len) {
            self.now.failed = true;
            return Err(error);
        }
        let from = HEADER_LEN.saturating_add(self.now.staged);
        let to = from.saturating_add(len);
        match self.staging.as_mut().get_mut(from..to) {
            Some(room) => {
                self.now.staged = self.now.staged.saturating_add(len);
                room.fill(0);
                Ok(room)
            }
            None => {
                self.now.failed = true;
                Err(WriteError::Staging)
            }
        }
    }

    /// Makes the gathered fast commit durable, with the file data that it
    /// describes. Without a TLV it writes nothing and still is the barrier that
    /// fsync owes. On an error the commit is discarded.
    pub fn commit<M: Medium>(&mut self, medium: &mut M) -> Result<Commit, WriteError<M::Error>> {
        let result = self.try_commit(medium);
        if result.is_err() {
            self.discard();
        }
        result
    }

    /// Drops what was gathered. Records that were copied in stay unsealed, or are
    /// overwritten by the next commit.
    pub fn discard(&mut self) {
        if let Some(log) = self.log {
            self.now = Gathering::from(log.durable);
        }
    }

    /// Sees to it that `len` more bytes fit the record being staged, and that
    /// record the area.
    fn make_room<M: Medium>(
        &mut self,
        medium: &mut M,
        len: usize,
    ) -> Result<(), WriteError<M::Error>> {
        let log = self.log.ok_or(WriteError::NotStarted)?;
        if log.closed {
            return Err(WriteError::Closed);
        }
        if self.now.failed {
            return Err(WriteError::Aborted);
        }
        if len < TL_LEN || len > self.max_tlv() {
            return Err(WriteError::TooLong(len));
        }
        let grown = self.now.staged.saturating_add(len);
        if grown <= self.payload_max {
            return self.check_space(self.now.at.head, grown);
        }
        let full = self.end_of(self.now.at.head, self.now.staged)?;
        self.check_space(full, len)?;
        self.inspect()?;
        self.finish(medium, &log, false)
    }

    /// Offset behind a record at `head` with `payload_len` bytes of payload.
    fn end_of<E>(&self, head: u64, payload_len: usize) -> Result<u64, WriteError<E>> {
        let len = record_len(payload_len).and_then(|len| u64::try_from(len).ok());
        len.and_then(|len| head.checked_add(len))
            .ok_or(WriteError::Full)
    }

    fn check_space<E>(&self, head: u64, payload_len: usize) -> Result<(), WriteError<E>> {
        if self.end_of(head, payload_len)? > self.geometry.area_len() {
            return Err(WriteError::Full);
        }
        Ok(())
    }

    /// Walks the staged TLVs: whether they are some, whether one describes file
    /// data, and whether they keep the rules.
    fn inspect<E>(&mut self) -> Result<(), WriteError<E>> {
        let to = HEADER_LEN.saturating_add(self.now.staged);
        let payload = self.staging.as_ref().get(HEADER_LEN..to);
        let max_tlv = self.max_tlv();
        for tlv in Tlvs::new(payload.ok_or(WriteError::Staging)?, max_tlv) {
            let tlv = tlv.map_err(WriteError::Tlv)?;
            if tlv.tag() == Tag::AddRange {
                self.now.describes_data = true;
            }
            if !self.rules.as_mut().is_none_or(|rules| rules.allows(&tlv)) {
                return Err(WriteError::NotReplayable(tlv.tag()));
            }
        }
        Ok(())
    }

    /// Puts a header in front of the staged payload, copies both in and goes to
    /// the next position.
    fn finish<M: Medium>(
        &mut self,
        medium: &mut M,
        log: &Running,
        sealed: bool,
    ) -> Result<(), WriteError<M::Error>> {
        let payload_len = self.now.staged;
        let total = record_len(payload_len).ok_or(WriteError::Staging)?;
        let record = self.staging.as_mut().get_mut(..total);
        let record = record.ok_or(WriteError::Staging)?;
        let Some((header, body)) = record.split_first_chunk_mut::<HEADER_LEN>() else {
            return Err(WriteError::Staging);
        };
        let Some((payload, padding)) = body.split_at_mut_checked(payload_len) else {
            return Err(WriteError::Staging);
        };
        padding.fill(0);
        let payload_crc = C::update(SEED, payload);
        let crc = if log.commits != 0 {
            SEED
        } else if self.now.records == 0 {
            payload_crc
        } else {
            C::update(self.now.crc, payload)
        };
        let new = NewRecord {
            tid: log.tid,
            nonce: log.nonce,
            seq: self.now.at.seq,
            commit: log.commits.checked_add(1).ok_or(WriteError::Full)?,
            sealed,
            payload_len,
            payload_crc,
        };
        let (bytes, chain) = new
            .encode::<C>(self.now.at.chain)
            .ok_or(WriteError::Staging)?;
        *header = bytes;
        medium
            .copy_in(self.now.at.head, record)
            .map_err(WriteError::Medium)?;
        self.now = Gathering {
            at: Position {
                head: self.end_of(self.now.at.head, payload_len)?,
                seq: self.now.at.seq.checked_add(1).ok_or(WriteError::Full)?,
                chain,
            },
            staged: 0,
            records: self.now.records.checked_add(1).ok_or(WriteError::Full)?,
            payload_bytes: self.now.payload_bytes.saturating_add(payload_len as u64),
            crc,
            ..self.now
        };
        Ok(())
    }

    fn try_commit<M: Medium>(&mut self, medium: &mut M) -> Result<Commit, WriteError<M::Error>> {
        if self.now.failed {
            return Err(WriteError::Aborted);
        }
        if !self.is_gathering() {
            match medium.file_data() {
                FileData::Here => barrier(medium)?,
                FileData::Apart { .. } => data_barrier(medium, false)?,
            }
            return Ok(Commit::default());
        }
        let log = self.log.ok_or(WriteError::NotStarted)?;
        self.inspect()?;
        data_barrier(medium, self.now.describes_data)?;
        // From here on the medium may hold the seal or a part of it. A commit
        // that fails now must not be tried again at the same place: if it was the
        // first, an opener of this try and records of the next could both be
        // durable, and disagree.
        self.log = Some(Running {
            closed: true,
            ..log
        });
        self.finish(medium, &log, true)?;
        let commit = self.persist(medium, &log)?;
        self.log = Some(Running {
            commits: commit.ordinal,
            durable: self.now.at,
            ..log
        });
        self.discard();
        Ok(commit)
    }

    /// Makes durable what lies between the durable head and the present one.
    fn persist<M: Medium>(
        &mut self,
        medium: &mut M,
        log: &Running,
    ) -> Result<Commit, WriteError<M::Error>> {
        let first = log.commits == 0;
        let (tail, head) = (log.durable.head, self.now.at.head);
        if first {
            let opener = Opener {
                features: 0,
                tid: log.tid,
                nonce: log.nonce,
                head,
                tail,
                seq: u64::from(self.now.records),
                crc: self.now.crc,
            };
            let bytes = opener.encode::<C>(self.geometry.block_size());
            medium.copy_in(0, &bytes).map_err(WriteError::Medium)?;
            medium
                .write_back(0, OPENER_LEN as u64)
                .map_err(WriteError::Medium)?;
        }
        let log_bytes = head.saturating_sub(tail);
        medium
            .write_back(tail, log_bytes)
            .map_err(WriteError::Medium)?;
        medium.fence();
        if medium.persistence() == Persistence::NeedsFlush {
            medium.flush_device().map_err(WriteError::Medium)?;
        }
        Ok(Commit {
            ordinal: log.commits.checked_add(1).ok_or(WriteError::Full)?,
            records: self.now.records,
            payload_bytes: self.now.payload_bytes,
            log_bytes,
            describes_data: self.now.describes_data,
            opener_written: first,
        })
    }
}

/// Makes durable the file data that the commit describes or owes, before its seal
/// can be.
fn data_barrier<M: Medium>(medium: &mut M, described: bool) -> Result<(), WriteError<M::Error>> {
    match medium.file_data() {
        FileData::Here if described => barrier(medium),
        FileData::Apart { owed } if described || owed => {
            medium.flush_data().map_err(WriteError::Medium)
        }
        _ => Ok(()),
    }
}

/// Makes durable everything stored to the log's device before.
fn barrier<M: Medium>(medium: &mut M) -> Result<(), WriteError<M::Error>> {
    match medium.persistence() {
        Persistence::Synchronous => {
            medium.fence();
            Ok(())
        }
        Persistence::NeedsFlush => medium.flush_device().map_err(WriteError::Medium),
    }
}
