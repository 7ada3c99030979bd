// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The log reader: what of an area is to be replayed.
//!
//! The area is memory that others can change. Whatever is acted on has been
//! copied out of it once and is checked and used in that copy. Reading takes
//! time in proportion to the area's length, whatever the area holds.

use super::crc::{chain_seed, Crc32c, SEED};
use super::error::{Damage, Fault, ReadError};
use super::geometry::Geometry;
use super::legacy;
use super::opener::{Block0, Opener, Prefix, OPENER_LEN};
use super::record::{Record, DEFAULT_PAYLOAD, HEADER_LEN, MAX_PAYLOAD};
use super::scan;
use super::source::{Outcome, Source};

/// Bytes of scratch buffer with which [`read_log`] reads every log: the largest
/// payload.
pub const SCRATCH_LEN: usize = MAX_PAYLOAD;

/// Fewest bytes of scratch buffer: enough for logs whose records have payloads of
/// the default size at most.
pub const MIN_SCRATCH: usize = DEFAULT_PAYLOAD + scan::CHUNK;

/// The fast-commit area, for reading.
pub trait ReadArea {
    /// Why bytes could not be read, such as a poisoned line.
    type Error;

    /// Length of the area in bytes, block 0 included.
    fn len(&self) -> u64;

    /// Whether the area has no bytes; such an area is refused.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` with a copy of the bytes at `off`, which are inside the area.
    fn copy_out(&self, off: u64, buf: &mut [u8]) -> Result<(), Self::Error>;
}

/// What a log must be of to be replayed.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The transaction that journal recovery ended before.
    pub tid: u32,
    /// The filesystem's UUID.
    pub uuid: &'a [u8; 16],
    /// The filesystem's block size in bytes.
    pub block_size: u32,
}

/// Takes the log in.
///
/// Records come in order. Those told since the last [`sealed`](Self::sealed)
/// count only when the next one comes: at the end of reading the sink drops what
/// no seal followed. If reading fails the sink drops everything.
pub trait Sink {
    /// Why something could not be taken in.
    type Error;

    /// A record and its payload, a run of whole TLVs.
    fn record(&mut self, record: &Record, payload: &[u8]) -> Result<(), Self::Error>;

    /// The records told since the last seal are fast commit number `commit` of
    /// the log, from 1 and without gaps; a version 1 log has one.
    fn sealed(&mut self, commit: u32) -> Result<(), Self::Error>;
}

/// What an area holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No fast commit in any format.
    Empty,
    /// A log in stock format: for ext4 to read, unchanged.
    Stock,
    /// A log of another transaction: nothing to replay.
    Stale {
        /// That transaction.
        tid: u32,
    },
    /// An opener that is not whole: its fast commit was not acknowledged, there
    /// is nothing to replay. One that was whole and has lost its identity and more
    /// looks the same.
    Torn,
    /// The RFC's log.
    V1,
    /// This format's log, possibly without a sealed fast commit.
    V2,
}

/// Where and why a log ends before the area does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Offset of what is not the next record, bytes from the start of the area.
    pub offset: u64,
    /// What it lacks for that.
    pub reason: Fault,
}

/// The result of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// What the area holds.
    pub found: Found,
    /// The expected transaction.
    pub tid: u32,
    /// Fast commits to replay.
    pub commits: u32,
    /// Their records.
    pub records: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Offset where the last of them ends, bytes from the start of the area.
    pub head: u64,
    /// Where reading ended; `None` at the end of the area or of a version 1
    /// window, and where no log was read.
    pub stop: Option<Stop>,
}

/// Reads the log of `area` into `sink`.
///
/// `scratch` has at least [`MIN_SCRATCH`] bytes; with [`SCRATCH_LEN`] it is never too
/// short.
pub fn read_log<C: Crc32c, A: ReadArea, S: Sink>(
    area: &A,
    expected: &Expected<'_>,
    scratch: &mut [u8],
    sink: &mut S,
) -> Result<Log, ReadError<A::Error, S::Error>> {
    let geometry =
        Geometry::of_area(expected.block_size, area.len()).map_err(ReadError::Geometry)?;
    if scratch.len() < MIN_SCRATCH {
        return Err(ReadError::Scratch);
    }
    let source = Source {
        area,
        geometry,
        tid: expected.tid,
    };
    let start = geometry.log_start();
    let mut prefix = [0; OPENER_LEN];
    source.copy_out(0, &mut prefix)?;
    let prefix = Prefix::new(&prefix);
    let opener = match prefix.classify::<C>(geometry.block_size()) {
        Block0::Whole(opener) => opener,
        Block0::Stock => return Ok(source.nothing(Found::Stock, start)),
        block0 => {
            // Only the tid's first commit writes here. If the log went further,
            // the opener was whole once.
            let tid = expected.tid;
            if prefix.may_be_of(tid) {
                let ours = |nonce| prefix.was_of::<C>(tid, nonce, geometry.block_size());
                scan::no_commit_beyond::<C, A, S::Error>(&source, ours, 0, start, scratch)?;
            }
            let found = match block0 {
                Block0::Empty => Found::Empty,
                _ => Found::Torn,
            };
            return Ok(source.nothing(found, start));
        }
    };
    if opener.tid != expected.tid {
        return Ok(source.nothing(Found::Stale { tid: opener.tid }, start));
    }
    if opener.features != 0 {
        return Err(ReadError::Features(opener.features));
    }
    if !source.window_is_valid(&opener) {
        return Err(ReadError::Damaged {
            offset: 0,
            damage: Damage::Window,
        });
    }
    // The first record tells the version, for the opener has the same layout in
    // both. Only version 1 writes an empty window.
    let first = source.header(opener.tail, opener.head)?;
    let Some(first) = first.filter(|first| !legacy::is_v1::<C>(first, expected.tid)) else {
        return legacy::read::<C, A, S>(&source, &opener, first, scratch, sink);
    };
    let seed = chain_seed::<C>(expected.uuid, expected.tid, opener.nonce);
    Walk::new(&source, &opener, first, seed).run::<C, S>(scratch, sink)
}

