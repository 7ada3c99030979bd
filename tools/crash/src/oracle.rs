// SPDX-License-Identifier: GPL-2.0

//! What was promised, and whether an image keeps it.

use crate::memory::Memory;
use crate::trace::{Event, Issue};
use anyhow::{anyhow, bail, Context, Result};
use bytelog::crc::{Crc32c, SEED};
use bytelog::error::ReadError;
use bytelog::reader::{read_log, Expected, Log, ReadArea, Sink, SCRATCH_LEN};
use bytelog::record::Record;
use std::convert::Infallible;
use std::fmt;

/// CRC32C, which the crate of that name inverts at both ends.
pub struct Crc;

impl Crc32c for Crc {
    fn update(seed: u32, data: &[u8]) -> u32 {
        !crc32c::crc32c_append(!seed, data)
    }
}

/// What is checked of an image. In the order of the checks: an image that fails
/// several is told as the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Reading fails on nothing that only a power cut made.
    Readable,
    /// Reading twice gives the same.
    Twice,
    /// What was acknowledged is there.
    Acknowledged,
    /// What was not issued is not.
    NotIssued,
    /// Every commit is what was issued, in order and whole.
    Whole,
    /// A commit is not durable before the data that it describes, and fsync does
    /// not return before.
    Data,
    /// An acknowledged commit that was destroyed, and more follow, is told as
    /// damage.
    Damage,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Readable => "readable",
            Self::Twice => "read twice",
            Self::Acknowledged => "acknowledged",
            Self::NotIssued => "not issued",
            Self::Whole => "order and whole",
            Self::Data => "data first",
            Self::Damage => "damage told",
        })
    }
}

/// What an image or an event does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The check that says so.
    pub check: Check,
    /// In words.
    pub what: String,
}

impl Broken {
    /// Failed `check`, because of `what`.
    pub fn new(check: Check, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { check, what }
    }
}

/// An image, as the reader sees it.
pub struct Area<'a>(pub &'a [u8]);

impl ReadArea for Area<'_> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn copy_out(&self, off: u64, buf: &mut [u8]) -> Result<(), Infallible> {
        // The reader keeps inside the area; if it did not, that is to be seen.
        let off = off as usize;
        buf.copy_from_slice(&self.0[off..off + buf.len()]);
        Ok(())
    }
}

/// Compares what is read with what was issued, without keeping it.
struct Compare<'a> {
    issued: &'a [Vec<u8>],
    /// Sealed commits, and bytes of the open one.
    sealed: usize,
    open: usize,
    /// First commit that is not what was issued.
    wrong: Option<usize>,
    /// Of everything told, in order.
    digest: u32,
}

impl Compare<'_> {
    fn new(issued: &[Vec<u8>]) -> Compare<'_> {
        Compare {
            issued,
            sealed: 0,
            open: 0,
            wrong: None,
            digest: SEED,
        }
    }

    fn mismatch(&mut self) {
        self.wrong.get_or_insert(self.sealed);
    }
}

impl Sink for Compare<'_> {
    type Error = Infallible;

    fn record(&mut self, _: &Record, payload: &[u8]) -> Result<(), Infallible> {
        self.digest = Crc::update(self.digest, payload);
        let end = self.open + payload.len();
        let expected = self.issued.get(self.sealed);
        if expected.and_then(|issue| issue.get(self.open..end)) != Some(payload) {
            self.mismatch();
        }
        self.open = end;
        Ok(())
    }

    fn sealed(&mut self, commit: u32) -> Result<(), Infallible> {
        self.digest = Crc::update(self.digest, &commit.to_le_bytes());
        if self.issued.get(self.sealed).map(Vec::len) != Some(self.open)
            || commit as usize != self.sealed + 1
        {
            self.mismatch();
        }
        // A record that no seal follows does not count, whatever is in it.
        self.sealed += 1;
        self.open = 0;
        Ok(())
    }
}

/// Keeps the payload of each sealed commit.
#[derive(Default)]
struct Collect {
    commits: Vec<Vec<u8>>,
    open: Vec<u8>,
}

impl Sink for Collect {
    type Error = Infallible;

    fn record(&mut self, _: &Record, payload: &[u8]) -> Result<(), Infallible> {
        self.open.extend_from_slice(payload);
        Ok(())
    }

    fn sealed(&mut self, _: u32) -> Result<(), Infallible> {
        self.commits.push(std::mem::take(&mut self.open));
        Ok(())
    }
}

/// The payloads of the commits that recovery would find in `image`.
pub fn sealed_payloads(
    image: &[u8],
    tid: u32,
    uuid: &[u8; 16],
    block_size: u32,
) -> Result<Vec<Vec<u8>>> {
    let expected = Expected {
        tid,
        uuid,
        block_size,
    };
    let mut sink = Collect::default();
    let mut scratch = vec![0; SCRATCH_LEN];
    match read_log::<Crc, _, _>(&Area(image), &expected, &mut scratch, &mut sink) {
        Ok(_) => Ok(sink.commits),
        Err(error) => Err(anyhow!("{error}")),
    }
}

/// What an image turned out to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was in flight.
    Settled,
    /// The commit in flight is there.
    Kept,
    /// The commit in flight is not there.
    Lost,
}

/// The promises made so far, with what is needed to check them.
pub struct Oracle {
    uuid: [u8; 16],
    block_size: u32,
    tid: Option<u32>,
    /// Payloads of this transaction's commits; the last one perhaps in flight.
    issued: Vec<Vec<u8>>,
    /// The file data they describe.
    data: Vec<Vec<u64>>,
    acknowledged: usize,
    /// Issued last, if it has not been acknowledged and has not failed.
    flying: Option<Issue>,
    scratch: [Vec<u8>; 2],
}

