// SPDX-License-Identifier: GPL-2.0

//! From a kernel's steps to a trace that the checker can follow: stores to the
//! log, what became of file data, and what was promised when.

use super::data::Data;
use super::layout::{Layout, BLOCK};
use super::steps::Step;
use crate::trace::{Event, Issue, Trace};
use anyhow::{bail, ensure, Context, Result};
use bytelog::medium::Persistence;
use bytelog_trace::session::Segment;

/// Offset and length of the superblock's UUID.
const UUID: std::ops::Range<usize> = 1024 + 104..1024 + 120;

/// A trace of the area, and what it is of.
pub struct Converted {
    /// The trace.
    pub trace: Trace,
    /// The fast commits that wrote something, in order.
    pub commits: Vec<Commit>,
    /// Transactions that were committed in full.
    pub full: u64,
}

/// An acknowledged fast commit.
pub struct Commit {
    /// Number of its fsync.
    pub fsync: u64,
    /// Transaction.
    pub tid: u32,
    /// Which one of the transaction, from 1.
    pub ordinal: u64,
    /// Its TLVs.
    pub payload: Vec<u8>,
}

/// Makes the trace of the area. `base` is the filesystem before.
pub fn convert(segment: &Segment, base: &[u8], steps: &[Step]) -> Result<Converted> {
    let uuid = base.get(UUID).and_then(|uuid| uuid.try_into().ok());
    let mut image = Vec::new();
    for block in &segment.area {
        let at = (block * BLOCK) as usize;
        let block = base.get(at..at + BLOCK as usize);
        image.extend(block.context("the area is not on the device")?);
    }
    let mut converter = Converter {
        layout: Layout::new(segment, base),
        data: Data::default(),
        events: Vec::new(),
        tid: None,
        committing: None,
        full: 0,
        open: None,
        acknowledged: Vec::new(),
    };
    for step in steps {
        converter.step(step)?;
    }
    ensure!(converter.tid.is_some(), "no transaction was committed");
    let mut trace = Trace {
        device: Persistence::Synchronous,
        block_size: BLOCK as u32,
        uuid: uuid.context("no superblock")?,
        image,
        events: converter.events,
        check_from: 0,
        runs: true,
    };
    trace.complete()?;
    converter.data.describe(&mut trace)?;
    Ok(Converted {
        commits: commits(&trace.events, &converter.acknowledged),
        full: converter.full,
        trace,
    })
}

/// The acknowledged fast commits; `fsyncs` has the number of each acknowledgement.
fn commits(events: &[Event], fsyncs: &[u64]) -> Vec<Commit> {
    let mut fsyncs = fsyncs.iter();
    let (mut tid, mut ordinal, mut open) = (0, 0, None);
    let mut commits = Vec::new();
    for event in events {
        match event {
            Event::Tid(new) => (tid, ordinal) = (*new, 0),
            Event::Issue(issue) => open = issue.payload.clone(),
            Event::Ack => {
                let fsync = fsyncs.next().copied().unwrap_or_default();
                if let Some(payload) = open.take().filter(|payload| !payload.is_empty()) {
                    ordinal += 1;
                    commits.push(Commit {
                        fsync,
                        tid,
                        ordinal,
                        payload,
                    });
                }
            }
            _ => {}
        }
    }
    commits
}

struct Converter {
    layout: Layout,
    data: Data,
    events: Vec<Event>,
    /// Recovery expects it.
    tid: Option<u32>,
    /// A commit block of this transaction has been stored and waits for a fence.
    committing: Option<u32>,
    /// How many have been.
    full: u64,
    /// Where the running fsync was issued.
    open: Option<usize>,
    /// Numbers of the fsyncs that returned.
    acknowledged: Vec<u64>,
}

