// SPDX-License-Identifier: GPL-2.0

//! Instructions of an append, counted by callgrind over this very program: they are
//! the same each time.

use crate::contender::Way;
use anyhow::{ensure, Context, Result};
use std::path::Path;
use std::process::Command;

/// Appends of the two runs, of which the difference is counted: what the program
/// does besides is in both.
const FEW: usize = 20;
const MORE: usize = 60;

/// Instructions of one append.
pub fn instructions(valgrind: &Path, dir: &Path, way: Way, bytes: usize) -> Result<f64> {
    let few = run(valgrind, dir, way, bytes, FEW)?;
    let more = run(valgrind, dir, way, bytes, MORE)?;
    ensure!(more > few, "{} of {bytes} bytes: {few}, {more}", way.name());
    Ok((more - few) as f64 / (MORE - FEW) as f64)
}

fn run(valgrind: &Path, dir: &Path, way: Way, bytes: usize, count: usize) -> Result<u64> {
    let mut command = Command::new(valgrind);
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe().context("this program")?);
    command.arg("--dir").arg(dir).arg("once");
    command.args(["--way", &way.name().replace('_', "-")]);
    command.args(["--bytes", &bytes.to_string(), "--count", &count.to_string()]);
    let output = command.output();
    let output = output.with_context(|| valgrind.display().to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "callgrind: {}", said.trim());
    collected(&said).with_context(|| format!("callgrind: {said}"))
}

/// "==123== Collected : 4567"
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("Collected"))?;
    line.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callgrind_says() {
        let said = "==7== \n==7== Events    : Ir\n==7== Collected : 123456\n==7== \n";
        assert_eq!(collected(said), Some(123456));
        assert_eq!(collected("==7== \n"), None);
    }
}
