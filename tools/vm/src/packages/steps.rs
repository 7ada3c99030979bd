// SPDX-License-Identifier: GPL-2.0
//! A life of the packages, in order.

use super::machine::Machine;
use super::Step;
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::MountArgs;
use bytelog_guest::workload::{Kind, Spec};

pub const STEPS: &[Step] = &[
    Step {
        name: "dkms-names-what-is-missing",
        run: dkms,
    },
    Step {
        name: "install",
        run: install,
    },
    Step {
        name: "boot-after-install",
        run: boot_installed,
    },
    Step {
        name: "upgrade",
        run: upgrade,
    },
    Step {
        name: "boot-after-upgrade-with-bytelog-on-the-root",
        run: boot_upgraded,
    },
    Step {
        name: "removal-is-refused-while-in-use",
        run: refused,
    },
    Step {
        name: "cut-and-replay-of-the-root",
        run: replay,
    },
    Step {
        name: "remove",
        run: remove,
    },
    Step {
        name: "boot-after-removal",
        run: boot_removed,
    },
];

const ON: &str = "dax_fc_bytelog=on";
const DKMS: &str = "ext4-bytelog-dkms";
/// Fsyncs on the root before the cut.
const ACKS: u64 = 60;

fn modules(machine: &Machine) -> String {
    format!("ext4-bytelog-modules-{}", machine.kver)
}

fn stock(machine: &mut Machine) -> Result<()> {
    let file = machine.module("ext4")?.context("no ext4")?;
    ensure!(file.contains("/kernel/fs/ext4/"), "ext4 would be {file}");
    let backend = machine.module("ext4_bytelog")?;
    ensure!(backend.is_none(), "ext4_bytelog is {backend:?}");
    Ok(())
}

fn ours(machine: &mut Machine) -> Result<()> {
    for name in ["ext4", "ext4_bytelog"] {
        let file = machine.module(name)?.context(name)?;
        ensure!(file.contains("/updates/"), "{name} would be {file}");
    }
    Ok(())
}

/// Nothing to compile with: said, and nothing done.
fn dkms(machine: &mut Machine) -> Result<()> {
    machine.boot("")?;
    ensure!(!machine.runs_ours()?, "ext4 is not the kernel's own");
    let said = machine.install("old", &["bytelog", DKMS])?;
    for missing in ["rustc", "bindgen", "linux-headers-", "linux-source-"] {
        ensure!(said.contains(missing), "{missing} is not named: {said}");
    }
    stock(machine)?;
    machine.must(&format!("dpkg --purge {DKMS}"))?;
    Ok(())
}

fn install(machine: &mut Machine) -> Result<()> {
    let modules = modules(machine);
    machine.install("old", &[&modules])?;
    ours(machine)?;
    // What is mounted stays with the ext4 that it was mounted with.
    ensure!(!machine.runs_ours()?, "ext4 was replaced while in use");
    machine.shut_down()
}

fn boot_installed(machine: &mut Machine) -> Result<()> {
    machine.boot("")?;
    ensure!(machine.runs_ours()?, "ext4 is the kernel's own");
    let dev = machine.data()?;
    machine.lab.mkfs(&dev, "", "64M")?;
    // The backend is loaded by this.
    machine.lab.mount(&dev, ON)?;
    let before = machine.lab.stats(&dev)?;
    let spec = Spec::new(Kind::Files, machine.lab.seed, 20);
    machine.lab.work(&dev, &spec)?;
    let after = machine.lab.stats(&dev)?;
    ensure!(after.fast > before.fast, "no fast commits: {after:?}");
    let info = machine.must(&format!("bytelog info {}", dev.path()))?;
    ensure!(info.contains("ByteLog, version 2"), "no log: {info}");
    machine.lab.umount(&dev.dir())
}

fn upgrade(machine: &mut Machine) -> Result<()> {
    let modules = modules(machine);
    let old = machine.version(&modules)?.context("not installed")?;
    machine.install("new", &["bytelog", &modules])?;
    let new = machine.version(&modules)?.context("not installed")?;
    ensure!(old != new, "still {new}");
    ours(machine)?;
    machine.shut_down()
}

fn boot_upgraded(machine: &mut Machine) -> Result<()> {
    machine.boot(ON)?;
    ensure!(machine.runs_ours()?, "ext4 is the kernel's own");
    let shown = machine.lab.shown_options("/")?;
    ensure!(shown.contains(ON), "the root is mounted with {shown}");
    Ok(())
}

fn refused(machine: &mut Machine) -> Result<()> {
    let modules = modules(machine);
    let tried = machine.shell(&format!("dpkg -r {modules}"))?;
    ensure!(tried.status != 0, "removed: {}", tried.output);
    ensure!(
        tried.output.contains("/proc/mounts"),
        "refused, but not for the mount: {}",
        tried.output
    );
    ours(machine)
}

/// The root's log is replayed from the initramfs, by the modules in it.
fn replay(machine: &mut Machine) -> Result<()> {
    let root = machine.root()?;
    let spec = Spec::new(Kind::Files, machine.lab.seed, 100_000);
    let acks = machine
        .lab
        .cut_during(&[(root.clone(), spec.clone())], ACKS)?;
    let acked = acks.first().context("no workload")?;
    ensure!(
        acked.fast_of_one() > 0,
        "nothing in the log at the cut: {acked:?}"
    );
    machine.boot("")?;
    let verdict = machine.lab.judge(&root, &spec, acked.fsyncs)?;
    ensure!(verdict.lost == 0, "{verdict:?}");
    let shown = machine.lab.shown_options("/")?;
    ensure!(!shown.contains(ON), "still in use: {shown}");
    Ok(())
}

fn remove(machine: &mut Machine) -> Result<()> {
    let modules = modules(machine);
    machine.must(&format!("dpkg -r {modules}"))?;
    machine.must("dpkg --purge bytelog")?;
    stock(machine)?;
    machine.shut_down()
}

fn boot_removed(machine: &mut Machine) -> Result<()> {
    machine.boot("")?;
    ensure!(!machine.runs_ours()?, "ext4 is not the kernel's own");
    // The device that had a log, unmounted cleanly, is open to it.
    let dev = machine.data()?;
    let mut args = MountArgs {
        dev: dev.path(),
        dir: dev.dir(),
        opts: ON.into(),
        ..MountArgs::default()
    };
    let with = machine.lab.try_mount_args(args.clone())?;
    ensure!(with.errno != 0, "stock ext4 took {ON}");
    args.opts = String::new();
    let without = machine.lab.try_mount_args(args)?;
    ensure!(without.errno == 0, "{}: {:?}", without.error, without.log);
    machine.shut_down()
}
