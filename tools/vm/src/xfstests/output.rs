// SPDX-License-Identifier: GPL-2.0
//! What xfstests' `check` prints, as results.

use serde::{Deserialize, Serialize};

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pass,
    /// Something that it needs is not there.
    Notrun,
    Fail,
    /// It was still at it when its time was over.
    Timeout,
    /// The machine did not survive it.
    Crash,
}

/// A test that `check` has spoken of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub name: String,
    pub outcome: Outcome,
    /// What was said besides: why it was not run, how it failed.
    pub text: String,
}

fn is_name(word: &str) -> bool {
    word.split_once('/').is_some_and(|(dir, number)| {
        !dir.is_empty()
            && dir.chars().all(|c| c.is_ascii_alphanumeric())
            && number.len() >= 3
            && number.chars().all(|c| c.is_ascii_digit())
    })
}

/// A duration like "12s" is all that is said of a test that passes, after the one
/// of an earlier run.
fn passed(text: &str) -> bool {
    let seconds = |word: &str| {
        word.strip_suffix('s')
            .is_some_and(|n| n.parse::<u32>().is_ok())
    };
    let mut words = text.split_whitespace().peekable();
    words.peek().is_some() && words.all(|word| seconds(word) || word == "...")
}

fn judge(name: &str, text: &str) -> Said {
    let outcome = if passed(text) {
        Outcome::Pass
    } else if text.contains("[not run]") || text.contains("[expunged]") {
        Outcome::Notrun
    } else {
        Outcome::Fail
    };
    let text = text.replace("[not run]", "");
    Said {
        name: name.to_owned(),
        outcome,
        text: text.trim().to_owned(),
    }
}

/// The results in an output, and the test that is running at its end. `ended`:
/// nothing more will come.
pub fn parse(output: &str, ended: bool) -> (Vec<Said>, Option<String>) {
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut closed = false;
    for line in output.lines() {
        let word = line.split_whitespace().next().unwrap_or("");
        if is_name(word) {
            let rest = line.trim_start().strip_prefix(word).unwrap_or("");
            blocks.push((word.to_owned(), rest.to_owned()));
        } else if word == "Ran:" {
            closed = true;
        } else if let (Some((_, text)), false) = (blocks.last_mut(), closed) {
            text.push('\n');
            text.push_str(line);
        }
    }
    let mut running = None;
    if !closed && !ended {
        running = blocks.pop().map(|(name, _)| name);
    }
    let said = blocks.iter().map(|(name, text)| judge(name, text));
    (said.collect(), running)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
FSTYP         -- ext4
MKFS_OPTIONS  -- -b 4096 /dev/pmem0

generic/001        5s
generic/002  3s ...  4s
generic/003       [not run] this test requires a valid $LOGWRITES_DEV
generic/004       [failed, exit status 1]- output mismatch (see /results/generic/004.out.bad)
    --- tests/generic/004.out
    +++ /results/generic/004.out.bad
_check_generic_filesystem: filesystem on /dev/pmem0 is inconsistent
generic/005      ";

    #[test]
    fn results() {
        let (said, running) = parse(OUTPUT, false);
        let outcomes: Vec<_> = said.iter().map(|said| said.outcome).collect();
        use Outcome::{Fail, Notrun, Pass};
        assert_eq!(outcomes, [Pass, Pass, Notrun, Fail]);
        assert_eq!(said[2].text, "this test requires a valid $LOGWRITES_DEV");
        assert!(said[3].text.ends_with("is inconsistent"));
        assert_eq!(running.as_deref(), Some("generic/005"));
    }

    #[test]
    fn the_end() {
        let output = "generic/001   5s\n\nRan: generic/001\nPassed all 1 tests\n";
        let (said, running) = parse(output, false);
        assert_eq!((said.len(), running), (1, None));
        assert_eq!(said[0].outcome, Outcome::Pass);
        // A test that says nothing has not passed.
        assert_eq!(parse("generic/001 \n", true).0[0].outcome, Outcome::Fail);
    }
}
