// SPDX-License-Identifier: GPL-2.0
//! Work in a process of its own: where a mapped file's pages are gone, that is what
//! ends, and not the agent.

use super::stress;
use anyhow::{bail, ensure, Context, Result};
use bytelog_guest::proto::Cmd;
use std::io::{stdin, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// The agent's only argument where it is such a process.
pub const ARGUMENT: &str = "work";

/// Runs a request for work in a process of its own, to its end. The process waits
/// for each acknowledgement.
pub fn run(cmd: &Cmd, mut ack: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let mut child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("a process for work")?;
    let (Some(mut to), Some(from), Some(mut errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        bail!("no pipes");
    };
    let mut line = serde_json::to_vec(cmd)?;
    line.push(b'\n');
    to.write_all(&line)?;
    for done in BufReader::new(from).lines() {
        ack(done?.parse()?)?;
        // It may have died meanwhile: its status tells.
        let _ = to.write_all(b"\n");
    }
    let mut text = String::new();
    errors.read_to_string(&mut text)?;
    let status = child.wait()?;
    ensure!(status.success(), "{status}: {}", text.trim());
    Ok(())
}

/// What that process does.
pub fn work() -> Result<()> {
    let mut lines = stdin().lines();
    let first = lines.next().context("no request")??;
    let ack = |done: u64| -> Result<()> {
        println!("{done}");
        lines.next().context("no answer")??;
        Ok(())
    };
    match serde_json::from_str(&first)? {
        Cmd::Stress { job, dir } => stress::run(&job, Path::new(&dir), ack),
        Cmd::Database { job, dir } => stress::run_database(&job, Path::new(&dir), ack),
        other => bail!("no work: {other:?}"),
    }
}
