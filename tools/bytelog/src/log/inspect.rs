// SPDX-License-Identifier: GPL-2.0

//! What recovery would find in a filesystem's fast-commit area.

use super::stock::{self, StockLog};
use super::survivors::{self, Survivor};
use crate::bytes::le32;
use crate::crc::Crc;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::jbd2::area::Area;
use crate::jbd2::scan::{scan, Scan};
use bytelog::error::ReadError;
use bytelog::features::Features;
use bytelog::geometry::BlockSize;
use bytelog::opener::{Block0, Opener, Prefix, OPENER_LEN};
use bytelog::reader::{read_log, Expected, Found, Log, ReadArea, Sink, SCRATCH_LEN};
use bytelog::record::{Record, HEADER_LEN, MAGIC};
use schemars::JsonSchema;
use serde::Serialize;
use std::convert::Infallible;

/// What is in the area, or why nobody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The filesystem was unmounted: nothing needs recovery.
    Clean,
    /// The journal says that it is empty: recovery does not look at fast commits.
    NothingCommitted,
    /// The journal has no fast-commit area, so that recovery does not look at one.
    NoArea,
    /// No fast commit.
    Empty,
    /// A log in stock format.
    Stock,
    /// A ByteLog of another transaction: redundant.
    Stale,
    /// An opener that is not whole: the first fast commit was not acknowledged.
    TornOpener,
    /// The RFC's log.
    V1,
    /// This format's log.
    V2,
    /// A ByteLog with features that this version does not know.
    Later,
    /// A ByteLog that cannot be replayed.
    Damaged,
    /// Recovery fails before it comes to fast commits.
    JournalDamaged,
}

impl State {
    /// Whether something in the area is ByteLog's that a stock replay must not meet.
    pub fn is_ours(self) -> bool {
        matches!(
            self,
            Self::Stale | Self::TornOpener | Self::V1 | Self::V2 | Self::Later | Self::Damaged
        )
    }

    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Clean => "clean: the filesystem was unmounted",
            Self::NothingCommitted => "empty: nothing was committed since the last recovery",
            Self::NoArea => "none: the journal has no fast-commit area",
            Self::Empty => "empty: no fast commit",
            Self::Stock => "stock fast commits",
            Self::Stale => "empty: only a log that a full commit made redundant",
            Self::TornOpener => "empty: the first fast commit was cut off",
            Self::V1 => "ByteLog, version 1 (RFC)",
            Self::V2 => "ByteLog, version 2",
            Self::Later => "ByteLog, of a later version",
            Self::Damaged => "ByteLog, damaged",
            Self::JournalDamaged => "not looked at: the journal's full commits are damaged",
        }
    }
}

/// A record of the log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Bytes from the start of the area.
    pub offset: u64,
    /// Its header.
    pub record: Record,
    /// Its TLVs.
    pub payload: Vec<u8>,
    /// Fast commit that it belongs to, from 1.
    pub commit: u32,
    /// Whether that commit was sealed: only then it is replayed.
    pub sealed: bool,
}

/// A place in the area where something is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// Bytes from the start of the area.
    pub offset: u64,
    /// Bytes from the start of the device or image.
    pub file_offset: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

/// All that was found.
pub struct Inspection<'a> {
    /// The area, where there is one.
    pub area: Option<Area<'a>>,
    /// The ring of a journal that has something to recover.
    pub ring: Option<Scan>,
    /// The transaction that the log has to be of.
    pub tid: Option<u32>,
    /// What is there.
    pub state: State,
    /// The opener, if it is whole.
    pub opener: Option<Opener>,
    /// What the reader said.
    pub log: Option<Log>,
    /// The records, sealed ones first.
    pub entries: Vec<Entry>,
    /// A log in stock format.
    pub stock: Option<StockLog>,
    /// Where a commit that was not acknowledged was cut off.
    pub torn: Option<Finding>,
    /// Why the log is damaged, or cannot be read by this version.
    pub damage: Option<Finding>,
    /// Records beyond the end of a torn or damaged log.
    pub survivors: Vec<Survivor>,
}

/// Keeps records as the reader tells them.
#[derive(Default)]
struct Keep {
    at: u64,
    entries: Vec<Entry>,
    commits: u32,
}

impl Sink for Keep {
    type Error = Infallible;

