// SPDX-License-Identifier: GPL-2.0
//! Which tests are run: names and groups, as xfstests' own lists have them.

use anyhow::{ensure, Result};
use std::collections::BTreeSet;

/// What is run if nothing is asked for.
pub const DEFAULT: &str = "generic/quick log shutdown recoveryloop ext4";

/// Directories of tests that run on ext4.
pub const DIRS: [&str; 2] = ["generic", "ext4"];

/// A test and the groups it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    groups: Vec<String>,
}

/// The tests of a directory, from its `group.list`: lines "001 auto quick".
pub fn parse(dir: &str, text: &str) -> Vec<Listed> {
    let lines = text.lines().map(str::split_whitespace);
    lines
        .filter_map(|mut words| {
            let number = words.next().filter(|word| word.parse::<u32>().is_ok())?;
            Some(Listed {
                name: format!("{dir}/{number}"),
                groups: words.map(str::to_owned).collect(),
            })
        })
        .collect()
}

fn fits(test: &Listed, word: &str) -> bool {
    let in_group = |group: &str| test.groups.iter().any(|g| g == group);
    let dir = test.name.split('/').next();
    match word.split_once('/') {
        Some((of, group)) => test.name == word || (dir == Some(of) && in_group(group)),
        None => dir == Some(word) || in_group(word),
    }
}

/// The tests that some word names, in order: a test ("generic/001"), a directory
/// ("ext4"), a group ("log"), or a group of a directory ("generic/quick"). A word
/// after a minus takes its tests away again.
pub fn choose(all: &[Listed], words: &str) -> Result<Vec<String>> {
    let mut chosen = BTreeSet::new();
    let mut dropped = BTreeSet::new();
    for word in words.split([' ', ',']).filter(|word| !word.is_empty()) {
        let (set, name) = match word.strip_prefix('-') {
            Some(name) => (&mut dropped, name),
            None => (&mut chosen, word),
        };
        let fitting: Vec<_> = all.iter().filter(|test| fits(test, name)).collect();
        ensure!(
            !fitting.is_empty(),
            "no test, directory or group is called {name}: write for example TESTS=\"{DEFAULT}\""
        );
        set.extend(fitting.iter().map(|test| test.name.clone()));
    }
    let chosen: Vec<_> = chosen.difference(&dropped).cloned().collect();
    ensure!(!chosen.is_empty(), "no test is left of \"{words}\"");
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_groups_and_directories() {
        let mut all = parse(
            "generic",
            "# list\n\n001 rw quick\n002 log quick\n003 slow\n",
        );
        all.extend(parse("ext4", "001 quick\n004 log\n"));
        let chosen = |words| choose(&all, words).unwrap().join(" ");
        assert_eq!(chosen("generic/quick"), "generic/001 generic/002");
        assert_eq!(chosen("log"), "ext4/004 generic/002");
        assert_eq!(chosen("ext4, generic/003"), "ext4/001 ext4/004 generic/003");
        assert_eq!(chosen("ext4 -log"), "ext4/001");
        let refused = choose(&all, "nonesuch").unwrap_err().to_string();
        assert!(refused.contains("nonesuch"), "{refused}");
        assert!(choose(&all, "ext4 -ext4").is_err());
    }
}
