// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The log writer and the commit protocol, over any medium.
//!
//! TLVs are gathered in a DRAM staging buffer. Nothing that an earlier commit
//! made durable is written to: within a tid the log only grows, and its durable
//! head moves when a commit's last barrier has succeeded, not before.
//!
//! A fast commit goes through these states, each of which is a type that the next step
//! consumes: [`Gathered`], [`DataDurable`], [`Sealed`], [`WrittenBack`], [`Durable`].
//!
//! ```
//! # use bytelog::{crc::Crc32c, error::WriteError, writer::*};
//! fn all_steps<C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>, M: Medium>(
//!     gathered: Gathered<'_, C, S>,
//!     medium: &mut M,
//! ) -> Result<Commit, WriteError<M::Error>> {
//!     let durable = gathered.data_barrier(medium)?.seal(medium)?.write_back(medium)?.fence(medium)?;
//!     Ok(durable.acknowledge())
//! }
//! ```
//!
//! A commit that leaves one out does not compile: the barrier of the file data,
//!
//! ```compile_fail,E0599
//! # use bytelog::{crc::Crc32c, error::WriteError, writer::*};
//! fn no_data_barrier<C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>, M: Medium>(
//!     gathered: Gathered<'_, C, S>,
//!     medium: &mut M,
//! ) -> Result<Commit, WriteError<M::Error>> {
//!     Ok(gathered.seal(medium)?.write_back(medium)?.fence(medium)?.acknowledge())
//! }
//! ```
//!
//! the seal,
//!
//! ```compile_fail,E0599
//! # use bytelog::{crc::Crc32c, error::WriteError, writer::*};
//! fn no_seal<C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>, M: Medium>(
//!     gathered: Gathered<'_, C, S>,
//!     medium: &mut M,
//! ) -> Result<Commit, WriteError<M::Error>> {
//!     Ok(gathered.data_barrier(medium)?.write_back(medium)?.fence(medium)?.acknowledge())
//! }
//! ```
//!
//! the write-back,
//!
//! ```compile_fail,E0599
//! # use bytelog::{crc::Crc32c, error::WriteError, writer::*};
//! fn no_write_back<C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>, M: Medium>(
//!     gathered: Gathered<'_, C, S>,
//!     medium: &mut M,
//! ) -> Result<Commit, WriteError<M::Error>> {
//!     Ok(gathered.data_barrier(medium)?.seal(medium)?.fence(medium)?.acknowledge())
//! }
//! ```
//!
//! and the fence:
//!
//! ```compile_fail,E0599
//! # use bytelog::{crc::Crc32c, error::WriteError, writer::*};
//! fn no_fence<C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>, M: Medium>(
//!     gathered: Gathered<'_, C, S>,
//!     medium: &mut M,
//! ) -> Result<Commit, WriteError<M::Error>> {
//!     Ok(gathered.data_barrier(medium)?.seal(medium)?.write_back(medium)?.acknowledge())
//! }
//! ```
//!
//! Nor does one that takes a step twice:
//!
//! ```compile_fail,E0382
//! # use bytelog::{crc::Crc32c, error::WriteError, writer::*};
//! fn two_seals<C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>, M: Medium>(
//!     gathered: Gathered<'_, C, S>,
//!     medium: &mut M,
//! ) -> Result<(), WriteError<M::Error>> {
//!     let ready = gathered.data_barrier(medium)?;
//!     ready.seal(medium)?;
//!     ready.seal(medium)?;
//!     Ok(())
//! }
//! ```

use core::fmt;
use core::marker::PhantomData;

use super::crc::{chain_seed, Crc32c, SEED};
use super::error::WriteError;
use super::features::Features;
use super::geometry::Geometry;
pub use super::medium::{FileData, Medium, Persistence};
use super::needs;
use super::opener::{Opener, OPENER_LEN};
use super::record::{record_len, NewRecord, ALIGN, DEFAULT_PAYLOAD, HEADER_LEN, MAX_PAYLOAD};
use super::tlv::{self, Tag, TlvError, DESCRIBES_DATA, TL_LEN};

/// Shortest staging buffer, bytes: a header and a record of the default size.
pub const MIN_STAGING: usize = HEADER_LEN + DEFAULT_PAYLOAD;

/// What the TLVs of a fast commit have that concerns the log: whether they describe file
/// data, and which features a reader must know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents(u32);