    fn record(&mut self, record: &Record, payload: &[u8]) -> std::result::Result<(), Infallible> {
        self.entries.push(Entry {
            offset: self.at,
            record: *record,
            payload: payload.to_vec(),
            commit: self.commits + 1,
            sealed: false,
        });
        self.at += record.record_len() as u64;
        Ok(())
    }

    fn sealed(&mut self, commit: u32) -> std::result::Result<(), Infallible> {
        for entry in self
            .entries
            .iter_mut()
            .rev()
            .take_while(|entry| !entry.sealed)
        {
            entry.sealed = true;
        }
        self.commits = commit;
        Ok(())
    }
}

/// Looks at `image` as recovery would; with `tid`, at that transaction's log, whatever
/// recovery would expect.
pub fn inspect(image: &Image, tid: Option<u32>) -> Result<Inspection<'_>> {
    let journal = &image.journal;
    let mut found = Inspection {
        area: Area::new(journal, journal.sb.fc_blocks()).ok(),
        ring: None,
        tid: None,
        state: State::Clean,
        opener: None,
        log: None,
        entries: Vec::new(),
        stock: None,
        torn: None,
        damage: None,
        survivors: Vec::new(),
    };
    found.opener = found.read_opener(image)?;
    if image.is_dirty() && journal.sb.start() != 0 {
        found.ring = Some(scan(journal));
    }
    let expected = found.ring.as_ref().map(|ring| ring.end);
    found.state = match (image.is_dirty(), expected) {
        (false, _) => State::Clean,
        (true, None) => State::NothingCommitted,
        _ if found.journal_fault().is_some() => State::JournalDamaged,
        _ if !journal.sb.has_fast_commit() => State::NoArea,
        _ => State::Empty,
    };
    found.tid = match found.state {
        State::Empty => tid.or(expected),
        _ => tid,
    };
    if let Some(tid) = found.tid {
        found.read(image, tid)?;
    }
    Ok(found)
}

