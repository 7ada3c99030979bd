// SPDX-License-Identifier: GPL-2.0

//! What ext4 and jbd2 count themselves: commits that ext4 rules out before the module
//! is asked, and full commits.

use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::path::Path;

/// `fc_info` of a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ext4 {
    /// Fast commits.
    pub commits: u64,
    /// Transactions that ext4 ruled out for fast commits.
    pub ineligible: u64,
    /// Why: each reason with how often it came up, several times in a transaction
    /// perhaps. Only those that did.
    pub reasons: BTreeMap<String, u64>,
}

impl Ext4 {
    /// Reads that of a device; `None` if there is none.
    pub fn read(root: &Path, device: &str) -> Option<Self> {
        let path = root.join("proc/fs/ext4").join(device).join("fc_info");
        Some(Self::parse(&read_to_string(path).ok()?))
    }

    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let mut section = "";
        for line in text.lines() {
            if let Some(title) = line.strip_suffix(':') {
                section = title;
                continue;
            }
            let (count, name) = match line.split_once(":\t") {
                Some((name, count)) => (count, name.trim_matches('"')),
                None => line.split_once(' ').unwrap_or_default(),
            };
            let Ok(count) = count.trim().parse() else {
                continue;
            };
            match (section, name) {
                ("fc stats", "commits") => found.commits = count,
                ("fc stats", "ineligible") => found.ineligible = count,
                ("Ineligible reasons", _) if count > 0 => {
                    found.reasons.insert(name.to_owned(), count);
                }
                // Newer kernels take a snapshot of what a fast commit is to log.
                ("Snapshot failures", _) if count > 0 => {
                    found.reasons.insert(format!("no snapshot: {name}"), count);
                }
                _ => {}
            }
        }
        found
    }

    /// What has been added since `earlier`, or all of it after another mount.
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = [
            (self.commits, earlier.commits),
            (self.ineligible, earlier.ineligible),
        ];
        let [Some(commits), Some(ineligible)] = pairs.map(|(now, before)| now.checked_sub(before))
        else {
            return self.clone();
        };
        let mut reasons = self.reasons.clone();
        reasons.retain(|name, count| {
            *count = count.saturating_sub(earlier.reasons.get(name).copied().unwrap_or(0));
            *count > 0
        });
        Self {
            commits,
            ineligible,
            reasons,
        }
    }
}

/// Full commits of a mount. `None` where they cannot be told.
pub fn full_commits(root: &Path, device: &str) -> Option<u64> {
    // jbd2 names the files of a journal as its thread, and ext4 tells which that is.
    let task = root.join("sys/fs/ext4").join(device).join("journal_task");
    let task = read_to_string(task).ok()?;
    let name = root.join("proc").join(task.trim()).join("comm");
    let name = read_to_string(name).ok()?;
    let journal = name.trim().strip_prefix("jbd2/")?;
    let info = root.join("proc/fs/jbd2").join(journal).join("info");
    let info = read_to_string(info).ok()?;
    info.split_once(" transactions ")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "\
fc stats:
41 commits
2 ineligible
77 numblks
12us avg_commit_time
Ineligible reasons:
\"Extended attributes changed\":\t0
\"Falloc range op\":\t3
Snapshot stats:
9 inodes
Snapshot failures:
0 es_miss
1 nomem
";

    #[test]
    fn counts_and_reasons() {
        let found = Ext4::parse(INFO);
        assert_eq!((found.commits, found.ineligible), (41, 2));
        let reasons: Vec<_> = found.reasons.iter().collect();
        assert_eq!(
            reasons,
            [
                (&"Falloc range op".to_owned(), &3),
                (&"no snapshot: nomem".to_owned(), &1)
            ]
        );
        assert_eq!(Ext4::parse("nothing\nof it"), Ext4::default());
    }

    #[test]
    fn what_was_added() {
        let earlier = Ext4::parse(INFO);
        let mut later = earlier.clone();
        later.commits += 2;
        later.reasons.insert("Resize".into(), 1);
        let added = later.since(&earlier);
        assert_eq!((added.commits, added.ineligible), (2, 0));
        assert_eq!(
            added.reasons.into_iter().collect::<Vec<_>>(),
            [("Resize".into(), 1)]
        );
        assert_eq!(earlier.since(&later), earlier);
    }
}