impl Contents {
    /// The bit that says that a TLV describes file data. The others are those of
    /// [`Features`].
    pub const DATA: u32 = DESCRIBES_DATA as u32;

    /// From [`Features`]' bits and [`Self::DATA`].
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Whether a TLV describes file data.
    pub const fn describes_data(self) -> bool {
        self.0 & Self::DATA != 0
    }

    /// Features that a reader must know.
    pub const fn features(self) -> Features {
        Features::from_bits(self.0 & !Self::DATA)
    }
}

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

/// A place between two records.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// Offset from the start of the area.
    head: u64,
    /// Number of the next record.
    seq: u64,
    /// Seed of the next record's header CRC.
    chain: u32,
}

/// The running log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There has been none.
    NotStarted,
    /// Commits can be gathered.
    Open,
    /// A TLV of the commit being gathered is missing.
    Incomplete,
    /// A commit has failed after its seal might have reached the medium.
    Closed,
}

/// Writes the log of one area.
///
/// A fast commit is gathered in one of two ways. Either by any number of
/// [`reserve`](Self::reserve) calls, each filled before the next, and then
/// [`commit`](Self::commit). Or in the [`window`](Self::window), by a caller who knows what
/// his TLVs contain, and then [`commit_window`](Self::commit_window).
/// [`discard`](Self::discard) gives it up. `S` is the staging buffer.
pub struct LogWriter<C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> {
    staging: S,
    /// Payload bytes of a full record.
    payload_max: usize,
    /// Longest TLV, bytes.
    max_tlv: usize,
    geometry: Geometry,
    uuid: [u8; 16],
    /// Features that a commit has needed so far. Every opener names them, so that a log
    /// that begins without them does not refuse the next such commit.
    features: Features,
    /// Those that the running log lacks: none while it has no opener.
    lacks: Features,
    phase: Phase,
    tid: u32,
    nonce: u32,
    /// Fast commits that are durable.
    commits: u32,
    /// Where they end.
    durable: Position,
    /// Where the next record goes of the commit being gathered.
    at: Position,
    /// Payload bytes in the staging buffer.
    staged: usize,
    /// Payload bytes that may be there without a further look: what a record and
    /// the area can hold, and 0 where nothing may be gathered.
    room: usize,
    /// Of the records that have been copied in: payload bytes,
    payload_bytes: u64,
    /// and the CRC over their payloads; kept for the tid's first commit only.
    crc: u32,
    /// What TLVs contain that have been looked at.
    contents: u32,
    implementation: PhantomData<fn() -> C>,
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
        let start = Position {
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
            phase: Phase::NotStarted,
            tid: 0,
            nonce: 0,
            commits: 0,
            durable: start,
            at: start,
            staged: 0,
            room: 0,
            payload_bytes: 0,
            crc: SEED,
            contents: 0,
            implementation: PhantomData,
        })
    }

    /// Starts the log of transaction `tid` where the area's log starts: a full
    /// commit has made redundant whatever is there. `nonce` must be random.
    ///
    /// If `tid`'s log is the running one it goes on, so that a second call can
    /// never overwrite what is durable; what was gathered is dropped either way.
    pub fn start(&mut self, tid: u32, nonce: u32) {
        if self.tid() != Some(tid) {
            self.start_anew(tid, nonce);
        }
        self.discard();
    }

    fn start_anew(&mut self, tid: u32, nonce: u32) {
        self.lacks = Features::NONE;
        self.phase = Phase::Open;
        self.tid = tid;
        self.nonce = nonce;
        self.commits = 0;
        self.durable = Position {
            head: self.geometry.log_start(),
            seq: 0,
            chain: chain_seed::<C>(&self.uuid, tid, nonce),
        };
    }

    /// Transaction of the running log, also when a failed commit has closed it.
    #[inline]
    pub fn tid(&self) -> Option<u32> {
        (self.phase != Phase::NotStarted).then_some(self.tid)
    }

    /// Offset where the durable log ends, bytes from the start of the area.
    pub fn head(&self) -> u64 {
        self.durable.head
    }

    /// Durable fast commits of the running log.
    pub fn commits(&self) -> u32 {
        self.commits
    }

    /// Durable records of the running log.
    pub fn seq(&self) -> u64 {
        self.durable.seq
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
    #[inline]
    pub fn is_gathering(&self) -> bool {
        self.staged != 0 || self.at.seq != self.durable.seq
    }

    /// Whether a [`reserve`](Self::reserve) of the fast commit being gathered has
    /// failed.
    pub fn has_failed(&self) -> bool {
        self.phase != Phase::Open
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
    pub fn reserve<M: Medium>(
        &mut self,
        medium: &mut M,
        len: usize,
    ) -> Result<&mut [u8], WriteError<M::Error>> {
        let end = self.staged.checked_add(len);
        if !(TL_LEN..=self.max_tlv).contains(&len) || end.is_none_or(|end| end > self.room) {
            self.make_room(medium, len, true)?;
        }
        let from = HEADER_LEN.saturating_add(self.staged);
        let room = self.staging.as_mut().get_mut(from..);
        let room = room.and_then(|room| room.get_mut(..len));
        let room = room.ok_or(WriteError::Staging)?;
        if let Some(header) = room.first_chunk_mut::<TL_LEN>() {
            *header = [0; TL_LEN];
        }
        self.staged = self.staged.saturating_add(len);
        Ok(room)
    }

    /// Makes the reserved fast commit durable, with the file data that it
    /// describes. Without a TLV it writes nothing and still is the barrier that
    /// fsync owes. On an error the commit is discarded.
    pub fn commit<M: Medium>(&mut self, medium: &mut M) -> Result<Commit, WriteError<M::Error>> {
        // Of an incomplete commit, and on a closed log, it is not asked.
        let looked = match self.phase {
            Phase::Open => self.look(),
            _ => Ok(()),
        };
        let contents = Contents(self.contents);
        match looked.and_then(|()| self.commit_as(medium, contents)) {
            Ok(done) => Ok(done),
            Err(error) => Err(self.given_up(error)),
        }
    }

    /// Where TLVs can be put, one behind the other, until the next call. Empty if the log is
    /// closed or full.
    #[inline]
    pub fn window(&mut self) -> &mut [u8] {
        let (from, to) = (self.staged, self.room);
        let payload = self.staging.as_mut().get_mut(HEADER_LEN..);
        payload
            .and_then(|payload| payload.get_mut(from..to))
            .unwrap_or_default()
    }

    /// A window with room for `len` bytes, after `filled` bytes of the last one. A full record
    /// is copied to the medium, unsealed. Fails as [`reserve`](Self::reserve).
    pub fn next_window<M: Medium>(
        &mut self,
        medium: &mut M,
        filled: usize,
        len: usize,
    ) -> Result<&mut [u8], WriteError<M::Error>> {
        self.fill(filled);
        self.make_room(medium, len, cfg!(debug_assertions))?;
        Ok(self.window())
    }

    /// As [`commit`](Self::commit), of what was put into windows: `filled` bytes are in the
    /// last one. `contents` is what all of it contains.
    #[inline(always)]
    pub fn commit_window<M: Medium>(
        &mut self,
        medium: &mut M,
        filled: usize,
        contents: Contents,
    ) -> Result<Commit, WriteError<M::Error>> {
        self.fill(filled);
        let stated = match cfg!(debug_assertions) {
            true => self.compare(contents),
            false => Ok(()),
        };
        match stated.and_then(|()| self.commit_as(medium, contents)) {
            Ok(done) => Ok(done),
            Err(error) => Err(self.given_up(error)),
        }
    }

    /// Drops a commit that has failed.
    #[cold]
    fn given_up<E>(&mut self, error: WriteError<E>) -> WriteError<E> {
        self.discard();
        error
    }

    /// Notes that the window has TLVs.
    #[inline]
    fn fill(&mut self, filled: usize) {
        self.staged = self.staged.saturating_add(filled).min(self.room);
    }

    /// Drops what was gathered. Records that were copied in stay unsealed, or are
    /// overwritten by the next commit.
    #[inline]
    pub fn discard(&mut self) {
        if self.phase == Phase::Incomplete {
            self.phase = Phase::Open;
        }
        self.rewind();
    }

    /// The next commit begins where the durable ones end.
    #[inline(always)]
    fn rewind(&mut self) {
        self.at = self.durable;
        self.staged = 0;
        self.payload_bytes = 0;
        self.crc = SEED;
        self.contents = 0;
        self.room = match self.phase {
            Phase::Open => self.room_at(self.at.head),
            _ => 0,
        };
    }

    /// Payload bytes that a record at `head` can have.
    #[inline(always)]
    fn room_at(&self, head: u64) -> usize {
        let from = head.saturating_add(HEADER_LEN as u64);
        let payload = self.geometry.area_len().saturating_sub(from);
        usize::try_from(payload).map_or(self.payload_max, |left| left.min(self.payload_max))
    }

    /// Sees to it that `len` more bytes fit the record being staged, and that
    /// record the area; or says why nothing may be added. The commit is incomplete then.
    #[cold]
    fn make_room<M: Medium>(
        &mut self,
        medium: &mut M,
        len: usize,
        look: bool,
    ) -> Result<(), WriteError<M::Error>> {
        let made = self.try_make_room(medium, len, look);
        if made.is_err() {
            if self.phase == Phase::Open {
                self.phase = Phase::Incomplete;
            }
            self.room = 0;
        }
        made
    }

    fn try_make_room<M: Medium>(
        &mut self,
        medium: &mut M,
        len: usize,
        look: bool,
    ) -> Result<(), WriteError<M::Error>> {
        self.check_phase()?;
        if len < TL_LEN || len > self.max_tlv {
            return Err(WriteError::TlvLen(len));
        }
        let grown = self.staged.saturating_add(len);
        if grown <= self.payload_max {
            return self.check_space(self.at.head, grown);
        }
        // Not before it is certain that what follows fits as well.
        let full = self.end_of(self.at.head, self.staged)?;
        self.check_space(full, len)?;
        if look {
            self.look()?;
        }
        self.put_record(medium, false)?;
        self.room = self.room_at(full);
        Ok(())
    }

    #[inline(always)]
    fn check_phase<E>(&self) -> Result<(), WriteError<E>> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::NotStarted => Err(WriteError::NotStarted),
            Phase::Incomplete => Err(WriteError::Aborted),
            Phase::Closed => Err(WriteError::Closed),
        }
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

    /// Walks the staged TLVs: whether they are some, what they contain, and whether the
    /// opener names the features that they need.
    fn look<E>(&mut self) -> Result<(), WriteError<E>> {
        let payload = self.staging.as_ref().get(HEADER_LEN..);
        let payload = payload.and_then(|payload| payload.get(..self.staged));
        let payload = payload.ok_or(WriteError::Staging)?;
        let mut rest = payload;
        while !rest.is_empty() {
            let (row, tlv, behind) = tlv::split(rest, self.max_tlv)
                .map_err(|fault| WriteError::Tlv(TlvError::at(payload, rest, fault)))?;
            self.contents |= u32::from(row.says);
            if row.tag == Tag::Inode {
                self.contents |= needs::of_inode(tlv).bits();
            }
            rest = behind;
        }
        self.check_features(Contents(self.contents))
    }

    /// Whether `contents` is what the TLVs contain.
    #[cold]
    fn compare<E>(&mut self, contents: Contents) -> Result<(), WriteError<E>> {
        self.look()?;
        match self.contents & !contents.0 {
            0 => Ok(()),
            more => Err(WriteError::Undeclared(more)),
        }
    }

    #[inline(always)]
    fn check_features<E>(&mut self, contents: Contents) -> Result<(), WriteError<E>> {
        if contents.0 & self.lacks.bits() != 0 {
            return Err(self.refuse(contents.features()));
        }
        Ok(())
    }

    /// The opener does not name what the commit needs; the next one will.
    #[cold]
    fn refuse<E>(&mut self, needs: Features) -> WriteError<E> {
        self.features = self.features.with(needs);
        WriteError::Features(needs.without(Features::KNOWN.without(self.lacks)))
    }

    /// All steps of a commit.
    #[inline(always)]
    fn commit_as<M: Medium>(
        &mut self,
        medium: &mut M,
        contents: Contents,
    ) -> Result<Commit, WriteError<M::Error>> {
        if !self.is_gathering() {
            return self.commit_nothing(medium);
        }
        let durable = self
            .gathered(contents)?
            .data_barrier(medium)?
            .seal(medium)?
            .write_back(medium)?
            .fence(medium)?;
        Ok(durable.acknowledge())
    }

    /// An fsync without a TLV waits for what was stored before.
    #[cold]
    fn commit_nothing<M: Medium>(
        &mut self,
        medium: &mut M,
    ) -> Result<Commit, WriteError<M::Error>> {
        match self.check_phase() {
            // Nothing has been logged yet.
            Ok(()) | Err(WriteError::NotStarted) => (),
            // The transaction is to be committed in full: to say now that it is durable would
            // hide what the failed commit had.
            Err(error) => return Err(error),
        }
        match medium.file_data() {
            FileData::Here => barrier(medium)?,
            FileData::Apart { .. } => data_barrier(medium, false)?,
        }
        Ok(Commit::default())
    }

    /// The first state of a commit: all TLVs of it are there. Fails if one is missing, if the
    /// log is closed, or if it lacks a feature.
    #[inline(always)]
    pub fn gathered<E>(&mut self, contents: Contents) -> Result<Gathered<'_, C, S>, WriteError<E>> {
        self.check_phase()?;
        self.check_features(contents)?;
        Ok(Gathered {
            writer: self,
            contents,
        })
    }

    /// Puts a header in front of the staged payload, copies both in and goes to
    /// the next position.
    #[inline(always)]
    fn put_record<M: Medium>(
        &mut self,
        medium: &mut M,
        sealed: bool,
    ) -> Result<(), WriteError<M::Error>> {
        let payload_len = self.staged;
        let total = record_len(payload_len).ok_or(WriteError::Staging)?;
        let behind = HEADER_LEN.saturating_add(payload_len);
        if let Some(behind) = self.staging.as_mut().get_mut(behind..) {
            clear_padding(behind);
        }
        let record = self.staging.as_mut().get_mut(..total);
        let record = record.ok_or(WriteError::Staging)?;
        let Some((header, body)) = record.split_first_chunk_mut::<HEADER_LEN>() else {
            return Err(WriteError::Staging);
        };
        let Some(payload) = body.get(..payload_len) else {
            return Err(WriteError::Staging);
        };
        // Any other TLV has less room than that.
        if tlv::len_of_first(payload) > self.max_tlv {
            return Err(WriteError::TlvLen(tlv::len_of_first(payload)));
        }
        let payload_crc = C::update(SEED, payload);
        if self.commits == 0 {
            self.crc = match self.payload_bytes {
                0 => payload_crc,
                _ => C::update(self.crc, payload),
            };
        }
        let new = NewRecord {
            tid: self.tid,
            nonce: self.nonce,
            seq: self.at.seq,
            commit: self.commits.checked_add(1).ok_or(WriteError::Full)?,
            sealed,
            payload_len,
            payload_crc,
        };
        let chain = new
            .encode_to::<C>(self.at.chain, header)
            .ok_or(WriteError::Staging)?;
        let next = Position {
            head: self.at.head.saturating_add(total as u64),
            seq: self.at.seq.saturating_add(1),
            chain,
        };
        medium
            .copy_in(self.at.head, record)
            .map_err(WriteError::Medium)?;
        self.at = next;
        self.payload_bytes = self.payload_bytes.saturating_add(payload_len as u64);
        self.staged = 0;
        Ok(())
    }

    /// Stores the opener of the log's first commit, and starts to write it back.
    #[cold]
    fn put_opener<M: Medium>(
        &mut self,
        medium: &mut M,
        contents: Contents,
    ) -> Result<(), WriteError<M::Error>> {
        self.features = self.features.with(contents.features());
        self.lacks = Features::KNOWN.without(self.features);
        let opener = Opener {
            features: self.features,
            tid: self.tid,
            nonce: self.nonce,
            head: self.at.head,
            tail: self.durable.head,
            seq: self.at.seq,
            crc: self.crc,
        };
        let bytes = opener.encode::<C>(self.geometry.block_size());
        medium.copy_in(0, &bytes).map_err(WriteError::Medium)?;
        medium
            .write_back(0, OPENER_LEN as u64)
            .map_err(WriteError::Medium)
    }
}

