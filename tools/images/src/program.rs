// SPDX-License-Identifier: GPL-2.0

//! Programs that are run on an image, in a directory of their own.

use anyhow::{Context, Result};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Seconds of processor time after which a program hangs, and after which it is killed. The
/// slowest takes some few.
const CPU: &str = "--cpu=30:40";

/// Seconds after which a program hangs that waits, however busy the machine is.
const LIMIT: &str = "3600";

/// What programs of e2fsprogs take the time from.
const TIME: [&str; 2] = ["E2FSPROGS_FAKE_TIME", "E2FSCK_TIME"];

/// What `timeout` ends with where it had to end the program.
const HANGS: i32 = 124;

/// The signals that end what has used up its time: SIGXCPU and SIGKILL.
const ENDED: [i32; 2] = [24, 9];

/// What a Rust program ends with after a panic.
const PANICKED: i32 = 101;

/// What a program ended with, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The exit status; `None` after a signal.
    pub status: Option<i32>,
    /// Whether it had to be ended.
    pub hangs: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Why it did not end as a program should.
    pub fn fault(&self) -> Option<&'static str> {
        match self.status {
            _ if self.hangs => Some("hangs"),
            None => Some("was ended by a signal"),
            Some(PANICKED) => Some("panics"),
            _ => None,
        }
    }
}

/// Runs `program` with the words of `line` in `dir`, at a fixed time, with no input.
pub fn run(program: &Path, line: &str, dir: &Path) -> Result<Said> {
    let output = Command::new("timeout")
        .args(["--kill-after=5", LIMIT, "prlimit", CPU])
        .arg(program)
        .args(line.split_whitespace())
        .current_dir(dir)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .envs(TIME.map(|name| (name, "1790000000")))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("timeout, to run {}", program.display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code();
    Ok(Said {
        status: code,
        // A signal that ends what timeout runs ends timeout, too.
        hangs: code == Some(HANGS)
            || output
                .status
                .signal()
                .is_some_and(|signal| ENDED.contains(&signal)),
        out: text(&output.stdout),
        err: text(&output.stderr),
    })
}
