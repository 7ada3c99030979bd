// SPDX-License-Identifier: GPL-2.0
//! `/proc/fs/ext4/DEV/fc_info`: what fast commits wrote, and why some were none.

use std::collections::BTreeMap;

/// Counters since the mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FcInfo {
    /// Blocks that fast commits have written.
    pub blocks: u64,
    /// How often something asked for a full commit, or prevented a fast one.
    pub reasons: BTreeMap<String, u64>,
}

impl FcInfo {
    /// Reads it. A line of another form tells nothing that is wanted here.
    pub fn parse(text: &str) -> Self {
        let mut info = Self::default();
        let mut of_snapshots = false;
        for line in text.lines() {
            if let Some((reason, count)) = quoted(line) {
                *info.reasons.entry(reason.to_owned()).or_default() += count;
            } else if let Some((count, word)) = numbered(line) {
                if of_snapshots {
                    *info.reasons.entry(format!("snapshot: {word}")).or_default() += count;
                } else if word == "numblks" {
                    info.blocks = count;
                }
            } else {
                of_snapshots = line == "Snapshot failures:";
            }
        }
        info
    }

    /// The reasons that were counted since an earlier moment.
    pub fn since(&self, before: &Self) -> Vec<(String, u64)> {
        let counts = self.reasons.iter().map(|(reason, count)| {
            let then = before.reasons.get(reason).copied().unwrap_or(0);
            (reason.clone(), count.saturating_sub(then))
        });
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// The reason in quotation marks, a colon, a tab, the count.
fn quoted(line: &str) -> Option<(&str, u64)> {
    let (reason, count) = line.strip_prefix('"')?.split_once("\":")?;
    Some((reason, count.trim().parse().ok()?))
}

/// `12 words`
fn numbered(line: &str) -> Option<(u64, &str)> {
    let (count, word) = line.split_once(' ')?;
    Some((count.parse().ok()?, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fc stats:\n41 commits\n2 ineligible\n77 numblks\n12us avg_commit_time\n\
        Ineligible reasons:\n\"Extended attributes changed\":\t2\n\"Cross rename\":\t0\n\
        Snapshot stats:\n9 inodes\n10 ranges\n0us lock_updates_avg\n\
        Snapshot failures:\n3 es_miss\n0 nomem\n";

    #[test]
    fn blocks_and_reasons() {
        let info = FcInfo::parse(TEXT);
        assert_eq!(info.blocks, 77);
        let none = FcInfo::default();
        assert_eq!(
            info.since(&none),
            [
                ("Extended attributes changed".to_owned(), 2),
                ("snapshot: es_miss".to_owned(), 3)
            ]
        );
    }

    #[test]
    fn only_what_has_been_counted_since() {
        let before = FcInfo::parse(TEXT);
        assert_eq!(before.since(&before), []);
        let after = FcInfo::parse(&TEXT.replace("3 es_miss", "5 es_miss"));
        assert_eq!(after.since(&before), [("snapshot: es_miss".to_owned(), 2)]);
    }
}
