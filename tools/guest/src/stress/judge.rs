// SPDX-License-Identifier: GPL-2.0
//! The oracle: whether a tree is one that a power cut may leave.

use super::generator::{Generator, Job};
use super::look::{Content, Found, Tree};
use super::state::{File, Kind, NodeId, State};
use super::step::Action;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Steps that can have been done beyond the last acknowledged one: as many
/// acknowledgements fit into the queue between guest and host.
pub const IN_FLIGHT: u64 = 130;

/// How far below the floor the state of a damaged tree is looked for.
const NEAR: u64 = 60;

/// Differences that are kept.
const SHOWN: usize = 6;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub acknowledged: u64,
    /// Operations that a crash may not undo.
    pub floor: u64,
    /// The number of operations whose state the tree is; none if there is no such
    /// state, or it is below the floor.
    pub state: Option<u64>,
    /// What is wrong: the differences from the state that fits best.
    pub diffs: Vec<String>,
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.state.is_some()
    }
}

/// Judges a tree after a cut, `acked` steps having been acknowledged.
pub fn judge(job: &Job, acked: u64, tree: &Tree) -> Result<Verdict> {
    let last = acked + IN_FLIGHT;
    let mut ahead = Generator::new(job);
    let mut floor = 0;
    for op in 1..=last {
        let step = ahead.step()?;
        if op <= acked {
            ahead.acknowledged(&step)?;
            floor = ahead.state().floor;
        }
    }
    let mut verdict = Verdict {
        acknowledged: acked,
        floor,
        ..Verdict::default()
    };
    // Twice the same sequence: the state after k operations, and what the next is.
    let (mut now, mut next) = (Generator::new(job), Generator::new(job));
    let mut best: Option<(u64, Vec<String>)> = None;
    for k in 0..=last {
        if k > 0 {
            now.step()?;
        }
        let coming = next.step()?;
        // States below the floor are looked at only for what to say of a loss.
        if k + NEAR < floor {
            continue;
        }
        let diffs = differences(now.state(), ahead.state(), &coming.action, tree);
        if diffs.is_empty() && k >= floor {
            verdict.state = Some(k);
            return Ok(verdict);
        }
        if best
            .as_ref()
            .is_none_or(|(_, least)| diffs.len() <= least.len())
        {
            best = Some((k, diffs));
        }
    }
    if let Some((k, mut diffs)) = best {
        diffs.truncate(SHOWN);
        let what = if diffs.is_empty() {
            "lost operations".to_owned()
        } else {
            diffs.join("; ")
        };
        verdict.diffs = vec![format!("nearest is the state after {k}: {what}")];
        verdict.diffs.extend(steps_from(job, k + 1)?);
    }
    Ok(verdict)
}

/// A few steps, as text.
fn steps_from(job: &Job, first: u64) -> Result<Vec<String>> {
    let mut gen = Generator::new(job);
    let mut texts = Vec::new();
    for op in 1..first + SHOWN as u64 {
        let step = gen.step()?;
        if op >= first {
            texts.push(format!("step {op}: {:?}, {:?}", step.action, step.sync));
        }
    }
    Ok(texts)
}

/// Differences from the state after some operations; `ahead` knows of each file
/// what was written later, and `coming` may have been under way.
fn differences(state: &State, ahead: &State, coming: &Action, tree: &Tree) -> Vec<String> {
    let mut diffs = Vec::new();
    for (path, id) in state.names() {
        match tree.get(path) {
            None => diffs.push(format!("{path}: missing")),
            Some(found) => {
                if let Some(what) = difference(state, ahead, coming, path, id, found) {
                    diffs.push(format!("{path}: {what}"));
                }
            }
        }
    }
    let strays = tree.keys().filter(|path| state.id(path).is_none());
    diffs.extend(strays.map(|path| format!("{path}: should not be there")));
    diffs
}

fn difference(
    state: &State,
    ahead: &State,
    coming: &Action,
    path: &str,
    id: NodeId,
    found: &Found,
) -> Option<String> {
    let node = state.node(id);
    if found.nlink != node.nlink {
        return Some(format!("{} links, expected {}", found.nlink, node.nlink));
    }
    if found.xattrs != node.xattrs {
        return Some("other xattrs".into());
    }
    match (&node.kind, &found.content) {
        (Kind::Dir { .. }, Content::Dir) => None,
        (Kind::Symlink(target), Content::Symlink(have)) if target == have => None,
        (Kind::Symlink(_), Content::Symlink(_)) => Some("other target".into()),
        (Kind::File(file), Content::File(bytes)) => {
            let size = file.data().len();
            let growing = match coming {
                // Extent by extent.
                Action::Fallocate { path: grown, len } if state.id(grown) == Some(id) => *len,
                _ => size,
            };
            if !(size..=growing).contains(&bytes.len()) {
                return Some(format!("size {}, expected {size}", bytes.len()));
            }
            let Kind::File(later) = &ahead.node(id).kind else {
                return Some(format!("{path} is another file"));
            };
            wrong_byte(later, bytes).map(|at| format!("byte {at} never had that value"))
        }
        _ => Some("other type".into()),
    }
}

