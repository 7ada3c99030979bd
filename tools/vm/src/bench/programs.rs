// SPDX-License-Identifier: GPL-2.0
//! Real programs in the machine: those in the image of `scripts/programs-root`, which is
//! its second disk, with the filesystem under test mounted in it.

use super::machine::Machine;
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{Cmd, RunResult};
use std::time::Duration;

/// The image, mounted.
pub const ROOT: &str = "/programs";

/// The filesystem under test, as the programs have it.
pub const DIR: &str = "/mnt";

/// How long a program may take.
pub const PATIENCE: Duration = Duration::from_secs(900);

const SETUP: &str = "
mkdir -p /programs
mount -t squashfs -o ro /dev/vdb /programs
for dir in proc sys dev; do mount --rbind /$dir /programs/$dir; done
mkdir -p /programs/dev/shm
for dir in dev/shm tmp; do mount -t tmpfs -o mode=1777 tmpfs /programs/$dir; done
ln -sf /proc/self/fd /dev/fd
";

/// What a machine needs once: the root, with places to write in memory.
pub fn prepare(machine: &mut Machine) -> Result<()> {
    machine.lab.modprobe("squashfs", false)?;
    script(machine, SETUP).context("root of the programs")
}

/// Mounts the filesystem under test where the programs have it.
pub fn enter(machine: &mut Machine) -> Result<()> {
    let dir = machine.dir();
    script(machine, &format!("mount --bind {dir} {ROOT}{DIR}"))
}

/// Lets go of it.
pub fn leave(machine: &mut Machine) -> Result<()> {
    machine.lab.umount(&format!("{ROOT}{DIR}"))
}

/// A program in the root, with arguments, for somebody: the words before it.
pub fn argv(user: Option<&str>, program: &str, args: &[impl AsRef<str>]) -> Vec<String> {
    let mut line = format!("chroot {ROOT} ");
    if let Some(user) = user {
        let set = format!("/usr/bin/setpriv --reuid={user} --regid={user} --clear-groups ");
        line.push_str(&set);
    }
    line.push_str("/usr/bin/env -i PATH=/usr/bin:/usr/sbin HOME=/tmp ");
    line.push_str(program);
    let words = line
        .split_whitespace()
        .chain(args.iter().map(AsRef::as_ref));
    words.map(str::to_owned).collect()
}

/// Runs a program that must succeed; returns its output.
pub fn run(machine: &mut Machine, argv: Vec<String>, stdin: &str) -> Result<String> {
    let line = argv.join(" ");
    let stdin = stdin.to_owned();
    let result = machine
        .lab
        .vm()?
        .call_for(Cmd::Run { argv, stdin }, PATIENCE)?;
    output(&line, result)
}

/// What a program has printed, if it succeeded.
pub fn output(program: &str, result: RunResult) -> Result<String> {
    let RunResult { status, output } = result;
    ensure!(status == 0, "{program}: exit {status}: {}", output.trim());
    Ok(output)
}

/// Runs a script of the agent's shell.
pub fn script(machine: &mut Machine, text: &str) -> Result<()> {
    let argv = ["sh", "-e"].map(str::to_owned).into();
    run(machine, argv, text).map(drop)
}

/// Runs a script in the root.
pub fn script_inside(machine: &mut Machine, text: &str) -> Result<()> {
    let argv = argv(None, "/usr/bin/bash", &["-e"]);
    run(machine, argv, text).map(drop)
}