impl Inspection<'_> {
    /// Why recovery of the journal's full commits fails, if it does.
    pub fn journal_fault(&self) -> Option<&Error> {
        self.ring.as_ref()?.fault.as_ref()
    }

    /// The transaction that recovery ends before; 0 if there is nothing to recover.
    pub fn end(&self) -> u32 {
        self.ring.as_ref().map_or(0, |ring| ring.end)
    }

    /// The area, or an error that says that there is none.
    pub fn area(&self, image: &Image) -> Result<&Area<'_>> {
        self.area.as_ref().ok_or_else(|| {
            Error::refused(image.store.name(), "the journal has no fast-commit area")
                .remedy("enable the feature with tune2fs -O fast_commit")
        })
    }

    fn read_opener(&self, image: &Image) -> Result<Option<Opener>> {
        let Some(area) = self.area.as_ref().filter(|area| area.blocks() > 0) else {
            return Ok(None);
        };
        let mut prefix = [0; OPENER_LEN];
        if area.copy_out(0, &mut prefix).is_err() {
            // Whether that matters is seen where it is read as a log.
            return Ok(None);
        }
        let size = BlockSize::new(image.sb.block_size() as u32);
        let size = size.map_err(|error| Error::refused(image.store.name(), error))?;
        Ok(match Prefix::new(&prefix).classify::<Crc>(size) {
            Block0::Whole(opener) => Some(opener),
            _ => None,
        })
    }

    fn read(&mut self, image: &Image, tid: u32) -> Result<()> {
        let uuid = image.sb.uuid();
        let block_size = image.sb.block_size();
        let expected = Expected {
            tid,
            uuid: &uuid,
            block_size: block_size as u32,
        };
        let mut keep = Keep {
            at: self.opener.map_or(0, |opener| opener.tail),
            ..Keep::default()
        };
        let mut scratch = vec![0; SCRATCH_LEN];
        let area = self.area(image)?;
        let read = read_log::<Crc, _, _>(area, &expected, &mut scratch, &mut keep);
        if read.as_ref().is_ok_and(|log| log.found == Found::Stock) {
            match stock::scan(area, block_size as usize, tid) {
                Ok(log) => self.stock = Some(log),
                Err(error) => self.damage = Some(self.finding(0, error.cause)),
            }
        }
        match read {
            Ok(log) => {
                self.state = match log.found {
                    Found::Empty => State::Empty,
                    Found::Stock if self.damage.is_some() => State::Damaged,
                    Found::Stock => State::Stock,
                    Found::Stale { .. } => State::Stale,
                    Found::Torn | Found::Headless => State::TornOpener,
                    Found::V1 => State::V1,
                    Found::V2 => State::V2,
                };
                self.torn = self.torn_end(&log, tid)?;
                self.log = Some(log);
            }
            Err(error) => {
                self.state = match error {
                    ReadError::Features(_) => State::Later,
                    _ => State::Damaged,
                };
                let (offset, reason) = match error {
                    // Such as a line of persistent memory that is lost.
                    ReadError::Area { offset, error } => {
                        (offset, format!("it cannot be read: {}", error.cause))
                    }
                    ReadError::Damaged { offset, damage } => (offset, damage.to_string()),
                    other => (0, other.to_string()),
                };
                self.damage = Some(self.finding(offset, reason));
            }
        }
        self.entries = keep.entries;
        self.look_beyond(image, tid);
        Ok(())
    }

    fn finding(&self, offset: u64, reason: String) -> Finding {
        Finding {
            offset,
            file_offset: self.area.as_ref().and_then(|area| area.file_offset(offset)),
            reason,
        }
    }

    /// Whether a commit of this log was cut off at its end.
    fn torn_end(&self, log: &Log, tid: u32) -> Result<Option<Finding>> {
        if log.found == Found::Torn {
            return Ok(Some(self.finding(0, "the opener is not whole".into())));
        }
        if log.found == Found::Headless {
            let reason = "the opener is empty, but a log of this transaction stands behind it";
            return Ok(Some(self.finding(0, reason.into())));
        }
        let (Some(stop), Some(opener), Some(area)) = (log.stop, self.opener, &self.area) else {
            return Ok(None);
        };
        let finding = Some(self.finding(stop.offset, stop.reason.to_string()));
        if stop.offset > log.head || log.commits == 0 {
            return Ok(finding);
        }
        let mut header = [0; HEADER_LEN];
        if stop.offset + HEADER_LEN as u64 > area.len() {
            return Ok(None);
        }
        area.copy_out(stop.offset, &mut header)?;
        let of_this_log = le32(&header, 0) == MAGIC
            && le32(&header, 8) == tid
            && le32(&header, 44) == opener.nonce;
        Ok(finding.filter(|_| of_this_log))
    }

    fn look_beyond(&mut self, image: &Image, tid: u32) {
        let finding = self.damage.as_ref().or(self.torn.as_ref());
        let (Some(finding), Some(area)) = (finding, &self.area) else {
            return;
        };
        // Under a torn opener lie the records of an older log.
        if self.opener.is_none() && self.damage.is_none() {
            return;
        }
        let block_size = image.sb.block_size();
        let from = finding.offset.max(block_size);
        let max_tlv = block_size as usize - bytelog::tlv::TL_LEN;
        // Version 1 records have no nonce; what is wrong with them has been said.
        let log = survivors::LogId {
            tid,
            uuid: &image.sb.uuid(),
            nonce: self.opener.map(|opener| opener.nonce),
            chain: self.entries.last().map(|last| last.record.header_crc()),
        };
        self.survivors = survivors::find(area, from, &log, max_tlv);
    }

    /// Records of sealed commits.
    pub fn sealed(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.sealed)
    }

    /// The TLVs to replay, in order.
    pub fn tlvs(&self) -> Vec<u8> {
        let payloads = self.sealed().map(|entry| entry.payload.as_slice());
        payloads.collect::<Vec<_>>().concat()
    }

    /// What the log may contain that stock replay cannot do. A damaged log says so, too.
    pub fn features(&self) -> Features {
        match (self.state, self.opener) {
            (State::V2 | State::Damaged, Some(opener)) => opener.features,
            _ => Features::default(),
        }
    }

    /// Sealed commits.
    pub fn commits(&self) -> u32 {
        let commits = self.sealed().map(|entry| entry.commit);
        commits.max().unwrap_or(0)
    }

    /// Bytes of the area that the log takes up to the end of the last sealed commit,
    /// opener block included.
    pub fn used(&self) -> u64 {
        let ends = self.sealed();
        let ends = ends.map(|entry| entry.offset + entry.record.record_len() as u64);
        ends.max().or(self.log.map(|log| log.head)).unwrap_or(0)
    }
}
