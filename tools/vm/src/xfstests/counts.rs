// SPDX-License-Identifier: GPL-2.0
//! Whether fast commits really happened. The kernel counts them in histograms of
//! its tracepoints, which outlive the mounts that a test makes.

use serde::{Deserialize, Serialize};
use std::ops::{AddAssign, Sub};

const EVENTS: &str = "/sys/kernel/tracing/events";

/// What is counted: our name for it, tracepoint, key of its histogram.
const HISTOGRAMS: [[&str; 3]; 4] = [
    ["fast", "ext4/ext4_fc_commit_stop", "reason"],
    ["replayed", "ext4/ext4_fc_replay", "dev"],
    ["attached", "ext4_bytelog/bytelog_attach", "dev"],
    ["bytelog", "ext4_bytelog/bytelog_commit", "dev"],
];

/// Before each test `check` calls the program of this name with what it is about
/// to do: the histograms are copied then.
const LOGGER: &str = "/usr/local/bin/logger";
/// Where to, in the root of the tests.
pub const FILE: &str = "/results/counts";

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Fast commits, whoever keeps their log.
    pub fast: u64,
    /// TLVs that ext4 replayed.
    pub replayed: u64,
    /// Mounts with ByteLog, and fast commits in its log.
    pub attached: u64,
    pub bytelog: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.fast += other.fast;
        self.replayed += other.replayed;
        self.attached += other.attached;
        self.bytelog += other.bytelog;
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            fast: self.fast.saturating_sub(earlier.fast),
            replayed: self.replayed.saturating_sub(earlier.replayed),
            attached: self.attached.saturating_sub(earlier.attached),
            bytelog: self.bytelog.saturating_sub(earlier.bytelog),
        }
    }
}

/// Shell commands that start the counting, for a root of the tests at `root`.
pub fn start(root: &str) -> String {
    let mut script = String::new();
    let mut program = "#!/bin/sh\n{ echo \"== $*\"\n".to_owned();
    for [name, event, key] in HISTOGRAMS {
        let dir = format!("{EVENTS}/{event}");
        script += &format!("[ ! -e {dir} ] || echo hist:keys={key} >{dir}/trigger\n");
        program += &format!("echo '## {name}'; cat {dir}/hist 2>/dev/null\n");
    }
    program += &format!("}} >>{FILE}\n");
    let path = format!("{root}{LOGGER}");
    script
        + &format!(
            "mkdir -p {root}/usr/local/bin\ncat >{path} <<'END'\n{program}END\nchmod +x {path}\n"
        )
}

/// The counts since the start, as one copy has them.
fn parse(text: &str) -> Counts {
    let mut counts = Counts::default();
    let mut name = "";
    for line in text.lines() {
        if let Some(next) = line.strip_prefix("## ") {
            name = next;
        }
        // "{ reason:          0 } hitcount:         12"
        let Some((key, hits)) = line.split_once("hitcount:") else {
            continue;
        };
        let Ok(hits) = hits.trim().parse::<u64>() else {
            continue;
        };
        match name {
            // The other reasons are those of fast commits that did not happen.
            "fast" if key.split_whitespace().any(|word| word == "0") => counts.fast += hits,
            "replayed" => counts.replayed += hits,
            "attached" => counts.attached += hits,
            "bytelog" => counts.bytelog += hits,
            _ => {}
        }
    }
    counts
}

/// What happened during each test, from all copies; the last one was made after
/// the last test.
pub fn of_tests(text: &str) -> Vec<(String, Counts)> {
    let copies: Vec<(&str, Counts)> = text
        .split("== ")
        .skip(1)
        .map(|copy| {
            let name = copy.lines().next().unwrap_or("");
            (name.rsplit(' ').next().unwrap_or(""), parse(copy))
        })
        .collect();
    copies
        .windows(2)
        .map(|pair| (pair[0].0.to_owned(), pair[1].1 - pair[0].1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
== run xfstest generic/001
## fast
# trigger info: hist:keys=reason:vals=hitcount:sort=hitcount:size=2048 [active]
{ reason:          0 } hitcount:          2
{ reason:          1 } hitcount:          7
Totals:
    Hits: 9
## bytelog
{ dev:        259 } hitcount:          1
== run xfstest generic/002
## fast
{ reason:          0 } hitcount:         12
## bytelog
{ dev:        259 } hitcount:          8
{ dev:        260 } hitcount:          3
== end
## fast
{ reason:          0 } hitcount:         12
## bytelog
{ dev:        259 } hitcount:         11
";

    #[test]
    fn counts_of_each_test() {
        let all = of_tests(TEXT);
        let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["generic/001", "generic/002"]);
        assert_eq!((all[0].1.fast, all[0].1.bytelog), (10, 10));
        assert_eq!(all[1].1.fast, 0);
    }

    #[test]
    fn the_program_copies_every_histogram() {
        let script = start("/root-of-tests");
        for [name, event, _] in HISTOGRAMS {
            assert!(script.contains(&format!("## {name}")));
            assert!(script.contains(&format!("{event}/trigger")));
        }
    }
}