impl Converter {
    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Store {
                off,
                bytes,
                streaming,
            } => self.store(*off, bytes, *streaming),
            Step::WriteBack(off) => match self.layout.in_area(*off) {
                Some(off) => self.events.push(Event::WriteBack { off, len: 1 }),
                None => self.data.written_back(*off, &mut self.events),
            },
            Step::Fence { .. } => {
                self.events.push(Event::Fence);
                if let Some(tid) = self.committing.take() {
                    self.committed(tid);
                }
            }
            Step::Sync(number) => {
                ensure!(self.open.is_none(), "fsync {number} within another");
                self.issue();
            }
            Step::Synced(number) => {
                let Some(issue) = self.open.take() else {
                    bail!("fsync {number} returned and was not called");
                };
                // Nothing is looked at before the first full commit.
                if self.tid.is_some() {
                    self.events.push(Event::Ack);
                    self.acknowledged.push(*number);
                } else {
                    self.events.remove(issue);
                }
            }
        }
        Ok(())
    }

    fn store(&mut self, off: u64, bytes: &[u8], streaming: bool) {
        if let Some(off) = self.layout.in_area(off) {
            let bytes = bytes.to_vec();
            self.events.push(match streaming {
                true => Event::Stream { off, bytes },
                false => Event::Store { off, bytes },
            });
        } else if self.layout.in_journal(off) {
            if let Some(tid) = self.layout.journal_store(off, bytes) {
                self.committing = Some(tid);
            }
        } else {
            self.data
                .store(off, bytes.len() as u64, streaming, &mut self.events);
        }
    }

    fn issue(&mut self) {
        self.open = Some(self.events.len());
        self.events.push(Event::Issue(Issue::default()));
    }

    /// The full commit of `tid` is durable.
    fn committed(&mut self, tid: u32) {
        let next = tid.wrapping_add(1);
        if self.tid == Some(next) {
            return;
        }
        self.tid = Some(next);
        self.full += 1;
        // The running fsync is about the new transaction, if it does anything more.
        let open = self.open.take();
        if let Some(at) = open {
            self.events.remove(at);
        }
        self.events.push(Event::Tid(next));
        if open.is_some() {
            self.issue();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::check;
    use crate::driver::record;
    use crate::images::Budget;
    use crate::kernel::layout::{COMMIT_BLOCK, JOURNAL_MAGIC};
    use crate::memory::LINE;

    const JOURNAL: u64 = 1;
    const AREA: u64 = 2;

    fn commit_block(tid: u32) -> [Step; 2] {
        let head = [JOURNAL_MAGIC, COMMIT_BLOCK, tid];
        let bytes = head.map(u32::to_be_bytes).concat();
        let off = JOURNAL * BLOCK;
        let streaming = true;
        [
            Step::Store {
                off,
                bytes,
                streaming,
            },
            Step::Fence { ours: false },
        ]
    }

    /// The steps of a kernel that does what the format crate's writer was seen to
    /// do, with the area behind the journal.
    fn steps(trace: &Trace) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut fsync = 0;
        for event in &trace.events {
            match event {
                Event::Tid(tid) => steps.extend(commit_block(tid - 1)),
                Event::Store { off, bytes } => steps.push(Step::Store {
                    off: AREA * BLOCK + off,
                    bytes: bytes.clone(),
                    streaming: false,
                }),
                Event::WriteBack { off, len } => {
                    let lines = (*off..off + len).step_by(LINE);
                    steps.extend(lines.map(|off| Step::WriteBack(AREA * BLOCK + off)));
                }
                Event::Fence => steps.push(Step::Fence { ours: true }),
                Event::Issue(_) => {
                    fsync += 1;
                    steps.push(Step::Sync(fsync));
                }
                Event::Ack => steps.push(Step::Synced(fsync)),
                _ => {}
            }
        }
        steps
    }

    fn recorded(actions: &str) -> (Segment, Vec<u8>, Trace) {
        let workload = format!("synchronous/older-life/8x4096/{actions}");
        let trace = record(&workload.parse().unwrap(), None, 1, 9).unwrap();
        let mut base = vec![0; (AREA * BLOCK) as usize];
        base[UUID].copy_from_slice(&trace.uuid);
        base.extend(&trace.image);
        let segment = Segment {
            number: 0,
            variant: None,
            base: String::new(),
            bytes: base.len() as u64,
            area: (AREA..AREA + 8).collect(),
            journal: vec![JOURNAL],
            code: (0, 0),
            workload: serde_json::Value::Null,
        };
        (segment, base, trace)
    }

    fn payloads(events: &[Event]) -> Vec<Option<Vec<u8>>> {
        let issues = events.iter().filter_map(|event| match event {
            Event::Issue(issue) => Some(issue.payload.clone()),
            _ => None,
        });
        issues.collect()
    }

    #[test]
    fn a_kernels_steps_are_the_writers_trace() {
        let (segment, base, trace) = recorded("creat,many,empty,new-tid,link,full+1,inode");
        let converted = convert(&segment, &base, &steps(&trace)).unwrap();
        assert_eq!(payloads(&converted.trace.events), payloads(&trace.events));
        assert_eq!(converted.full, 2);
        let commits: Vec<_> = converted
            .commits
            .iter()
            .map(|c| (c.tid, c.ordinal, c.fsync))
            .collect();
        assert_eq!(
            commits,
            [(7, 1, 1), (7, 2, 2), (8, 1, 4), (8, 2, 5), (8, 3, 6)]
        );
        let budget = Budget {
            all: 64,
            samples: 16,
        };
        let mut rng = fastrand::Rng::with_seed(1);
        let verdict = check(&converted.trace, budget, &mut rng).unwrap();
        assert!(verdict.violation.is_none(), "{:?}", verdict.violation);
        assert!(verdict.counts.images > 100);
    }

    #[test]
    fn a_kernel_without_fences_is_caught() {
        let (segment, base, trace) = recorded("creat,link");
        let mut steps = steps(&trace);
        steps.retain(|step| *step != Step::Fence { ours: true });
        let converted = convert(&segment, &base, &steps).unwrap();
        let budget = Budget {
            all: 64,
            samples: 16,
        };
        let mut rng = fastrand::Rng::with_seed(1);
        assert!(check(&converted.trace, budget, &mut rng)
            .unwrap()
            .violation
            .is_some());
    }

    /// An fsync that commits in full has nothing to show in the log.
    #[test]
    fn full_commits_end_what_is_owed() {
        let (segment, base, trace) = recorded("creat");
        let mut steps = steps(&trace);
        let [commit, fence] = commit_block(7);
        // A block of another kind, and one of an older life, are no commits of now.
        let other = [JOURNAL_MAGIC, 1, 8].map(u32::to_be_bytes).concat();
        let off = JOURNAL * BLOCK;
        steps.extend([
            Step::Sync(9),
            commit,
            fence,
            Step::Synced(9),
            Step::Sync(10),
        ]);
        steps.push(Step::Store {
            off,
            bytes: other,
            streaming: true,
        });
        steps.extend([Step::Fence { ours: false }, Step::Synced(10)]);
        let converted = convert(&segment, &base, &steps).unwrap();
        assert_eq!((converted.full, converted.commits.len()), (2, 1));
        let tids: Vec<_> = converted
            .trace
            .events
            .iter()
            .filter(|e| matches!(e, Event::Tid(_)))
            .collect();
        assert_eq!(tids, [&Event::Tid(7), &Event::Tid(8)]);
    }

    #[test]
    fn nonsense_is_refused() {
        let (segment, base, trace) = recorded("creat");
        let good = steps(&trace);
        assert!(convert(&segment, &base[..100], &good).is_err());
        assert!(convert(&segment, &base, &[]).is_err());
        let mut twice = good.clone();
        twice.extend([Step::Sync(2), Step::Sync(3)]);
        assert!(convert(&segment, &base, &twice).is_err());
        let mut never = good;
        never.push(Step::Synced(2));
        assert!(convert(&segment, &base, &never).is_err());
    }
}
