// SPDX-License-Identifier: GPL-2.0

//! What is asked of the subcommands on one image.

use crate::program::{run, Said};
use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};

/// The image's name in the directory that the programs run in.
const DISK: &str = "disk.img";

/// Subcommands that read. `fresh` files are removed behind each.
const READING: &[&str] = &[
    "info disk.img",
    "--json info disk.img",
    "dump disk.img",
    "dump --raw disk.img",
    "dump --tid 7 --commit 2 disk.img",
    "--json dump disk.img",
    "verify disk.img",
    "--json verify disk.img",
    "map disk.img",
    "map --svg fresh.svg disk.img",
    "export --dry-run disk.img",
    "--json export --dry-run disk.img",
    "export --up-to-damage --dry-run disk.img",
    "export --discard-log --dry-run disk.img",
    "export --to fresh.img disk.img",
    "capture disk.img fresh.img",
    "info -b 32768 disk.img",
    "info --partition 1 disk.img",
    "info --journal disk.img disk.img",
];

/// Subcommands that would write something of ByteLog's, were there any.
const NOTHING_TO_DO: &[&str] = &["export disk.img", "disable disk.img"];

/// Subcommands that may write, each on a new copy.
const WRITING: &[&str] = &[
    "enable disk.img",
    "export --up-to-damage disk.img",
    "export --discard-log disk.img",
    "export -b 8193 disk.img",
    "export -b 32768 disk.img",
];

/// Exit statuses of every subcommand but `fsck`.
const STATUSES: [i32; 4] = [0, 4, 8, 16];

/// Bytes of an image that are compared at once.
const SECTOR: usize = 512;

/// The checker of images.
pub struct Checker {
    /// The `bytelog` to check.
    pub bytelog: PathBuf,
    /// A directory for one image at a time.
    pub dir: PathBuf,
}

/// What was found out about an image.
#[derive(Debug, Default)]
pub struct Findings {
    /// Runs of `bytelog`.
    pub runs: u32,
    /// What is wrong.
    pub wrong: Vec<String>,
    /// Options with which e2fsck itself does not end.
    pub endless: Vec<String>,
}

impl Checker {
    /// Checks all subcommands on the image `whole`.
    pub fn check(&self, whole: &[u8]) -> Result<Findings> {
        let mut found = Findings::default();
        let disk = self.dir.join(DISK);
        fs::write(&disk, whole)?;
        for line in READING {
            let said = self.run(line, &mut found)?;
            self.judge(line, &said, &mut found);
            self.unchanged(line, &disk, whole, &mut found)?;
            for name in ["fresh.svg", "fresh.img"] {
                let _ = fs::remove_file(self.dir.join(name));
            }
        }
        for line in NOTHING_TO_DO {
            let said = self.run(line, &mut found)?;
            self.judge(line, &said, &mut found);
            self.unchanged(line, &disk, whole, &mut found)?;
        }
        for line in WRITING {
            fs::write(&disk, whole)?;
            let said = self.run(line, &mut found)?;
            self.judge(line, &said, &mut found);
            // What refuses has not begun.
            if said.status != Some(0) {
                self.unchanged(line, &disk, whole, &mut found)?;
            }
        }
        self.switched(&disk, whole, &mut found)?;
        for options in ["-fn", "-fy", "-p"] {
            self.as_e2fsck(options, &disk, whole, &mut found)?;
        }
        if found.endless.is_empty() {
            let line = "--json fsck disk.img -- -fn";
            fs::write(&disk, whole)?;
            let said = self.run(line, &mut found)?;
            self.judge(line, &said, &mut found);
            self.unchanged(line, &disk, whole, &mut found)?;
        }
        Ok(found)
    }

    fn run(&self, line: &str, found: &mut Findings) -> Result<Said> {
        found.runs += 1;
        run(&self.bytelog, line, &self.dir)
    }

