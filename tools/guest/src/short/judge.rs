// SPDX-License-Identifier: GPL-2.0
//! What a cut has left, against what may be left.

use super::track::{Loose, Promise};
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
        own: None,
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
    let latest = promise.states.last();
    for (ino, node) in &want.nodes {
        let Some(other) = found.nodes.get(ino) else {
            continue;
        };
        let name = name(want, *ino);
        let mut report = |what: &str, want: String, found: String| {
            findings.push(format!("{name}: {what} {found} instead of {want}"));
        };
        attributes(node, other, promise.times.contains(ino), &mut report);
        let exact = latest
            .filter(|_| promise.own == Some(*ino))
            .and_then(|state| state.nodes.get(ino));
        if let Some(node) = exact {
            data(node, other, &mut report);
        } else if let Some(loose) = promise.loose.get(ino) {
            loose_data(node, other, loose, &mut report);
        } else {
            data(node, other, &mut report);
            differ("blocks", &node.blocks, &other.blocks, &mut report);
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

fn loose_data(want: &Node, found: &Node, loose: &Loose, report: &mut Report) {
    let versions = || loose.versions.iter().chain([&want.data]);
    if loose.size {
        if versions().all(|version| version.len() as u64 != found.size) {
            report(
                "size",
                "an old or the new one".into(),
                found.size.to_string(),
            );
        }
    } else {
        differ("size", &want.size, &found.size, report);
        differ("blocks", &want.blocks, &found.blocks, report);
    }
    let zeros = Vec::new();
    for (number, block) in found.data.chunks(BLOCK).enumerate() {
        let is = |version: &Vec<u8>| holds(version, number * BLOCK, block);
        if !versions().chain([&zeros]).any(is) {
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
