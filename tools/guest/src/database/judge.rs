// SPDX-License-Identifier: GPL-2.0
//! The oracle: whether a database is one that a power cut may leave.

use super::store::Found;
use super::transaction::Generator;
use super::Job;
use crate::stress::{Verdict, IN_FLIGHT};

/// Differences that are kept.
const SHOWN: usize = 6;

/// Judges a database after a cut, `acked` transactions having been acknowledged.
pub fn judge(job: &Job, acked: u64, found: &Found) -> Verdict {
    let mut verdict = Verdict {
        acknowledged: acked,
        floor: acked.saturating_sub(job.mode.undone()),
        ..Verdict::default()
    };
    let k = found.number;
    verdict.diffs = found.damage.clone();
    if k < verdict.floor {
        verdict.diffs.push(format!("the last transaction is {k}"));
    } else if k > acked + IN_FLIGHT {
        let text = format!("transaction {k} was never begun");
        verdict.diffs.push(text);
    } else {
        verdict.diffs.extend(differences(job, k, found));
    }
    verdict.diffs.truncate(SHOWN);
    if verdict.diffs.is_empty() {
        verdict.state = Some(k);
    }
    verdict
}

/// What is different from the rows after `k` transactions.
fn differences(job: &Job, k: u64, found: &Found) -> Vec<String> {
    let mut steps = Generator::new(job.seed);
    for _ in 0..k {
        steps.step();
    }
    let mut diffs = Vec::new();
    for (key, row) in steps.rows() {
        match found.row(*key) {
            Some(there) if there == *row => {}
            _ if !found.rows.contains_key(key) => {
                diffs.push(format!("after transaction {k}: row {key} is missing"));
            }
            _ => diffs.push(format!("after transaction {k}: row {key} differs")),
        }
    }
    for key in found.rows.keys() {
        if !steps.rows().contains_key(key) {
            diffs.push(format!("after transaction {k}: row {key} is there"));
        }
    }
    diffs
}

#[cfg(test)]
mod tests {
    use super::super::{look, Mode, Store};
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    /// A database of a test's own, gone with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir = format!("bytelog-database-{name}-{}", std::process::id());
            let dir = std::env::temp_dir().join(dir);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        /// A copy of its files as they are now, with nothing closed: what a cut leaves.
        fn cut(&self, name: &str) -> Self {
            let copy = Self::new(name);
            for file in fs::read_dir(&self.0).unwrap() {
                let file = file.unwrap();
                // The index of a log is shared memory, and gone with the machine.
                if !file.file_name().to_string_lossy().ends_with("-shm") {
                    fs::copy(file.path(), copy.0.join(file.file_name())).unwrap();
                }
            }
            copy
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn job(mode: Mode) -> Job {
        Job {
            seed: 5,
            mode,
            page: 1024,
        }
    }

    /// The database after `count` transactions, open.
    fn filled(job: &Job, scratch: &Scratch, count: u64) -> (Store, Generator) {
        let mut store = Store::create(job, &scratch.0).unwrap();
        let mut steps = Generator::new(job.seed);
        for _ in 0..count {
            store.commit(&steps.step()).unwrap();
        }
        (store, steps)
    }

    #[test]
    fn what_was_committed_is_there_in_every_mode() {
        for mode in Mode::ALL {
            let job = job(mode);
            let scratch = Scratch::new(&format!("whole-{mode:?}"));
            let (store, _) = filled(&job, &scratch, 60);
            let copy = scratch.cut(&format!("whole-copy-{mode:?}"));
            drop(store);
            let found = look(&copy.0).unwrap();
            for acked in [50, 60] {
                let verdict = judge(&job, acked, &found);
                assert_eq!(verdict.state, Some(60), "{verdict:?}");
            }
        }
    }

    #[test]
    fn a_lost_last_transaction_is_seen() {
        for mode in Mode::ALL {
            let job = job(mode);
            let scratch = Scratch::new(&format!("lost-{mode:?}"));
            let (mut store, mut steps) = filled(&job, &scratch, 19);
            let before = scratch.cut(&format!("lost-copy-{mode:?}"));
            store.commit(&steps.step()).unwrap();
            let verdict = judge(&job, 20, &look(&before.0).unwrap());
            // SQLite itself may bring the last rollback journal back.
            let allowed = mode == Mode::Delete;
            assert_eq!(verdict.is_good(), allowed, "{verdict:?}");
            let verdict = judge(&job, 21, &look(&before.0).unwrap());
            assert_eq!(verdict.diffs, ["the last transaction is 19"]);
        }
    }

    #[test]
    fn a_log_without_its_end_is_a_loss() {
        let job = job(Mode::Wal);
        let scratch = Scratch::new("torn");
        // So few that the log has not begun anew.
        let (_store, _) = filled(&job, &scratch, 3);
        let cut = scratch.cut("torn-copy");
        let log = fs::File::options()
            .write(true)
            .open(cut.0.join("db-wal"))
            .unwrap();
        log.set_len(log.metadata().unwrap().len() - 1).unwrap();
        let verdict = judge(&job, 3, &look(&cut.0).unwrap());
        assert_eq!(verdict.diffs, ["the last transaction is 2"]);
    }

    #[test]
    fn what_was_never_committed_is_seen() {
        let job = job(Mode::Wal);
        let scratch = Scratch::new("more");
        let (store, _) = filled(&job, &scratch, 30);
        drop(store);
        let good = look(&scratch.0).unwrap();
        let key = *good.rows.keys().next().unwrap();

        let mut found = good.clone();
        found.rows.remove(&key);
        let missing = format!("after transaction 30: row {key} is missing");
        assert_eq!(judge(&job, 30, &found).diffs, [missing]);

        let mut found = good.clone();
        found.rows.insert(9999, (1, Vec::new()));
        let more = "after transaction 30: row 9999 is there";
        assert_eq!(judge(&job, 30, &found).diffs, [more]);

        let mut found = good.clone();
        found.rows.get_mut(&key).unwrap().1.push(0);
        let differs = format!("after transaction 30: row {key} differs");
        assert_eq!(judge(&job, 30, &found).diffs, [differs]);

        let mut found = good;
        found.number = 30 + IN_FLIGHT + 1;
        assert!(!judge(&job, 30, &found).is_good());
    }
}
