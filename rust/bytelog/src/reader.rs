// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The log reader: what of an area is to be replayed.
//!
//! The area is memory that others can change. Whatever is acted on has been
//! copied out of it once and is checked and used in that copy. Reading takes
//! time in proportion to the area's length, whatever the area holds.

use super::crc::{chain_seed, Crc32c, SEED};
use super::error::{Damage, Fault, ReadError};
use super::features::Features;
use super::geometry::Geometry;
use super::legacy;
pub use super::log::{Found, Log, ReadArea, Sink, Stop};
use super::needs;
use super::opener::{Block0, Opener, Prefix, OPENER_LEN};
use super::record::{self, Record, DEFAULT_PAYLOAD, HEADER_LEN, MAX_PAYLOAD};
use super::scan;
use super::source::{Outcome, Source};

/// Bytes of scratch buffer with which [`read_log`] reads every log: the largest
/// payload.
pub const SCRATCH_LEN: usize = MAX_PAYLOAD;

/// Fewest bytes of scratch buffer: enough for logs whose records have payloads of
/// the default size at most.
pub const MIN_SCRATCH: usize = DEFAULT_PAYLOAD + scan::CHUNK;

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
                Block0::Empty if has_log::<C, A, S>(&source, expected, scratch)? => Found::Headless,
                Block0::Empty => Found::Empty,
                _ => Found::Torn,
            };
            return Ok(source.nothing(found, start));
        }
    };
    if opener.tid != expected.tid {
        return Ok(source.nothing(Found::Stale { tid: opener.tid }, start));
    }
    let unknown = opener.features.without(Features::KNOWN);
    if !unknown.is_empty() {
        return Err(ReadError::Features(unknown));
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

/// Whether a log of the expected transaction, with a second commit, stands behind an opener
/// of which nothing is left.
fn has_log<C: Crc32c, A: ReadArea, S: Sink>(
    source: &Source<'_, A>,
    expected: &Expected<'_>,
    scratch: &mut [u8],
) -> Result<bool, ReadError<A::Error, S::Error>> {
    let (start, end) = (source.geometry.log_start(), source.geometry.area_len());
    let mut header = [0; HEADER_LEN];
    // If that line is lost nothing tells of a log. As without one, nothing is replayed.
    if end <= start || source.area.copy_out(start, &mut header).is_err() {
        return Ok(false);
    }
    let nonce = record::nonce(&header);
    let seed = chain_seed::<C>(expected.uuid, expected.tid, nonce);
    let is_first = Record::parse_v2::<C>(&header, seed)
        .is_ok_and(|record| record.tid() == expected.tid && record.commit() == 1);
    if !is_first {
        return Ok(false);
    }
    let ours = |other| other == nonce;
    match scan::no_commit_beyond::<C, A, S::Error>(source, ours, 0, start, scratch) {
        Err(ReadError::Damaged { .. }) => Ok(true),
        other => other.map(|()| false),
    }
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
            log: Log {
                features: opener.features,
                ..source.nothing(Found::V2, opener.tail)
            },
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
            self.check_beyond::<C, S>(fault, scratch)?;
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
        // No writer does this: a reader that does not know the feature would replay it.
        let lacking = needs::of_run(payload).without(self.opener.features);
        if !lacking.is_empty() {
            return Ok(Err(Fault::Features(lacking)));
        }
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
        fault: Fault,
        scratch: &mut [u8],
    ) -> Result<(), ReadError<A::Error, S::Error>> {
        // Where a version 2 header has been begun, what is left of version 1 is stale.
        if self.seq == 0 && !fault.has_v2_header() {
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
