// SPDX-License-Identifier: GPL-2.0

//! What is checked: the stores, write-backs and barriers of a log's life, in order,
//! with marks that say what the filesystem promised when.
//!
//! The checker knows nothing of where a trace comes from: the format crate's
//! writer over a [`Recorder`](crate::recorder::Recorder), or a kernel that was
//! watched. A recorder of the latter does not know what a fast commit holds; see
//! [`Trace::complete`].

use crate::memory::Memory;
use crate::oracle::sealed_payloads;
use anyhow::{bail, Context, Result};
use bytelog::medium::Persistence;

/// One thing that happened. Offsets are bytes from the start of the area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Journal recovery expects this transaction from now on: the one before has
    /// been committed in full, and nothing of its log is owed any more. A power
    /// cut before the first such mark is not looked at.
    Tid(u32),
    /// A store.
    Store {
        /// Where.
        off: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A store past the caches: what a fence passes is durable without a write-back.
    Stream {
        /// Where.
        off: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Write-back of the cache lines that hold this range was started.
    WriteBack {
        /// Where it starts.
        off: u64,
        /// Bytes.
        len: u64,
    },
    /// A store fence.
    Fence,
    /// A device flush was asked for and has returned.
    Flush,
    /// File data was stored under this number, which is not used again.
    DataStore(u64),
    /// The write-back of that data has been started.
    DataFlush(u64),
    /// File data was written to a device of its own, with a number of the same kind.
    ApartStore(u64),
    /// That device was flushed: all that was written there is durable.
    ApartFlush,
    /// A fast commit is complete and about to be made durable.
    Issue(Issue),
    /// fsync returned 0: what was issued last is owed from now on.
    Ack,
    /// The fast commit failed: it may be there after a power cut or not.
    Abort,
}

/// A fast commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issue {
    /// Its TLVs, put together; empty for one that writes no record. `None`: not
    /// known, see [`Trace::complete`].
    pub payload: Option<Vec<u8>>,
    /// Numbers of the file data that must be durable before it can be there.
    pub data: Vec<u64>,
    /// Numbers of other file data that must be durable when fsync returns.
    pub synced: Vec<u64>,
}

/// A medium, what it held, and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What makes stores durable.
    pub device: Persistence,
    /// Bytes of a block.
    pub block_size: u32,
    /// The filesystem's.
    pub uuid: [u8; 16],
    /// What the area held, durably, before the first event.
    pub image: Vec<u8>,
    /// In order.
    pub events: Vec<Event>,
    /// Power cuts are tried from behind this event on; those before it have been
    /// looked at elsewhere.
    pub check_from: usize,
    /// Of a run of stores only the end is looked at: whatever a power cut could
    /// leave before, it could leave there. For traces of single instructions.
    pub runs: bool,
}

impl Trace {
    /// Fills in what the fast commits hold where that is not known: whatever the
    /// reader finds, without a power cut, when the commit is acknowledged. This
    /// trusts that the log was written right; whether it became durable, whole and
    /// in order is then still checked.
    pub fn complete(&mut self) -> Result<()> {
        let mut memory = Memory::new(self.device, self.image.clone());
        let (mut tid, mut before, mut open) = (None, 0, None);
        let mut found = Vec::new();
        for (number, event) in self.events.iter().enumerate() {
            memory
                .apply(event)
                .with_context(|| format!("event {number}"))?;
            match event {
                Event::Tid(new) => (tid, before) = (Some(*new), 0),
                Event::Issue(issue) => open = issue.payload.is_none().then_some(number),
                Event::Abort => open = None,
                Event::Ack => {
                    let tid = tid.context("a commit outside a transaction")?;
                    let commits =
                        sealed_payloads(memory.visible(), tid, &self.uuid, self.block_size)
                            .with_context(|| format!("the log at event {number}"))?;
                    if let Some(at) = open.take() {
                        let payload = match commits.len().checked_sub(before) {
                            Some(0) => Vec::new(),
                            Some(1) => commits.last().cloned().unwrap_or_default(),
                            _ => bail!("event {number}: {} commits, after {before}", commits.len()),
                        };
                        found.push((at, payload));
                    }
                    before = commits.len();
                }
                _ => (),
            }
        }
        for (at, payload) in found {
            if let Some(Event::Issue(issue)) = self.events.get_mut(at) {
                issue.payload = Some(payload);
            }
        }
        Ok(())
    }
}