    /// How it ended, and whether it said what it says.
    fn judge(&self, line: &str, said: &Said, found: &mut Findings) {
        let mut wrong = |what: &str| {
            let end = said.err.lines().last().unwrap_or_default();
            found.wrong.push(format!("bytelog {line}: {what} ({end})"));
        };
        if let Some(fault) = said.fault() {
            wrong(fault);
            return;
        }
        let is_fsck = line.contains("fsck");
        let status = said.status.unwrap_or(-1);
        if !is_fsck && !STATUSES.contains(&status) {
            wrong(&format!("ends with {status}"));
        }
        if !is_fsck && status != 0 && said.err.is_empty() && said.out.is_empty() {
            wrong(&format!("ends with {status} and says nothing"));
        }
        if line.contains("--json") && serde_json::from_str::<serde_json::Value>(&said.out).is_err()
        {
            wrong("prints no JSON");
        }
    }

    fn unchanged(&self, line: &str, disk: &Path, whole: &[u8], found: &mut Findings) -> Result<()> {
        if fs::read(disk)? != whole {
            found.wrong.push(format!("bytelog {line}: has written"));
            fs::write(disk, whole)?;
        }
        Ok(())
    }

    /// `enable` and `disable` leave what there was before.
    fn switched(&self, disk: &Path, whole: &[u8], found: &mut Findings) -> Result<()> {
        fs::write(disk, whole)?;
        if self.run("enable disk.img", found)?.status != Some(0) {
            return Ok(());
        }
        let line = "disable disk.img";
        if self.run(line, found)?.status != Some(0) {
            found
                .wrong
                .push(format!("bytelog {line}: fails after enable"));
        }
        self.unchanged("enable and disable", disk, whole, found)
    }

    /// `bytelog fsck` is e2fsck: its status, its words, and what it writes. e2fsck draws
    /// UUIDs and prints memory that it has not set: it runs twice, and where the two runs
    /// differ nothing is compared.
    fn as_e2fsck(
        &self,
        options: &str,
        disk: &Path,
        whole: &[u8],
        found: &mut Findings,
    ) -> Result<()> {
        let e2fsck = || -> Result<(Said, Vec<u8>)> {
            fs::write(disk, whole)?;
            let line = format!("{options} {DISK}");
            let said = run(Path::new("e2fsck"), &line, &self.dir)?;
            Ok((said, fs::read(disk)?))
        };
        let (theirs, written) = e2fsck()?;
        if theirs.hangs {
            found.endless.push(options.to_owned());
            return Ok(());
        }
        let (again, rewritten) = e2fsck()?;
        fs::write(disk, whole)?;
        let line = format!("fsck {DISK} -- {options}");
        let ours = self.run(&line, found)?;
        let mut wrong = |what: String| found.wrong.push(format!("bytelog {line}: {what}"));
        if let Some(fault) = ours.fault() {
            wrong(fault.to_owned());
        } else if ours.status != theirs.status {
            wrong(format!(
                "ends with {:?}, e2fsck with {:?} ({})",
                ours.status,
                theirs.status,
                ours.err.lines().last().unwrap_or_default()
            ));
        } else if !(same_words(&ours.out, &theirs.out, &again.out)
            && same_words(&ours.err, &theirs.err, &again.err))
        {
            wrong("has other words than e2fsck".to_owned());
        }
        let sector = |bytes: &[u8]| bytes.chunks(SECTOR).map(<[u8]>::to_vec).collect::<Vec<_>>();
        if !same(
            &sector(&fs::read(disk)?),
            &sector(&written),
            &sector(&rewritten),
        ) {
            wrong("leaves another filesystem than e2fsck".to_owned());
        }
        Ok(())
    }
}

/// Whether `ours` is `theirs` in every part that is the same in `again`.
fn same<T: PartialEq>(ours: &[T], theirs: &[T], again: &[T]) -> bool {
    let parts = ours.iter().zip(theirs).zip(again);
    ours.len() == theirs.len()
        && theirs.len() == again.len()
        && parts
            .into_iter()
            .all(|((ours, theirs), again)| theirs != again || ours == theirs)
}

fn same_words(ours: &str, theirs: &str, again: &str) -> bool {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    same(&lines(ours), &lines(theirs), &lines(again))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_e2fsck_repeats_is_compared() {
        assert!(same(&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]));
        assert!(same(&[1, 9, 3], &[1, 2, 3], &[1, 7, 3]));
        assert!(!same(&[1, 9, 3], &[1, 2, 3], &[1, 2, 3]));
        assert!(!same(&[1, 2], &[1, 2, 3], &[1, 2, 3]));
    }
}