/// A fast commit of which all TLVs have been gathered.
#[must_use]
pub struct Gathered<'w, C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> {
    writer: &'w mut LogWriter<C, S>,
    contents: Contents,
}

/// One whose file data is durable.
#[must_use]
pub struct DataDurable<'w, C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> {
    writer: &'w mut LogWriter<C, S>,
    contents: Contents,
}

/// One that has been stored, with its seal. All or a part of it may be durable, so that the log
/// is closed unless the last step is reached.
#[must_use]
pub struct Sealed<'w, C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> {
    writer: &'w mut LogWriter<C, S>,
    contents: Contents,
}

/// One whose cache lines are on their way to the medium.
#[must_use]
pub struct WrittenBack<'w, C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> {
    writer: &'w mut LogWriter<C, S>,
    contents: Contents,
}

/// One that is durable.
#[must_use]
pub struct Durable<'w, C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> {
    writer: &'w mut LogWriter<C, S>,
    contents: Contents,
}

impl<'w, C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> Gathered<'w, C, S> {
    /// Makes durable the file data that the commit describes, or that an fsync owes.
    #[inline(always)]
    pub fn data_barrier<M: Medium>(
        self,
        medium: &mut M,
    ) -> Result<DataDurable<'w, C, S>, WriteError<M::Error>> {
        data_barrier(medium, self.contents.describes_data())?;
        Ok(DataDurable {
            writer: self.writer,
            contents: self.contents,
        })
    }
}