/// The first byte with a value that it has not had since the data was last
/// durable. Where a version has no such byte, it is zero.
fn wrong_byte(file: &File, bytes: &[u8]) -> Option<usize> {
    let durable = file
        .versions
        .iter()
        .rposition(|version| version.op <= file.durable)
        .unwrap_or(0);
    let versions = file.versions.get(durable..)?;
    bytes.iter().enumerate().position(|(at, byte)| {
        !versions
            .iter()
            .any(|version| version.data.get(at).unwrap_or(&0) == byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stress::step::Sync;

    const JOB: Job = Job {
        seed: 5,
        calm: false,
        aligned: false,
        mapped: true,
        member: None,
    };

    /// What a filesystem that has done `k` steps, and nothing of the next, shows.
    fn tree_after(job: &Job, k: u64) -> Tree {
        let mut gen = Generator::new(job);
        for _ in 0..k {
            gen.step().unwrap();
        }
        tree_of(gen.state())
    }

    fn tree_of(state: &State) -> Tree {
        let found = |id| {
            let node = state.node(id);
            Found {
                content: match &node.kind {
                    Kind::File(file) => Content::File(file.data().to_vec()),
                    Kind::Dir { .. } => Content::Dir,
                    Kind::Symlink(target) => Content::Symlink(target.clone()),
                },
                nlink: node.nlink,
                xattrs: node.xattrs.clone(),
            }
        };
        let names = state.names();
        names
            .map(|(path, id)| (path.to_owned(), found(id)))
            .collect()
    }

    #[test]
    fn states_from_the_floor_on_are_good() {
        let floor = judge(&JOB, 300, &tree_after(&JOB, 300)).unwrap().floor;
        assert!((280..=300).contains(&floor), "{floor}");
        for k in floor..330 {
            assert!(judge(&JOB, 300, &tree_after(&JOB, k)).unwrap().is_good());
        }
    }

    #[test]
    fn an_undone_operation_is_not() {
        for seed in 0..10 {
            let job = Job {
                seed,
                calm: seed % 2 == 0,
                aligned: false,
                mapped: true,
                member: None,
            };
            let floor = judge(&job, 200, &Tree::new()).unwrap().floor;
            let verdict = judge(&job, 200, &tree_after(&job, floor - 3)).unwrap();
            assert!(!verdict.is_good() && !verdict.diffs.is_empty(), "{seed}");
        }
    }

    #[test]
    fn every_kind_of_difference_is_seen() {
        let good = tree_after(&JOB, 300);
        let file = good
            .iter()
            .find(|(_, found)| matches!(&found.content, Content::File(data) if data.len() > 5000))
            .map(|(path, _)| path.clone())
            .unwrap();
        let defects: [fn(&mut Found); 3] = [
            |found| found.nlink += 1,
            |found| {
                found.xattrs.insert("user.y".into(), vec![1]);
            },
            |found| {
                if let Content::File(data) = &mut found.content {
                    data.push(0);
                }
            },
        ];
        for defect in defects {
            let mut tree = good.clone();
            defect(tree.get_mut(&file).unwrap());
            assert!(!judge(&JOB, 300, &tree).unwrap().is_good());
        }
        let mut tree = good.clone();
        tree.remove(&file);
        assert!(!judge(&JOB, 300, &tree).unwrap().is_good());
        let stray = good[&file].clone();
        tree = good;
        tree.insert("stray".into(), stray);
        assert!(!judge(&JOB, 300, &tree).unwrap().is_good());
    }

    /// A byte of durable data has one value; of data that is not, several.
    #[test]
    fn bytes_may_differ_only_where_nothing_was_synced() {
        let mut gen = Generator::new(&JOB);
        let (mut durable, mut loose) = (0, 0);
        for op in 1..=400 {
            let step = gen.step().unwrap();
            gen.acknowledged(&step).unwrap();
            let Action::Write { path, off, len, .. } = &step.action else {
                continue;
            };
            let synced = match &step.sync {
                Sync::File(synced) | Sync::Data(synced) => synced == path,
                Sync::All => true,
                _ => false,
            };
            let mut tree = tree_of(gen.state());
            let Some(Content::File(data)) = tree.get_mut(path).map(|found| &mut found.content)
            else {
                continue;
            };
            if synced {
                data[off + len - 1] ^= 0x55;
                durable += 1;
                assert!(!judge(&JOB, op, &tree).unwrap().is_good(), "{step:?}");
            } else if step.sync == Sync::None && !is_sync(&step.action) {
                let file = gen.state().file(path).unwrap();
                let Some(old) = file.versions.iter().rev().nth(1) else {
                    continue;
                };
                let old = old.data.get(off + len - 1).copied().unwrap_or(0);
                data[off + len - 1] = old;
                loose += 1;
                assert!(judge(&JOB, op, &tree).unwrap().is_good(), "{step:?}");
            }
        }
        assert!(durable > 20 && loose > 5, "{durable} {loose}");
    }

    fn is_sync(action: &Action) -> bool {
        use crate::stress::How;
        matches!(
            action,
            Action::Write {
                how: How::Sync | How::Dsync,
                ..
            }
        )
    }
}
