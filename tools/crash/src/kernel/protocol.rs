// SPDX-License-Identifier: GPL-2.0

//! The commit protocol, instruction by instruction: of every fast commit, that it
//! stores to the log, writes back exactly the lines it stored to, passes one fence
//! (one more before the seal if it describes file data), and does nothing else.

use super::convert::Commit;
use super::layout::Layout;
use super::steps::Step;
use crate::memory::LINE;
use bytelog::opener::OPENER_LEN;
use bytelog::tlv::{Tag, Tlvs};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::Range;

/// What a fast commit did between call and return of its fsync.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Ranges of the area that were stored to, in order.
    pub stores: Vec<Range<u64>>,
    /// Store instructions for that.
    pub instructions: u64,
    /// Lines of the area that were written back, in order.
    pub write_backs: Vec<u64>,
    /// Fences of the module, each as the number of stores and write-backs to the
    /// area before it.
    pub fences: Vec<u64>,
    /// Bytes stored to the area after the last fence of the module but one, if
    /// there are two.
    pub behind_first_fence: u64,
    /// Stores and write-backs elsewhere on the device, and fences elsewhere in the
    /// kernel.
    pub elsewhere: u64,
    /// Stores and write-backs to the area behind the last fence.
    pub behind: u64,
}

/// What the steps of a commit amount to.
pub fn shape(steps: &[Step], layout: &Layout) -> Shape {
    let mut shape = Shape::default();
    let mut done = 0;
    for step in steps {
        match step {
            Step::Store { off, bytes, .. } => match layout.in_area(*off) {
                Some(off) => {
                    let end = off + bytes.len() as u64;
                    shape.instructions += 1;
                    shape.behind_first_fence += bytes.len() as u64;
                    match shape.stores.last_mut() {
                        Some(last) if last.end == off => last.end = end,
                        _ => shape.stores.push(off..end),
                    }
                    done += 1;
                    shape.behind += 1;
                }
                None => shape.elsewhere += 1,
            },
            Step::WriteBack(off) => match layout.in_area(*off) {
                Some(off) => {
                    shape.write_backs.push(off / LINE as u64 * LINE as u64);
                    done += 1;
                    shape.behind += 1;
                }
                None => shape.elsewhere += 1,
            },
            Step::Fence { ours: true } => {
                if shape.fences.is_empty() {
                    shape.behind_first_fence = 0;
                }
                shape.fences.push(done);
                shape.behind = 0;
            }
            Step::Fence { ours: false } => shape.elsewhere += 1,
            Step::Sync(_) | Step::Synced(_) => {}
        }
    }
    shape
}

fn describes_data(commit: &Commit) -> bool {
    tags(commit).contains(&Tag::AddRange)
}

/// The first inode without links that a commit has an INODE of. ext4 leaves those out:
/// nothing that has no name needs to survive, and replay would fail the mount.
fn without_links(commit: &Commit) -> Option<u32> {
    /// Offset of `i_links_count` in an INODE's value.
    const LINKS: usize = 4 + 26;
    let tlvs = Tlvs::new(&commit.payload, commit.payload.len());
    let inodes = tlvs.filter_map(Result::ok);
    let mut unlinked = inodes.filter(|tlv| {
        tlv.tag() == Tag::Inode && tlv.value().get(LINKS..LINKS + 2) == Some(&[0; 2])
    });
    let value = unlinked.next()?.value();
    value.first_chunk().map(|ino| u32::from_le_bytes(*ino))
}

/// Kinds of its TLVs, in order.
fn tags(commit: &Commit) -> Vec<Tag> {
    let tlvs = Tlvs::new(&commit.payload, commit.payload.len());
    tlvs.filter_map(Result::ok).map(|tlv| tlv.tag()).collect()
}