impl<'w, C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> DataDurable<'w, C, S> {
    /// Stores the last record, which has the seal, and a log's opener.
    ///
    /// From here on the medium may hold the seal or a part of it. A commit that fails now must
    /// not be tried again at the same place: if it was the first, an opener of this try and
    /// records of the next could both be durable, and disagree.
    #[inline(always)]
    pub fn seal<M: Medium>(self, medium: &mut M) -> Result<Sealed<'w, C, S>, WriteError<M::Error>> {
        let writer = self.writer;
        writer.phase = Phase::Closed;
        writer.put_record(medium, true)?;
        if writer.commits == 0 {
            writer.put_opener(medium, self.contents)?;
        }
        Ok(Sealed {
            writer,
            contents: self.contents,
        })
    }
}

impl<'w, C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> Sealed<'w, C, S> {
    /// Starts to write back the commit's records.
    #[inline(always)]
    pub fn write_back<M: Medium>(
        self,
        medium: &mut M,
    ) -> Result<WrittenBack<'w, C, S>, WriteError<M::Error>> {
        let tail = self.writer.durable.head;
        let len = self.writer.at.head.saturating_sub(tail);
        medium.write_back(tail, len).map_err(WriteError::Medium)?;
        Ok(WrittenBack {
            writer: self.writer,
            contents: self.contents,
        })
    }
}

