// SPDX-License-Identifier: GPL-2.0
//! An interactive machine: modules loaded, filesystem mounted, a shell on the
//! console.

use super::{devices, exec, modules, mounts};
use anyhow::{bail, Context, Result};
use bytelog_guest::proto::{DeviceKind, MountArgs, SHELL_RC};
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const DIR: &str = "/mnt";

/// `option` is the value for dax_fc_bytelog.
pub fn run(option: &str) -> Result<()> {
    if let Err(err) = set_up(option) {
        println!("bytelog-guest: {err:#}");
    }
    let console = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/ttyS0")
        .context("/dev/ttyS0")?;
    println!("A shell in the test machine. `exit` or Ctrl-D switches it off.");
    let status = Command::new("/bin/busybox")
        .args(["setsid", "-c", "/bin/busybox", "sh"])
        .arg0("busybox")
        .current_dir("/")
        .env("HOME", "/")
        .env("PS1", "vm# ")
        .env("ENV", SHELL_RC)
        .stdin(console.try_clone()?)
        .stdout(console.try_clone()?)
        .stderr(console)
        .status()
        .context("busybox sh")?;
    println!("shell: {status}");
    let _ = mounts::unmount(DIR);
    Ok(())
}

fn set_up(option: &str) -> Result<()> {
    modules::load("ext4", true)?;
    modules::insert(Path::new("/bytelog/ext4.ko"), "")?;
    modules::insert(Path::new("/bytelog/ext4_bytelog.ko"), "")?;
    let devices = devices::hello()?.devices;
    let Some(dev) = devices.iter().find(|d| d.kind == DeviceKind::Sync) else {
        bail!("no synchronous pmem device");
    };
    let path = format!("/dev/{}", dev.name);
    let args = MountArgs {
        dev: path.clone(),
        dir: DIR.into(),
        opts: format!("dax=always,dax_fc_bytelog={option}"),
        ..MountArgs::default()
    };
    // A filesystem that an earlier shell left is kept.
    let mut mounted = mounts::mount_ext4(&args)?;
    if mounted.errno != 0 {
        let mkfs = [
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-O",
            "fast_commit",
            &path,
        ];
        let made = exec::run(&mkfs.map(String::from), "")?;
        if made.status != 0 {
            bail!("mke2fs: {}", made.output);
        }
        mounted = mounts::mount_ext4(&args)?;
    }
    for line in &mounted.log {
        println!("{line}");
    }
    if mounted.errno != 0 {
        bail!("mount {path}: {}", mounted.error);
    }
    println!("{path} is mounted at {DIR}");
    Ok(())
}