impl Shape {
    /// What is wrong with it, as the shape of `commit`.
    pub fn fault(&self, commit: &Commit) -> Option<String> {
        let lines: BTreeSet<u64> = self
            .stores
            .iter()
            .flat_map(|range| range.start / LINE as u64..=(range.end - 1) / LINE as u64)
            .map(|line| line * LINE as u64)
            .collect();
        let written: BTreeSet<u64> = self.write_backs.iter().copied().collect();
        let opener = self
            .stores
            .iter()
            .any(|range| range.start < OPENER_LEN as u64);
        let wanted = if describes_data(commit) { 2 } else { 1 };
        let all = self.instructions + self.write_backs.len() as u64;
        if let Some(ino) = without_links(commit) {
            return Some(format!("an INODE of inode {ino}, which has no links"));
        }
        if opener != (commit.ordinal == 1) {
            return Some(format!("opener written: {opener}"));
        }
        if let Some(line) = lines.symmetric_difference(&written).next() {
            let what = if lines.contains(line) {
                "stored to, not written back"
            } else {
                "written back, not stored to"
            };
            return Some(format!("line {line}: {what}"));
        }
        if written.len() != self.write_backs.len() {
            return Some("a line is written back twice".into());
        }
        if self.fences.len() != wanted {
            return Some(format!("{} fences, {wanted} expected", self.fences.len()));
        }
        if self.fences.last() != Some(&all) {
            return Some("the last fence is not behind all write-backs".into());
        }
        // The seal is in the last record, of which nothing may be there before.
        if wanted == 2
            && (self.fences.first() == Some(&all) || self.behind_first_fence < LINE as u64)
        {
            return Some("the first fence is not before the seal".into());
        }
        if self.behind != 0 {
            return Some(format!(
                "{} stores or write-backs behind the last fence",
                self.behind
            ));
        }
        None
    }

    /// In words, for the reader of a report.
    pub fn tell(&self, commit: &Commit) -> String {
        let names: Vec<_> = tags(commit).iter().map(Tag::to_string).collect();
        let mut out = format!(
            "fsync {}: commit {} of transaction {}, {} bytes of TLVs: {}\n",
            commit.fsync,
            commit.ordinal,
            commit.tid,
            commit.payload.len(),
            names.join(" ")
        );
        let fence = "  fence\n";
        if self.fences.len() > 1 {
            out += fence;
        }
        for range in &self.stores {
            // Writing to a string does not fail.
            let _ = writeln!(out, "  store       {}..{}", range.start, range.end);
        }
        for run in runs(&self.write_backs) {
            let _ = writeln!(
                out,
                "  write back  {}..{}, {} lines",
                run.start,
                run.end,
                (run.end - run.start) / LINE as u64
            );
        }
        if !self.fences.is_empty() {
            out += fence;
        }
        out += "  return\n";
        out
    }
}

/// Lines that follow one another.
fn runs(lines: &[u64]) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for &line in lines {
        match runs.last_mut() {
            Some(last) if last.end == line => last.end += LINE as u64,
            _ => runs.push(line..line + LINE as u64),
        }
    }
    runs
}

