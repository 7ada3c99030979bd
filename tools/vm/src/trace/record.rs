// SPDX-License-Identifier: GPL-2.0
//! One boot under the recorder: a workload with the module, then with each of its
//! defective variants.

use super::Args;
use crate::config::{VmConfig, RAM_MIB, SYNC_MIB};
use crate::image::Image;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{Cmd, DeviceKind};
use bytelog_guest::workload::{Kind, Spec};
use bytelog_trace::session::{self, Segment, Session};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

/// Bytes of the filesystem, and how it is made. The log is so short that it gets
/// full, and a commit in full follows.
const BYTES: u64 = 64 << 20;
const MKFS: &str = "-J size=4,fast_commit_size=128";
pub const MOUNT: &str = "dax=always,commit=600,dax_fc_bytelog=on";

/// Fsyncs of an older life, so that there is a log to take over.
const OLDER: u64 = 5;

/// Records everything in one boot with one CPU.
pub fn record(config: &VmConfig, kver: Option<&str>, seed: u64, args: &Args) -> Result<()> {
    let device = RAM_MIB << 20;
    let events = args.dir.join(session::EVENTS);
    let config = VmConfig {
        cpus: 1,
        plugin: Some(format!(
            "{},out={},start={device},bytes={}",
            args.plugin.display(),
            events.display(),
            SYNC_MIB << 20
        )),
        ..config.clone()
    };
    let start = Instant::now();
    let mut lab = Lab::new(&config, kver, seed);
    lab.with(Ext4::Patched)?;
    println!(
        "booted with the recorder, {:.1} s",
        start.elapsed().as_secs_f64()
    );
    let mut segments = Vec::new();
    let variants = args
        .variant
        .iter()
        .map(|name| (Some(name.clone()), args.variant_ops));
    for (variant, ops) in std::iter::once((None, args.ops)).chain(variants) {
        let spec = Spec::new(Kind::Mixed, seed, ops);
        let number = segments.len() as u64;
        let segment = one(&mut lab, &args.dir, number, variant, &spec)?;
        println!(
            "recorded {}: {ops} operations, {:.1} s",
            segment.variant.as_deref().unwrap_or("the module"),
            start.elapsed().as_secs_f64()
        );
        segments.push(segment);
        session::write(
            &args.dir,
            session::SESSION,
            &Session {
                device,
                segments: segments.clone(),
            },
        )?;
    }
    lab.power_off()
}

fn one(
    lab: &mut Lab,
    dir: &Path,
    number: u64,
    variant: Option<String>,
    spec: &Spec,
) -> Result<Segment> {
    let module = match &variant {
        None => "/bytelog/ext4_bytelog.ko".to_owned(),
        Some(name) => format!("/bytelog/variants/{name}.ko"),
    };
    lab.insmod(&module, "")?;
    let code = code(lab)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, MKFS, "64M")?;
    lab.mount(&dev, MOUNT)?;
    lab.work(
        &dev,
        &Spec::new(Kind::Create, lab.seed, OLDER).prefix("older"),
    )?;
    lab.must_run(&format!("rm -r {}/work", dev.dir()))?;
    lab.umount(&dev.dir())?;
    let base = format!("base-{number}.img");
    copy_sparse(dev.image(), &dir.join(&base), BYTES)?;
    let area = Image::open(&dev)?.fc_area(lab.journal(&dev)?)?;
    let journal = lab.journal(&dev)?.blocks.iter().copied();
    let journal = journal.filter(|block| !area.contains(block)).collect();
    traced(lab, &dev, number, spec)?;
    lab.umount(&dev.dir())?;
    lab.rmmod("ext4_bytelog")?;
    Ok(Segment {
        number,
        variant,
        base,
        bytes: BYTES,
        area,
        journal,
        code,
        workload: serde_json::to_value(spec)?,
    })
}

/// The part that is recorded.
fn traced(lab: &mut Lab, dev: &Dev, segment: u64, spec: &Spec) -> Result<()> {
    lab.call::<()>(Cmd::Trace {
        segment: Some(segment),
    })?;
    lab.mount(dev, MOUNT)?;
    let result = lab.work(dev, spec)?;
    lab.call::<()>(Cmd::Trace { segment: None })?;
    let fast = result.after.fast - result.before.fast;
    println!("{} fsyncs, {fast} fast commits", result.fsyncs);
    ensure!(fast > 0, "no fast commit was made");
    Ok(())
}

/// Where the code of the module is.
fn code(lab: &mut Lab) -> Result<(u64, u64)> {
    let modules: String = lab.call(Cmd::Read {
        path: "/proc/modules".into(),
    })?;
    let line = modules
        .lines()
        .find(|line| line.starts_with("ext4_bytelog "));
    let words: Vec<_> = line.context("no module")?.split_whitespace().collect();
    let [_, bytes, _, _, _, address, ..] = words[..] else {
        anyhow::bail!("/proc/modules: {words:?}");
    };
    let address = u64::from_str_radix(address.trim_start_matches("0x"), 16)?;
    Ok((address, bytes.parse()?))
}

/// Copies the first `len` bytes of a file, zeros as holes.
fn copy_sparse(from: &str, to: &Path, len: u64) -> Result<()> {
    let mut from = File::open(from).context(from.to_owned())?.take(len);
    let mut to = File::create(to).with_context(|| to.display().to_string())?;
    let mut block = vec![0; 1 << 16];
    loop {
        let got = from.read(&mut block)?;
        if got == 0 {
            break;
        }
        match block[..got].iter().all(|&byte| byte == 0) {
            true => to.seek(SeekFrom::Current(got as i64)).map(drop)?,
            false => to.write_all(&block[..got])?,
        }
    }
    Ok(to.set_len(len)?)
}