impl Oracle {
    /// Nothing has been promised.
    pub fn new(uuid: [u8; 16], block_size: u32) -> Self {
        Self {
            uuid,
            block_size,
            tid: None,
            issued: Vec::new(),
            data: Vec::new(),
            acknowledged: 0,
            flying: None,
            scratch: [vec![0; SCRATCH_LEN], vec![0; SCRATCH_LEN]],
        }
    }

    /// Whether a power cut now is looked at.
    pub fn is_watching(&self) -> bool {
        self.tid.is_some()
    }

    /// The transaction that recovery expects.
    pub fn tid(&self) -> u32 {
        self.tid.unwrap_or_default()
    }

    /// Payloads of the acknowledged commits.
    pub fn acknowledged(&self) -> &[Vec<u8>] {
        &self.issued[..self.acknowledged]
    }

    /// Takes note of `event`, after `memory` has. The inner error is a promise
    /// that the event itself breaks.
    pub fn note(&mut self, event: &Event, memory: &Memory) -> Result<Result<(), Broken>> {
        match event {
            Event::Tid(tid) => {
                self.tid = Some(*tid);
                self.issued.clear();
                self.data.clear();
                self.acknowledged = 0;
                self.flying = None;
            }
            Event::Issue(issue) => {
                if self.flying.is_some() {
                    bail!("a commit is issued before the one before has ended");
                }
                let payload = issue.payload.clone().context("an unknown payload")?;
                if !payload.is_empty() {
                    // One that failed is not owed, and gives way to this one.
                    self.issued.truncate(self.acknowledged);
                    self.data.truncate(self.acknowledged);
                    self.issued.push(payload);
                    self.data.push(issue.data.clone());
                }
                self.flying = Some(issue.clone());
            }
            Event::Ack => {
                let issue = self.flying.take().context("no commit is in flight")?;
                if issue.payload.is_some_and(|payload| !payload.is_empty()) {
                    self.acknowledged = self.issued.len();
                }
                let owed = issue.data.iter().chain(&issue.synced);
                let late = owed.copied().find(|&n| !memory.data_is_durable(n));
                if let Some(number) = late {
                    let what = format!("fsync returned and data {number} is not durable");
                    return Ok(Err(Broken::new(Check::Data, what)));
                }
            }
            Event::Abort => {
                self.flying.take().context("no commit is in flight")?;
            }
            _ => (),
        }
        Ok(Ok(()))
    }

    /// Reads `image` as recovery would. `again` is the second time, with a scratch
    /// buffer that holds other bytes.
    fn read(&mut self, image: &[u8], again: bool) -> Result<(Log, Read), String> {
        let expected = Expected {
            tid: self.tid.unwrap_or_default(),
            uuid: &self.uuid,
            block_size: self.block_size,
        };
        let mut sink = Compare::new(&self.issued);
        let [first, second] = &mut self.scratch;
        let scratch = if again { second } else { first };
        if again {
            scratch.fill(0xa5);
        }
        let log = read_log::<Crc, _, _>(&Area(image), &expected, scratch, &mut sink)
            .map_err(|error: ReadError<_, _>| error.to_string())?;
        let read = Read {
            sealed: sink.sealed,
            // A mismatch in what no seal followed does not count.
            wrong: sink.wrong.filter(|&commit| commit < sink.sealed),
            digest: sink.digest,
        };
        Ok((log, read))
    }

    /// Reads `image` for something else than a power cut: how many commits it
    /// holds, and whether they are what was issued.
    pub fn read_damaged(&mut self, image: &[u8]) -> Result<(usize, bool), String> {
        let (_, read) = self.read(image, false)?;
        Ok((read.sealed, read.wrong.is_none()))
    }

    /// Whether `image`, which a power cut could leave now, keeps every promise.
    pub fn check(&mut self, image: &[u8], memory: &Memory) -> Result<Outcome, Broken> {
        let first = self.read(image, false);
        let second = self.read(image, true);
        if first != second {
            return Err(Broken::new(Check::Twice, "read twice, found different"));
        }
        let (log, read) = first.map_err(|error| Broken::new(Check::Readable, error))?;
        let (there, owed) = (read.sealed, self.acknowledged);
        if there < owed {
            let what = format!(
                "{owed} commits acknowledged, {there} there ({:?})",
                log.found
            );
            return Err(Broken::new(Check::Acknowledged, what));
        }
        if there > self.issued.len() {
            let what = format!("{} commits issued, {there} there", self.issued.len());
            return Err(Broken::new(Check::NotIssued, what));
        }
        if log.commits as usize != there {
            let what = format!("{there} commits told, {} counted", log.commits);
            return Err(Broken::new(Check::Whole, what));
        }
        if let Some(wrong) = read.wrong {
            let what = format!("commit {} is not what was issued", wrong + 1);
            return Err(Broken::new(Check::Whole, what));
        }
        for (number, data) in self.data.iter().take(there).enumerate() {
            if let Some(late) = data.iter().find(|&&n| !memory.data_is_durable(n)) {
                let what = format!("commit {} is there, data {late} need not be", number + 1);
                return Err(Broken::new(Check::Data, what));
            }
        }
        Ok(if self.issued.len() == owed {
            Outcome::Settled
        } else if there > owed {
            Outcome::Kept
        } else {
            Outcome::Lost
        })
    }
}

/// What reading an image gave, besides the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Read {
    sealed: usize,
    wrong: Option<usize>,
    digest: u32,
}