impl<'w, C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> WrittenBack<'w, C, S> {
    /// Waits for that, and has the device flushed where it needs that.
    #[inline(always)]
    pub fn fence<M: Medium>(
        self,
        medium: &mut M,
    ) -> Result<Durable<'w, C, S>, WriteError<M::Error>> {
        medium.fence();
        if medium.persistence() == Persistence::NeedsFlush {
            medium.flush_device().map_err(WriteError::Medium)?;
        }
        Ok(Durable {
            writer: self.writer,
            contents: self.contents,
        })
    }
}

impl<C: Crc32c, S: AsRef<[u8]> + AsMut<[u8]>> Durable<'_, C, S> {
    /// Lets the log grow by the commit.
    #[inline(always)]
    pub fn acknowledge(self) -> Commit {
        let writer = self.writer;
        let records = writer.at.seq.wrapping_sub(writer.durable.seq);
        let commit = Commit {
            ordinal: writer.commits.saturating_add(1),
            // No log has more than 2^32 lines.
            records: records as u32,
            payload_bytes: writer.payload_bytes,
            log_bytes: writer.at.head.saturating_sub(writer.durable.head),
            describes_data: self.contents.describes_data(),
            opener_written: writer.commits == 0,
        };
        writer.commits = commit.ordinal;
        writer.durable = writer.at;
        writer.phase = Phase::Open;
        writer.payload_bytes = 0;
        writer.contents = 0;
        writer.room = writer.room_at(writer.durable.head);
        commit
    }
}

/// Zeroes what lies between a record's payload and the next line, of the bytes
/// behind the payload. All of a line, if there is one: a number of bytes that is
/// known takes no loop.
#[inline]
fn clear_padding(behind: &mut [u8]) {
    match behind.first_chunk_mut::<ALIGN>() {
        Some(line) => *line = [0; ALIGN],
        None => behind.fill(0),
    }
}

/// Makes durable the file data that the commit describes or owes, before its seal
/// can be.
#[inline]
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
