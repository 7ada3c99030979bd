// SPDX-License-Identifier: GPL-2.0
//! Mounts of images that a power cut could have left.

use super::record::MOUNT;
use crate::config::VmConfig;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{anyhow, ensure, Context, Result};
use bytelog_guest::proto::DeviceKind;
use bytelog_guest::workload::Spec;
use bytelog_trace::session::{self, Image, Session};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Mounts each image of the list in `dir` with the module, compares it with what
/// had been acknowledged, and has e2fsck look at it. True if nothing was wrong.
pub fn mount_images(config: &VmConfig, kver: Option<&str>, dir: &Path) -> Result<bool> {
    let session: Session = session::read(dir, session::SESSION)?;
    let images: Vec<Image> = session::read(dir, session::IMAGES)?;
    let mut lab = Lab::new(config, kver, 0);
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    let (mut wrong, mut newer) = (0, 0);
    let mut cuts: BTreeMap<&str, u64> = BTreeMap::new();
    for image in &images {
        let segment = session.segments.iter().find(|s| s.number == image.segment);
        let workload = &segment.context("an image of no segment")?.workload;
        let spec: Spec = serde_json::from_value(workload.clone())?;
        *cuts.entry(&image.at).or_default() += 1;
        let outcome = one(&mut lab, &dev, dir, image, &spec);
        let outcome = match (outcome, image.loses) {
            (Ok(state), false) => {
                newer += u64::from(state > image.acknowledged);
                Ok(())
            }
            (Ok(_), true) => Err(anyhow!("nothing is lost, with a defective module")),
            (Err(err), false) => Err(err),
            (Err(err), true) => {
                println!("{}: as expected: {err:#.100}", image.file);
                lab.abandon();
                lab.with(Ext4::ByteLog)
            }
        };
        if let Err(err) = outcome {
            wrong += 1;
            let (file, at) = (&image.file, &image.at);
            println!(
                "FAILED: {file}, cut {at}, {} fsyncs: {err:#}",
                image.acknowledged
            );
            lab.abandon();
            lab.with(Ext4::ByteLog)?;
        }
    }
    lab.power_off()?;
    let cuts: Vec<_> = cuts.iter().map(|(at, n)| format!("{n} {at}")).collect();
    println!(
        "{} images mounted (cut {}): {wrong} wrong, {newer} with the fsync in flight",
        images.len(),
        cuts.join(", ")
    );
    Ok(wrong == 0 && !images.is_empty())
}

/// Returns how many operations of the workload the image has.
fn one(lab: &mut Lab, dev: &Dev, dir: &Path, image: &Image, spec: &Spec) -> Result<u64> {
    let path = dir.join(&image.file);
    let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    let device = File::options().write(true).open(dev.image());
    device.context(dev.image())?.write_all_at(&bytes, 0)?;
    lab.forget_cache(dev)?;
    lab.mount(dev, MOUNT)?;
    let verdict = lab.judge(dev, spec, image.acknowledged)?;
    ensure!(
        verdict.lost == 0,
        "{} fsyncs lost: {}",
        verdict.lost,
        verdict.diffs.join(", ")
    );
    lab.umount(&dev.dir())?;
    lab.fsck_clean(dev)?;
    lab.check_console()?;
    Ok(verdict.state.unwrap_or_default())
}
