// SPDX-License-Identifier: GPL-2.0
//! What a cut has left, against what may be left.

use super::track::Promise;
use super::{Node, State};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

const BLOCK: usize = 4096;

/// Differences, from what is nearest to it among what was promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// An older state.
    Lost(Vec<String>),
    /// No state that ever was.
    Mixed(Vec<String>),
}

/// Whether two trees are the same, but for the times of these directories.
pub fn same(want: &State, found: &State, times: &BTreeSet<u64>) -> Vec<String> {
    let promise = Promise {
        states: vec![want.clone()],
        loose: BTreeMap::new(),
        times: times.clone(),
        written: BTreeMap::new(),
    };
    compare(want, found, &promise)
}

/// Judges a tree; `older` are the states that must not come back.
pub fn judge(found: &State, promise: &Promise, older: &[State]) -> Verdict {
    let mut nearest: Option<Vec<String>> = None;
    for state in promise.states.iter().rev() {
        let findings = compare(state, found, promise);
        if findings.is_empty() {
            return Verdict::Good;
        }
        if nearest
            .as_ref()
            .is_none_or(|best| findings.len() < best.len())
        {
            nearest = Some(findings);
        }
    }
    let findings = nearest.unwrap_or_default();
    if older
        .iter()
        .any(|state| compare(state, found, promise).is_empty())
    {
        Verdict::Lost(findings)
    } else {
        Verdict::Mixed(findings)
    }
}

/// What is wrong with a tree, if it is to be this state.
fn compare(want: &State, found: &State, promise: &Promise) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, ino) in &want.names {
        match found.names.get(path) {
            None => findings.push(format!("{path:?} is missing")),
            Some(other) if other != ino => {
                findings.push(format!("{path:?} is inode {other}, not {ino}"));
            }
            Some(_) => {}
        }
    }
    for path in found.names.keys() {
        if !want.names.contains_key(path) {
            findings.push(format!("{path:?} is there and should not be"));
        }
    }
    for (ino, node) in &want.nodes {
        let Some(other) = found.nodes.get(ino) else {
            continue;
        };
        let name = name(want, *ino);
        let mut report = |what: &str, want: String, found: String| {
            findings.push(format!("{name}: {what} {found} instead of {want}"));
        };
        attributes(node, other, promise.times.contains(ino), &mut report);
        if let Some(node) = promise.written.get(ino) {
            data(node, other, &mut report);
        } else if let Some(loose) = promise.loose.get(ino) {
            let versions: Vec<&[u8]> = loose.versions.iter().map(Vec::as_slice).collect();
            loose_data(node, other, loose.size, &versions, &mut report);
        } else {
            data(node, other, &mut report);
            space(node, other, &mut report);
        }
    }
    findings
}

fn name(state: &State, ino: u64) -> String {
    let found = state.names.iter().find(|(_, i)| **i == ino);
    found.map_or_else(|| format!("inode {ino}"), |(path, _)| format!("{path:?}"))
}

type Report<'a> = dyn FnMut(&str, String, String) + 'a;

fn differ<T: PartialEq + Debug>(what: &str, want: &T, found: &T, report: &mut Report) {
    if want != found {
        report(what, format!("{want:?}"), format!("{found:?}"));
    }
}

fn attributes(want: &Node, found: &Node, loose_times: bool, report: &mut Report) {
    let octal = |mode: u32| format!("0{mode:o}");
    differ("mode", &octal(want.mode), &octal(found.mode), report);
    differ("owner", &want.uid, &found.uid, report);
    differ("group", &want.gid, &found.gid, report);
    differ("link count", &want.nlink, &found.nlink, report);
    differ("device", &want.device, &found.device, report);
    let hex = |flags: u32| format!("{flags:#x}");
    differ("flags", &hex(want.flags), &hex(found.flags), report);
    differ("generation", &want.generation, &found.generation, report);
    differ("atime", &want.atime, &found.atime, report);
    differ("birth", &want.btime, &found.btime, report);
    if !loose_times {
        differ("mtime", &want.mtime, &found.mtime, report);
        differ("ctime", &want.ctime, &found.ctime, report);
    }
    let names = |node: &Node| node.xattrs.keys().cloned().collect::<Vec<_>>();
    differ("attributes", &names(want), &names(found), report);
    for (name, value) in &want.xattrs {
        if found.xattrs.get(name).is_some_and(|other| other != value) {
            report(
                "attribute",
                format!("the value of {name}"),
                "another".into(),
            );
        }
    }
}

fn data(want: &Node, found: &Node, report: &mut Report) {
    differ("size", &want.size, &found.size, report);
    if want.size != found.size {
        return;
    }
    differ("extents", &want.map, &found.map, report);
    if want.data != found.data {
        let at = want.data.iter().zip(&found.data).position(|(a, b)| a != b);
        report("contents", "those".into(), format!("differ at {at:?}"));
    }
}

/// The space of a file. Replay makes an extent tree of its own, which may have fewer blocks:
/// that the count is right for it is for e2fsck to say.
fn space(want: &Node, found: &Node, report: &mut Report) {
    let mapped = |node: &Node| node.map.iter().map(|extent| extent.len / 512).sum::<u64>();
    let tree = |node: &Node| node.blocks.saturating_sub(mapped(node));
    if mapped(want) != mapped(found) || tree(found) > tree(want) {
        differ("blocks", &want.blocks, &found.blocks, report);
    }
}