/// What is wrong with how the module takes an area over: the opener of an older
/// life is zeroed, and durably so, before anything else.
pub fn takeover_fault(steps: &[Step], layout: &Layout) -> Option<String> {
    let area = steps.iter().skip_while(|step| match step {
        Step::Store { off, .. } => layout.in_area(*off).is_none(),
        _ => true,
    });
    let mut zeroed = 0;
    let mut lines = BTreeSet::new();
    for step in area {
        match step {
            Step::Store { off, bytes, .. }
                if layout.in_area(*off) == Some(zeroed) && lines.is_empty() =>
            {
                if bytes.iter().any(|&byte| byte != 0) {
                    return Some("the opener is not zeroed".into());
                }
                zeroed += bytes.len() as u64;
            }
            Step::WriteBack(off) => {
                lines.extend(layout.in_area(*off).map(|off| off / LINE as u64));
            }
            Step::Fence { .. } => break,
            _ => return Some("something is stored before the zeroed opener is durable".into()),
        }
    }
    let all = (0..OPENER_LEN as u64 / LINE as u64).all(|line| lines.contains(&line));
    match (zeroed >= OPENER_LEN as u64, all) {
        (false, _) => Some(format!("{zeroed} bytes of the opener are zeroed")),
        (_, false) => Some("the zeroed opener is not written back".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::layout::BLOCK;
    use bytelog_trace::session::Segment;

    fn layout() -> Layout {
        let segment = Segment {
            number: 0,
            variant: None,
            base: String::new(),
            bytes: 1 << 20,
            area: vec![10, 11],
            journal: Vec::new(),
            code: (0, 0),
            workload: serde_json::Value::Null,
        };
        Layout::new(&segment, &[])
    }

    fn store(off: u64, len: usize, byte: u8) -> Step {
        let (off, bytes, streaming) = (10 * BLOCK + off, vec![byte; len], false);
        Step::Store {
            off,
            bytes,
            streaming,
        }
    }

    fn write_back(off: u64) -> Step {
        Step::WriteBack(10 * BLOCK + off)
    }

    const FENCE: Step = Step::Fence { ours: true };

    fn commit(ordinal: u64, data: bool) -> Commit {
        // UNLINK, or ADD_RANGE.
        let (tag, len) = if data { (1, 16) } else { (5, 9) };
        let payload = [&[tag, 0, len, 0], &vec![0; usize::from(len)][..]].concat();
        Commit {
            fsync: 1,
            tid: 7,
            ordinal,
            payload,
        }
    }

    fn fault(steps: &[Step], commit: &Commit) -> Option<String> {
        shape(steps, &layout()).fault(commit)
    }

    /// A commit of one record, its 128 bytes stored in two halves.
    fn record() -> Vec<Step> {
        vec![
            store(BLOCK, 64, 1),
            store(BLOCK + 64, 64, 1),
            write_back(BLOCK),
            write_back(BLOCK + 64),
            FENCE,
        ]
    }

    #[test]
    fn good_commits() {
        let mut with_data = record();
        with_data.insert(0, FENCE);
        let mut first = record();
        first.insert(2, store(0, 128, 1));
        first.splice(3..3, [write_back(0), write_back(64)]);
        assert_eq!(fault(&record(), &commit(2, false)), None);
        assert_eq!(fault(&with_data, &commit(2, true)), None);
        assert_eq!(fault(&first, &commit(1, false)), None);
        let told = shape(&first, &layout()).tell(&commit(1, false));
        let said = "UNLINK\n  store       4096..4224\n  store       0..128\n  write back  0..128, 2 lines\n  \
                    write back  4096..4224, 2 lines\n  fence\n  return\n";
        assert!(told.ends_with(said), "{told}");
    }

    #[test]
    fn bad_commits() {
        let without = |at: usize| {
            let mut steps = record();
            steps.remove(at);
            steps
        };
        let with = |at: usize, step: Step| {
            let mut steps = record();
            steps.insert(at, step);
            steps
        };
        let pure = commit(2, false);
        for (steps, said) in [
            (without(4), "0 fences, 1 expected"),
            (without(3), "line 4160: stored to, not written back"),
            (
                with(4, write_back(BLOCK + 128)),
                "line 4224: written back, not stored to",
            ),
            (with(4, write_back(BLOCK)), "a line is written back twice"),
            (with(0, FENCE), "2 fences, 1 expected"),
            (with(5, FENCE), "2 fences, 1 expected"),
            (with(5, write_back(BLOCK)), "a line is written back twice"),
            (
                with(5, store(BLOCK, 8, 1)),
                "the last fence is not behind all write-backs",
            ),
            (with(0, store(0, 8, 1)), "opener written: true"),
        ] {
            assert_eq!(fault(&steps, &pure).as_deref(), Some(said));
        }
        let data = commit(2, true);
        assert_eq!(
            fault(&record(), &data).as_deref(),
            Some("1 fences, 2 expected")
        );
        let late = with(4, FENCE);
        assert_eq!(
            fault(&late, &data).as_deref(),
            Some("the first fence is not before the seal")
        );
        // Another's stores are told apart, not blamed on the module.
        let other = with(
            0,
            Step::Store {
                off: 0,
                bytes: vec![1],
                streaming: true,
            },
        );
        assert_eq!(shape(&other, &layout()).elsewhere, 1);
        assert_eq!(fault(&other, &pure), None);
    }

    #[test]
    fn inodes_without_links() {
        let of = |links: u8| {
            let mut payload = vec![6, 0, 132, 0, 13, 0, 0, 0];
            payload.resize(4 + 132, 0);
            payload[4 + 4 + 26] = links;
            fault(
                &record(),
                &Commit {
                    payload,
                    ..commit(2, false)
                },
            )
        };
        assert_eq!(of(1), None);
        let said = "an INODE of inode 13, which has no links";
        assert_eq!(of(0).as_deref(), Some(said));
    }

    #[test]
    fn take_over() {
        let good = [
            store(0, 64, 0),
            store(64, 64, 0),
            write_back(0),
            write_back(64),
            FENCE,
            store(BLOCK, 8, 1),
        ];
        assert_eq!(takeover_fault(&good, &layout()), None);
        let without = |at: usize| {
            let mut steps = good.to_vec();
            steps.remove(at);
            takeover_fault(&steps, &layout()).unwrap()
        };
        assert_eq!(without(1), "64 bytes of the opener are zeroed");
        assert_eq!(without(2), "the zeroed opener is not written back");
        assert_eq!(
            without(4),
            "something is stored before the zeroed opener is durable"
        );
        let mut other = good.to_vec();
        other[1] = store(64, 64, 1);
        assert_eq!(
            takeover_fault(&other, &layout()).unwrap(),
            "the opener is not zeroed"
        );
        assert!(takeover_fault(&[], &layout()).is_some());
    }
}
