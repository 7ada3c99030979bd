// SPDX-License-Identifier: GPL-2.0
//! Small filesystems with a short log, cut, and what concerns the log of each kept: the
//! images that the tests of the `bytelog` command compare its output on.

use crate::config::{VmConfig, DISK_IMAGE, SYNC_IMAGE, VIRTIO_IMAGE};
use crate::lab::{Ext4, Lab};
use crate::suite::fragmented;
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::DeviceKind;
use bytelog_guest::workload::{Kind, Spec};
use std::path::Path;
use std::process::Command;

/// Fsyncs in each log, about.
const FSYNCS: u64 = 12;

const OPTIONS: &str = "commit=600,dax_fc_bytelog=on";

/// Records the images in directory `out`.
pub fn record(config: &VmConfig, kver: Option<&str>, seed: u64, out: &Path) -> Result<()> {
    let mut lab = Lab::new(config, kver, seed);
    let mixed = Spec::new(Kind::Files, seed, FSYNCS);

    lab.with(Ext4::ByteLog)?;
    let [virtio, sync] = lab.pmem()?;
    let disk = lab.dev(DeviceKind::Disk)?;
    lab.mkfs(&sync, "-J size=4,fast_commit_size=64", "32M")?;
    lab.mkfs_external(&disk, &virtio, "32M")?;
    lab.mount(&sync, OPTIONS)?;
    lab.mount(&disk, &format!("{OPTIONS},journal_path={}", virtio.path()))?;
    for dev in [&sync, &disk] {
        lab.must_run("sync")?;
        lab.work(dev, &mixed)?;
    }
    lab.cut()?;
    capture(out, "contiguous", &[SYNC_IMAGE])?;
    capture(out, "external", &[DISK_IMAGE, VIRTIO_IMAGE])?;

    lab.with(Ext4::ByteLog)?;
    let sync = lab.dev(DeviceKind::Sync)?;
    fragmented::make(&mut lab, &sync)?;
    lab.mount(&sync, OPTIONS)?;
    lab.must_run("sync")?;
    lab.work(&sync, &mixed)?;
    lab.cut()?;
    capture(out, "fragmented", &[SYNC_IMAGE])
}

/// Has the `bytelog` command beside this one keep what concerns the log.
fn capture(out: &Path, name: &str, images: &[&str]) -> Result<()> {
    let mut files = vec![out.join(name)];
    let mut command = Command::new(std::env::current_exe()?.with_file_name("bytelog"));
    command.arg("capture").arg(images[0]).arg(&files[0]);
    if let Some(journal) = images.get(1) {
        files.push(out.join(format!("{name}-journal")));
        command.args(["--journal", journal, "--journal-to"]);
        command.arg(&files[1]);
    }
    run(&mut command)?;
    for file in files {
        // The name says that it is no source.
        let packed = out.join(file.with_extension("zst.bin"));
        run(Command::new("zstd")
            .args(["-q", "-19", "-f", "--rm", "-o"])
            .args([&packed, &file]))?;
        println!("{}", packed.display());
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
