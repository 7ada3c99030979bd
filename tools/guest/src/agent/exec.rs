// SPDX-License-Identifier: GPL-2.0
//! Running programs.

use anyhow::{Context, Result};
use bytelog_guest::proto::RunResult;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Runs a program to its end. Its output goes through one file, so that the two
/// streams keep their order.
pub fn run(argv: &[String], stdin: &str) -> Result<RunResult> {
    let (program, args) = argv.split_first().context("empty command")?;
    let path = format!("/tmp/output.{}", COUNTER.fetch_add(1, Ordering::Relaxed));
    let mut out = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(out.try_clone()?)
        .stderr(out.try_clone()?)
        .spawn()
        .with_context(|| program.clone())?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that does not read its input is no error.
        let _ = pipe.write_all(stdin.as_bytes());
    }
    let status = child.wait()?;
    let mut bytes = Vec::new();
    out.rewind()?;
    out.read_to_end(&mut bytes)?;
    Ok(RunResult {
        status: status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        output: String::from_utf8_lossy(&bytes).into_owned(),
    })
}
