// SPDX-License-Identifier: GPL-2.0
//! What a power cut may leave, as operations and syncs go on.
//!
//! The expectation needs no model of ext4: it is what the mounted tree looked like. What
//! is noted besides is which of it a sync covered. ext4 commits metadata in the order in
//! which it was changed, so that a commit for one file makes all older changes durable,
//! other files' too; but not the data that still wait in the page cache for their blocks.

use super::{Node, Op, State, Sync};
use std::collections::{BTreeMap, BTreeSet};

/// A file whose data, or part of them, may not have been written yet.
#[derive(Debug, Clone, Default)]
pub struct Loose {
    /// What it has held since its data were durable; the last one is what it holds now.
    pub versions: Vec<Vec<u8>>,
    /// Whether its size and its blocks wait for the data as well.
    pub size: bool,
}

/// What was committed while a sync was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// There was no need for any: what is to be synced was durable.
    None,
    Fast,
    Full,
}

/// The states that a cut can go back to, and in what they may be looser.
#[derive(Debug, Clone)]
pub struct Promise {
    /// Older first; the last one is what is there now.
    pub states: Vec<State>,
    pub loose: BTreeMap<u64, Loose>,
    /// Directories whose times need not be exact.
    pub times: BTreeSet<u64>,
    /// Files that a sync wrote where no commit was needed: their data are these in each of
    /// the states.
    pub written: BTreeMap<u64, Node>,
}

impl Promise {
    /// The same where this state may be reached as well.
    pub fn or(mut self, state: State) -> Self {
        self.states.push(state);
        self
    }
}

/// Follows a workload.
#[derive(Debug)]
pub struct Track {
    promise: Promise,
    /// All states that were left behind, to tell what is lost from what is mixed.
    older: Vec<State>,
}

impl Track {
    /// Begins with a state that is durable.
    pub fn new(state: State) -> Self {
        Self {
            promise: Promise {
                states: vec![state],
                loose: BTreeMap::new(),
                times: BTreeSet::new(),
                written: BTreeMap::new(),
            },
            older: Vec::new(),
        }
    }

    fn now(&self) -> &State {
        // There is always one.
        &self.promise.states[self.promise.states.len() - 1]
    }

    /// An operation has led to this state.
    pub fn operation(&mut self, op: Op, after: State) {
        let before = self.now().clone();
        for (ino, node) in &after.nodes {
            let old = before.nodes.get(ino);
            if node.is_dir() {
                if old.is_none_or(|old| (old.mtime, old.ctime) != (node.mtime, node.ctime)) {
                    self.promise.times.insert(*ino);
                }
                continue;
            }
            let changed = match old {
                Some(old) => old.data != node.data || old.map != node.map,
                None => node.size > 0,
            };
            if !node.is_file() || !changed {
                continue;
            }
            self.promise.written.remove(ino);
            let loose = self.promise.loose.entry(*ino).or_default();
            if loose.versions.is_empty() {
                loose
                    .versions
                    .push(old.map(|old| old.data.clone()).unwrap_or_default());
            }
            loose.versions.push(node.data.clone());
            loose.size |= op.is_delayed();
        }
        self.promise.states.push(after);
    }

    /// A sync of this inode has returned, and led to this state; what a cut may leave
    /// from now on.
    pub fn synced(&mut self, sync: Sync, target: Option<u64>, commit: Commit, after: State) {
        let promise = &mut self.promise;
        let all = matches!(sync, Sync::Syncfs | Sync::Sync);
        promise.states.pop();
        if all || commit != Commit::None {
            self.older.append(&mut promise.states);
            promise.written.clear();
        } else if let Some((ino, node)) = target.and_then(|ino| after.nodes.get_key_value(&ino)) {
            promise.written.insert(*ino, node.clone());
        }
        promise.states.push(after);
        if all {
            promise.loose.clear();
        } else if let Some(ino) = target {
            promise.loose.remove(&ino);
            promise.times.remove(&ino);
        }
        if all || commit == Commit::Full {
            promise.times.clear();
        }
    }

    pub fn promise(&self) -> &Promise {
        &self.promise
    }

    /// States that are behind what was promised.
    pub fn older(&self) -> &[State] {
        &self.older
    }
}
