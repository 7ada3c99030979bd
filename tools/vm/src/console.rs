// SPDX-License-Identifier: GPL-2.0
//! The console log of a machine: nothing in it may look like a kernel defect.

use anyhow::{bail, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// What no test may leave in the kernel log.
const SPLATS: &[&str] = &[
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "Oops",
    "RIP: 0010:",
    "general protection fault",
    "Kernel panic",
    "KASAN:",
    "KCSAN:",
    "UBSAN:",
    "kmemleak:",
    "refcount_t:",
    "list_add corruption",
    "list_del corruption",
    "slab corruption",
    "Object corrupted",
    "blocked for more than",
    "soft lockup",
    "hard LOCKUP",
    // Of whichever RCU: "self-detected stall on CPU", "detected stalls on CPUs/tasks",
    // "detected expedited stalls".
    "rcu: INFO:",
    "detected stall",
    "detected expedited stall",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "suspicious RCU usage",
    "sleeping function called from invalid context",
    "scheduling while atomic",
    "Bad page state",
    "Machine check",
    "rust_kernel: panicked",
    "panicked at",
    "bytelog-guest: failed",
];

/// What ext4 and jbd2 say when a filesystem has failed, in lower case: for a test that has
/// made it fail, and for no other.
const ERRORS: &[&str] = &[
    "ext4-fs error",
    "aborting journal",
    "jbd2: error",
    "i/o error",
    "io error",
    "remounting filesystem read-only",
];

/// Lines that say nothing about the kernel under test.
const HARMLESS: &[&str] = &[
    // An out-of-tree module is what this project is.
    "loading out-of-tree module taints kernel",
    "module verification failed",
];

fn is_error(line: &str) -> bool {
    let line = line.to_lowercase();
    ERRORS.iter().any(|error| line.contains(error))
}

/// The first line of a log that a test must fail for, unless it has one of the
/// `known` phrases; errors of a filesystem are no reason where they are expected.
fn find_splat<'a>(log: &'a str, known: &[&str], errors_expected: bool) -> Option<&'a str> {
    log.lines().find(|line| {
        (SPLATS.iter().any(|splat| line.contains(splat)) || !errors_expected && is_error(line))
            && !HARMLESS.iter().any(|fine| line.contains(fine))
            && !known.iter().any(|fine| line.contains(fine))
    })
}

/// A console log that is read as it grows.
pub struct Console {
    path: PathBuf,
    seen: usize,
    known: &'static [&'static str],
    errors_expected: bool,
}

impl Console {
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            seen: 0,
            known: &[],
            errors_expected: false,
        }
    }

    /// Whether filesystems may fail, from now on.
    pub fn expect_errors(&mut self, expected: bool) {
        self.errors_expected = expected;
    }

    /// Lines with one of these phrases are a known defect's, from now on.
    pub fn expect(&mut self, known: &'static [&'static str]) {
        self.known = known;
    }

    fn text(&self) -> Result<String> {
        let bytes = fs::read(&self.path).with_context(|| self.path.display().to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Checks what has been logged since the last call.
    pub fn check(&mut self) -> Result<()> {
        let text = self.text()?;
        let start = self.seen.min(text.len());
        self.seen = text.len();
        let new = text.get(start..).unwrap_or_default();
        match find_splat(new, self.known, self.errors_expected) {
            Some(line) => bail!("kernel log: {}", line.trim()),
            None => Ok(()),
        }
    }

    /// Whether a text has been logged since the last check.
    pub fn shows_new(&self, text: &str) -> Result<bool> {
        let all = self.text()?;
        Ok(all.get(self.seen..).is_some_and(|new| new.contains(text)))
    }

    /// The last lines, for a failed test.
    pub fn tail(&self, lines: usize) -> String {
        let text = self.text().unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splats_are_found() {
        let log = "[ 1.0] EXT4-fs (pmem0): mounted\n[ 2.0] WARNING: CPU: 0 PID: 1 at fs/x.c:1\n";
        assert!(find_splat(log, &[], true).unwrap().contains("fs/x.c"));
        assert_eq!(find_splat(log, &["at fs/x.c"], true), None);
        let log = "INFO: task jbd2/pmem0-8:71 blocked for more than 40 seconds.";
        assert!(find_splat(log, &["another"], true).is_some());
    }

    #[test]
    fn stalls_are_found() {
        for line in [
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
            "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... }",
        ] {
            assert!(find_splat(line, &[], true).is_some(), "{line}");
        }
    }

    #[test]
    fn errors_of_a_filesystem_are_found_where_none_is_expected() {
        for line in [
            "[ 1.0] EXT4-fs error (device pmem0): ext4_lookup:1: inode #2: comm ls: x",
            "[ 1.0] Aborting journal on device pmem0-8.",
            "[ 1.0] JBD2: I/O error when updating journal superblock for pmem0-8.",
            "[ 1.0] Buffer I/O error on dev vda, logical block 7, lost sync page write",
        ] {
            assert_eq!(find_splat(line, &[], false), Some(line));
            assert_eq!(find_splat(line, &[], true), None);
        }
    }

    #[test]
    fn ordinary_lines_are_not() {
        let log =
            "ext4: loading out-of-tree module taints kernel.\nEXT4-fs warning (device pmem0): x\n";
        assert_eq!(find_splat(log, &[], false), None);
    }
}