/// The walk along a version 2 log.
struct Walk<'a, A> {
    source: &'a Source<'a, A>,
    opener: &'a Opener,
    /// The first record's header, which has been copied out.
    first: Option<[u8; HEADER_LEN]>,
    /// Place of the next record, its number and its header's seed.
    at: u64,
    seq: u64,
    chain: u32,
    /// Payload bytes up to here, and the CRC over the first commit's.
    bytes: u64,
    crc: u32,
    /// What is durable: all up to the last seal.
    log: Log,
}

impl<'a, A: ReadArea> Walk<'a, A> {
    fn new(
        source: &'a Source<'a, A>,
        opener: &'a Opener,
        first: [u8; HEADER_LEN],
        seed: u32,
    ) -> Self {
        Self {
            source,
            opener,
            first: Some(first),
            at: opener.tail,
            seq: 0,
            chain: seed,
            bytes: 0,
            crc: SEED,
            log: source.nothing(Found::V2, opener.tail),
        }
    }

    fn run<C: Crc32c, S: Sink>(
        mut self,
        scratch: &mut [u8],
        sink: &mut S,
    ) -> Result<Log, ReadError<A::Error, S::Error>> {
        while let Some(header) = self.next_header()? {
            let fault = match Record::parse_v2::<C>(&header, self.chain) {
                Ok(record) => match self.step::<C, S>(&record, scratch, sink)? {
                    Ok(()) => continue,
                    Err(fault) => fault,
                },
                Err(fault) => fault,
            };
            if !fault.can_be_torn() {
                return Err(self.damaged(Damage::Record(fault)));
            }
            self.log.stop = Some(Stop {
                offset: self.at,
                reason: fault,
            });
            self.check_beyond::<C, S>(scratch)?;
            break;
        }
        Ok(self.log)
    }

    /// A copy of the next record's header, unless the area ends.
    fn next_header<S>(&mut self) -> Result<Option<[u8; HEADER_LEN]>, ReadError<A::Error, S>> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => {
                let end = self.source.geometry.area_len();
                self.source.header(self.at, end)
            }
        }
    }

    /// Goes over one record. The inner error says why it is not the next one.
    fn step<C: Crc32c, S: Sink>(
        &mut self,
        record: &Record,
        scratch: &mut [u8],
        sink: &mut S,
    ) -> Outcome<(), A::Error, S::Error> {
        if let Err(fault) = self.check_place(record) {
            return Ok(Err(fault));
        }
        let end = self.source.geometry.area_len();
        let (payload, behind) = match self.source.body::<C, _>(record, self.at, end, scratch)? {
            Ok(body) => body,
            Err(fault) => return Ok(Err(fault)),
        };
        sink.record(record, payload).map_err(ReadError::Sink)?;
        if record.commit() == 1 {
            self.crc = C::update(self.crc, payload);
        }
        self.at = behind;
        self.seq = match self.seq.checked_add(1) {
            Some(seq) => seq,
            None => return Ok(Err(Fault::Seq(self.seq))),
        };
        self.chain = record.header_crc();
        self.bytes = self.bytes.saturating_add(payload.len() as u64);
        if record.is_sealed() {
            if record.commit() == 1 {
                self.check_anchor()?;
            }
            sink.sealed(record.commit()).map_err(ReadError::Sink)?;
            self.log.commits = record.commit();
            self.log.records = self.seq;
            self.log.bytes = self.bytes;
            self.log.head = self.at;
        }
        Ok(Ok(()))
    }

    /// Whether `record`, which continues the chain, says what its place demands.
    fn check_place(&self, record: &Record) -> Result<(), Fault> {
        if record.tid() != self.opener.tid {
            return Err(Fault::Tid(record.tid()));
        }
        if record.nonce() != self.opener.nonce {
            return Err(Fault::Nonce(record.nonce()));
        }
        if record.seq() != self.seq {
            return Err(Fault::Seq(record.seq()));
        }
        // Also within a commit: all its records have the same ordinal.
        if Some(record.commit()) != self.log.commits.checked_add(1) {
            return Err(Fault::Commit(record.commit()));
        }
        Ok(())
    }

    /// Compares the opener with the first commit, just found sealed.
    fn check_anchor<S>(&self) -> Result<(), ReadError<A::Error, S>> {
        let agrees = self.opener.head == self.at
            && self.opener.seq == self.seq
            && self.opener.crc == self.crc;
        if agrees {
            Ok(())
        } else {
            Err(self.damaged(Damage::Anchor))
        }
    }

    /// Looks beyond the end of the log for what a power cut cannot leave there.
    fn check_beyond<C: Crc32c, S: Sink>(
        &self,
        scratch: &mut [u8],
    ) -> Result<(), ReadError<A::Error, S::Error>> {
        if self.log.commits == 0 {
            legacy::none_in_window::<C, A, S::Error>(self.source, self.opener)?;
        }
        scan::no_commit_beyond::<C, A, S::Error>(
            self.source,
            |nonce| nonce == self.opener.nonce,
            self.log.commits,
            self.at,
            scratch,
        )
    }

    fn damaged<S>(&self, damage: Damage) -> ReadError<A::Error, S> {
        ReadError::Damaged {
            offset: self.at,
            damage,
        }
    }
}