/// Data of which each block is an old or the new one; with `delayed` blocks the size is
/// as far as they have come, page by page.
fn loose_data(want: &Node, found: &Node, delayed: bool, versions: &[&[u8]], report: &mut Report) {
    if delayed {
        let sizes = || versions.iter().map(|version| version.len());
        let size = found.data.len();
        let between = sizes().min() <= Some(size) && Some(size) <= sizes().max();
        if !(sizes().any(|other| other == size) || between && size % BLOCK == 0) {
            report("size", "an old or the new one".into(), size.to_string());
        }
    } else {
        differ("size", &want.size, &found.size, report);
        space(want, found, report);
    }
    let zeros: &[u8] = &[];
    for (number, block) in found.data.chunks(BLOCK).enumerate() {
        let is = |version: &&[u8]| holds(version, number * BLOCK, block);
        if !versions.iter().chain([&zeros]).any(is) {
            report("block", "an old or the new one".into(), number.to_string());
        }
    }
}

/// Whether a version of a file has these bytes there; there are zeros behind its end.
fn holds(version: &[u8], at: usize, bytes: &[u8]) -> bool {
    let part = version.get(at..).unwrap_or_default();
    let part = &part[..part.len().min(bytes.len())];
    bytes[..part.len()] == *part && bytes[part.len()..].iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::short::track::{Commit, Loose, Track};
    use crate::short::{Op, Sync};

    fn file(data: &[u8], mtime: i64) -> State {
        let node = Node {
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            nlink: 1,
            device: (0, 0),
            size: data.len() as u64,
            blocks: data.len().div_ceil(BLOCK) as u64 * 8,
            atime: (0, 0),
            mtime: (mtime, 0),
            ctime: (mtime, 0),
            btime: (0, 0),
            flags: 0,
            generation: 5,
            xattrs: BTreeMap::new(),
            data: data.to_vec(),
            map: Vec::new(),
        };
        State {
            names: BTreeMap::from([("f".to_owned(), 12)]),
            nodes: BTreeMap::from([(12, node)]),
        }
    }

    fn promise(states: &[State], loose: Option<Loose>) -> Promise {
        Promise {
            states: states.to_vec(),
            loose: loose.map(|loose| (12, loose)).into_iter().collect(),
            times: BTreeSet::new(),
            written: BTreeMap::new(),
        }
    }

    #[test]
    fn what_was_synced_is_exact() {
        let (old, new) = (file(b"old", 1), file(b"newer", 2));
        let exact = promise(&[new.clone()], None);
        assert_eq!(judge(&new, &exact, &[]), Verdict::Good);
        assert!(matches!(
            judge(&old, &exact, &[old.clone()]),
            Verdict::Lost(_)
        ));
        let mut mixed = new.clone();
        mixed.nodes.get_mut(&12).unwrap().generation = 6;
        assert!(matches!(judge(&mixed, &exact, &[old]), Verdict::Mixed(_)));
        assert!(matches!(
            judge(&State::default(), &exact, &[]),
            Verdict::Mixed(_)
        ));
    }

    #[test]
    fn what_was_not_is_old_or_new_block_by_block() {
        let (old, new) = (file(&[1; 2 * BLOCK], 1), file(&[2; 3 * BLOCK], 2));
        let loose = Loose {
            versions: vec![vec![1; 2 * BLOCK], vec![2; 3 * BLOCK]],
            size: true,
        };
        let either = promise(&[old, new.clone()], Some(loose));
        let mut found = new;
        let node = found.nodes.get_mut(&12).unwrap();
        node.data = [vec![2; BLOCK], vec![1; BLOCK]].concat();
        node.size = node.data.len() as u64;
        assert_eq!(judge(&found, &either, &[]), Verdict::Good);
        found.nodes.get_mut(&12).unwrap().data[7] = 3;
        assert!(matches!(judge(&found, &either, &[]), Verdict::Mixed(_)));
    }

    #[test]
    fn what_a_sync_wrote_without_a_commit_is_there_beside_older_attributes() {
        let (old, mut new) = (file(&[1; BLOCK], 1), file(&[2; BLOCK], 2));
        let mut track = Track::new(old.clone());
        track.operation(Op::Write("f", 0, BLOCK), new.clone());
        track.synced(Sync::Fdatasync, Some(12), Commit::None, new.clone());
        // Another name, whose commit is cut.
        new.names.insert("g".to_owned(), 12);
        track.operation(Op::Link("f", "g"), new.clone());
        let promise = track.promise().clone().or(new.clone());
        let mut found = old.clone();
        found.nodes.get_mut(&12).unwrap().data = vec![2; BLOCK];
        assert_eq!(judge(&found, &promise, track.older()), Verdict::Good);
        assert!(matches!(
            judge(&old, &promise, track.older()),
            Verdict::Mixed(_)
        ));
        // Written to again, it is one or the other, and never what was before the sync.
        new.nodes.get_mut(&12).unwrap().data = vec![3; BLOCK];
        track.operation(Op::Write("f", 0, BLOCK), new);
        assert_eq!(judge(&found, track.promise(), &[]), Verdict::Good);
        found.nodes.get_mut(&12).unwrap().data = vec![3; BLOCK];
        assert_eq!(judge(&found, track.promise(), &[]), Verdict::Good);
        assert!(matches!(
            judge(&old, track.promise(), &[]),
            Verdict::Mixed(_)
        ));
    }
}
