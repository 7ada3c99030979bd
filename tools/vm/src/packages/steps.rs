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
        name: "a-kernel-without-modules-is-named",
        run: named,
    },
    Step {
        name: "a-crashed-filesystem-does-not-hinder-removal",
        run: crashed,
    },
    Step {
        name: "remove",
        run: remove,
    },
    Step {
        name: "a-log-from-a-crash-without-the-modules",
        run: rescued,
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
    // The initramfs has the backend, and the tool for a shell in it.
    let listed = machine.must(&format!("lsinitramfs /boot/initrd.img-{}", machine.kver))?;
    for file in ["updates/ext4_bytelog.ko", "sbin/bytelog"] {
        ensure!(listed.contains(file), "no {file} in the initramfs");
    }
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
    let used = info.lines().find(|line| line.contains("uses ByteLog"));
    ensure!(used.is_some_and(|line| line.ends_with("yes")), "{info}");
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

/// The hook that every kernel runs when it is installed, for one without modules, and the
/// removal of an old kernel's, while /etc/fstab has the option.
fn named(machine: &mut Machine) -> Result<()> {
    let hook = "/etc/kernel/postinst.d/ext4-bytelog";
    machine.must("mkdir -p /lib/modules/9.9/kernel /lib/modules/1.0/updates")?;
    let said = machine.must(&format!("{hook} 9.9 2>&1"))?;
    ensure!(said.is_empty(), "said where nothing uses ByteLog: {said}");
    machine.must(&format!(
        "echo '/dev/pmem9 /mnt ext4 {ON},nofail 0 2' >>/etc/fstab"
    ))?;
    let said = machine.must(&format!("{hook} 9.9 2>&1"))?;
    ensure!(
        said.contains("kernel 9.9 has no ext4 with ByteLog"),
        "not said: {said}"
    );
    let said = machine.must(&format!("{hook} {} 2>&1", machine.kver))?;
    ensure!(said.is_empty(), "said of a kernel with modules: {said}");
    // Those of another kernel may go, those of this one may not.
    let asked = machine.shell("/usr/share/bytelog/in-use 1.0")?;
    ensure!(asked.status == 1, "1.0 cannot go: {}", asked.output);
    let modules = modules(machine);
    let tried = machine.shell(&format!("dpkg -r {modules}"))?;
    ensure!(
        tried.status != 0 && tried.output.contains("/etc/fstab"),
        "removed: {}",
        tried.output
    );
    machine.must("sed -i '/pmem9/d' /etc/fstab; rm -r /lib/modules/9.9 /lib/modules/1.0")?;
    Ok(())
}

/// The workload on the device beside the root.
fn data_spec(machine: &Machine) -> Spec {
    Spec::new(Kind::Files, machine.lab.seed, 100_000)
}

/// A log that nobody has replayed. What is not mounted cannot be found by the packages.
fn crashed(machine: &mut Machine) -> Result<()> {
    let dev = machine.data()?;
    machine.lab.mkfs(&dev, "", "64M")?;
    machine.lab.mount(&dev, ON)?;
    let spec = data_spec(machine);
    let acks = machine.lab.cut_during(&[(dev, spec)], ACKS)?;
    machine.acked = acks.first().context("no workload")?.fsyncs;
    machine.boot("")
}

fn remove(machine: &mut Machine) -> Result<()> {
    let modules = modules(machine);
    machine.must(&format!("dpkg -r {modules}"))?;
    stock(machine)?;
    machine.shut_down()
}

/// Stock ext4 refuses what the crash has left; after an export it replays every fsync.
fn rescued(machine: &mut Machine) -> Result<()> {
    machine.boot("")?;
    ensure!(!machine.runs_ours()?, "ext4 is not the kernel's own");
    let dev = machine.data()?;
    let refused = machine.lab.try_mount(&dev, "")?;
    ensure!(refused.errno != 0, "stock ext4 mounted a ByteLog");
    let path = dev.path();
    machine.must(&format!("bytelog verify {path} && bytelog export {path}"))?;
    machine.lab.mount(&dev, "")?;
    let (spec, acked) = (data_spec(machine), machine.acked);
    let verdict = machine.lab.judge(&dev, &spec, acked)?;
    ensure!(verdict.lost == 0, "{verdict:?}");
    machine.lab.umount(&dev.dir())?;
    machine.must("dpkg --purge bytelog")?;
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
