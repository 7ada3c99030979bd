// SPDX-License-Identifier: GPL-2.0
//! The oracle: which state of the workload a tree found after a crash is, and
//! how many acknowledged fsyncs are missing from it.
//!
//! An fsync of ext4 makes every metadata change so far durable, so the tree must
//! equal the state after k operations for some k that is at least the number of
//! acknowledged fsyncs. The operation after that may have been under way: on a
//! DAX mount its data reaches the media before its fsync, so the contents of the
//! file that it writes to, and only they, may be neither old nor new. Where
//! fsyncs are lost, that goes for every file that a lost one wrote to. And a commit
//! that somebody else asks for may have the directory of an operation under way, and not
//! yet the file that it makes in there.

use crate::ops::Op;
use crate::tree::Tree;
use crate::workload::Spec;
use anyhow::Result;

/// Operations that can have been done beyond the last acknowledged one: as many
/// acknowledgements fit into the queue between guest and host, and are lost with
/// the power.
const IN_FLIGHT: u64 = 128;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    pub acknowledged: u64,
    /// The latest state that the tree equals, as a number of operations.
    pub state: Option<u64>,
    pub lost: u64,
    /// Differences from the state after the last acknowledged fsync.
    pub diffs: Vec<String>,
}

impl Verdict {
    pub fn recovered(&self) -> u64 {
        self.acknowledged - self.lost
    }
}

/// Compares a tree with the states of a workload of which `acked` fsyncs were
/// acknowledged.
pub fn judge(spec: &Spec, acked: u64, seen: &Tree) -> Result<Verdict> {
    let last = acked + IN_FLIGHT;
    // For each operation, the file whose contents it changed.
    let mut touched = vec![None];
    // For each, the directory that it makes before its file.
    let mut made = vec![None];
    let mut gen = spec.start()?;
    while (touched.len() as u64) <= last {
        let Some((op, file)) = gen.step()? else {
            break;
        };
        touched.push(file);
        made.push(match op {
            Op::Mkdir {
                path,
                file: Some(_),
            } => Some(path),
            _ => None,
        });
    }
    let under_way = |id: usize, k: u64| {
        let next = k as usize + 1;
        let end = next.max(acked as usize);
        (next..=end).any(|i| touched.get(i) == Some(&Some(id)))
    };

    let mut verdict = Verdict {
        acknowledged: acked,
        ..Verdict::default()
    };
    let mut gen = spec.start()?;
    for k in 0..=last {
        if k > 0 && gen.step()?.is_none() {
            break;
        }
        let begun = made.get(k as usize + 1).and_then(Option::as_deref);
        let diffs = differences(&gen, seen, |id| under_way(id, k), begun);
        if diffs.is_empty() {
            verdict.state = Some(k);
        }
        if k == acked {
            verdict.diffs = diffs;
        }
    }
    verdict.lost = match verdict.state {
        Some(k) => acked.saturating_sub(k),
        // No state at all: at least every name that is wrong is a loss.
        None => (verdict.diffs.len() as u64).clamp(1, acked.max(1)),
    };
    if verdict.state.is_some_and(|k| k >= acked) {
        verdict.diffs.clear();
    }
    Ok(verdict)
}

fn differences(
    gen: &crate::workload::Generator,
    seen: &Tree,
    lenient: impl Fn(usize) -> bool,
    begun: Option<&str>,
) -> Vec<String> {
    let model = gen.model();
    let mut diffs = Vec::new();
    for (path, id) in model.entries() {
        let want = model.entry(id);
        match seen.get(path) {
            None => diffs.push(format!("{path}: missing")),
            Some(have) if have.dir != want.dir => diffs.push(format!("{path}: other type")),
            Some(have) if have.size != want.size => diffs.push(format!(
                "{path}: size {}, expected {}",
                have.size, want.size
            )),
            Some(have) if have.nlink != want.nlink => diffs.push(format!(
                "{path}: {} links, expected {}",
                have.nlink, want.nlink
            )),
            Some(have) if have.hash != want.hash && !lenient(id) => {
                diffs.push(format!("{path}: contents differ"));
            }
            Some(_) => {}
        }
    }
    diffs.extend(
        seen.keys()
            .filter(|path| !model.exists(path) && begun != Some(path))
            .map(|path| format!("{path}: should not be there")),
    );
    diffs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Kind;

    fn state(spec: &Spec, k: u64) -> Tree {
        let mut gen = spec.start().unwrap();
        for _ in 0..k {
            gen.step().unwrap().unwrap();
        }
        gen.model().tree()
    }

    #[test]
    fn the_last_acknowledged_state_loses_nothing() {
        let spec = Spec::new(Kind::Mixed, 3, 500);
        for k in [300, 301, 302] {
            let verdict = judge(&spec, 300, &state(&spec, k)).unwrap();
            assert_eq!(verdict.lost, 0);
            assert!(verdict.state.unwrap() >= k);
        }
    }

    #[test]
    fn an_earlier_state_is_a_loss() {
        let spec = Spec::new(Kind::Files, 3, 500);
        let verdict = judge(&spec, 300, &state(&spec, 280)).unwrap();
        assert_eq!((verdict.state, verdict.lost), (Some(280), 20));
    }

    #[test]
    fn bytes_of_a_later_write_are_no_loss_but_a_wrong_byte_is() {
        let mut spec = Spec::new(Kind::Files, 3, 500);
        spec.size = 64;
        let mut tree = state(&spec, 200);
        tree.get_mut("file199").unwrap().hash ^= 1;
        let verdict = judge(&spec, 200, &tree).unwrap();
        assert_eq!(verdict.state, None);
        assert_eq!(verdict.lost, 1);
        assert_eq!(verdict.diffs, ["file199: contents differ"]);
    }

    #[test]
    fn a_directory_whose_file_is_not_there_yet() {
        let spec = Spec::new(Kind::Mkdir, 3, 50);
        let mut tree = state(&spec, 21);
        tree.retain(|path, _| path != "dir21/file");
        assert!(tree.contains_key("dir21"));
        assert_eq!(judge(&spec, 20, &tree).unwrap().lost, 0);
        // Its fsync has been acknowledged.
        assert_eq!(judge(&spec, 21, &tree).unwrap().lost, 1);
        tree.retain(|path, _| path != "dir20/file");
        assert_ne!(judge(&spec, 20, &tree).unwrap().lost, 0);
    }

    #[test]
    fn a_foreign_name_is_reported() {
        let spec = Spec::new(Kind::Create, 3, 50);
        let mut tree = state(&spec, 20);
        let stray = tree["new3"].clone();
        tree.insert("stray".into(), stray);
        let verdict = judge(&spec, 20, &tree).unwrap();
        assert_eq!(verdict.diffs, ["stray: should not be there"]);
    }
}
