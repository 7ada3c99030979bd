// SPDX-License-Identifier: GPL-2.0
//! Logs of version 1, as the RFC's kernel leaves them: replayed by a mount, and exported
//! for stock ext4. No such kernel is at hand; its log is made of what ours has logged.

mod common;
#[path = "../../../../../rust/bytelog/tests/suite/v1.rs"]
#[allow(dead_code)]
mod v1;

use super::durability::{crash, nothing_lost, ENDLESS};
use super::tool::{stock_replays, Case};
use super::Test;
use crate::fclog;
use crate::image::{Image, BLOCK};
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{ensure, Context, Result};
use bytelog_guest::workload::{Kind, Spec};
use v1::{write_v1, V1Record};

pub const TESTS: &[Test] = &[Test {
    name: "version-1-is-replayed-and-exported",
    run: replayed,
}];

/// Where the window of the log begins: not with the area's second block.
const TAIL: usize = BLOCK as usize + 640;

/// TLVs in a record of several.
const RUN: usize = 5;

/// Whether a TLV describes a directory: such a kernel logs none.
fn of_directory(tlv: &[u8]) -> bool {
    const INODE: u16 = 0x0006;
    const DIR: u16 = 0x000b;
    match *tlv {
        [t0, t1, _, _, _, _, _, _, m0, m1, ..] => {
            let (tag, mode) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([m0, m1]));
            tag == DIR || (tag == INODE && mode & 0o170_000 == 0o040_000)
        }
        _ => false,
    }
}

/// Writes the log on a device anew, as one of version 1.
fn rewrite(lab: &Lab, dev: &Dev) -> Result<()> {
    let image = Image::open(dev)?;
    let area = image.fc_area(lab.journal(dev)?)?;
    let log = fclog::read(&image, &area)?;
    let records = fclog::records(&log);
    let last = records.iter().rposition(|record| record.seal);
    let sealed = &records[..=last.context("nothing is sealed")?];
    let word = |at: usize| u32::from_le_bytes([log[at], log[at + 1], log[at + 2], log[at + 3]]);
    let tid = word(sealed[0].at + 8);
    let mut tlvs = Vec::new();
    for record in sealed {
        let len = word(record.at + 16) as usize;
        let mut payload = &log[record.at + 64..][..len];
        while let [_, _, low, high, ..] = payload {
            let len = 4 + usize::from(u16::from_le_bytes([*low, *high]));
            let (tlv, rest) = payload.split_at(len);
            if !of_directory(tlv) {
                tlvs.push(tlv.to_vec());
            }
            payload = rest;
        }
    }
    let (singles, runs) = tlvs.split_at(tlvs.len() / 2);
    let singles = singles.iter().cloned().map(V1Record::single);
    let runs = runs.chunks(RUN).map(V1Record::run);
    let records: Vec<_> = singles.chain(runs).collect();
    let mut bytes = vec![0; log.len()];
    write_v1(&mut bytes, tid, TAIL, &records);
    fclog::write(&image, &area, &bytes)
}

fn replayed(lab: &mut Lab) -> Result<()> {
    let opts = ",dax_fc_bytelog=on";
    let spec = Spec::new(Kind::Fast, lab.seed + 21, ENDLESS);
    let acks = crash(lab, Ext4::ByteLog, opts, &spec, 60)?;
    lab.with(Ext4::ByteLog)?;
    let devs = lab.pmem()?;
    for dev in &devs {
        rewrite(lab, dev)?;
        lab.forget_cache(dev)?;
        let told = lab.must_run(&format!("bytelog info {}", dev.path()))?;
        ensure!(told.contains("ByteLog, version 1"), "{told}");
    }
    let [virtio, sync] = devs;
    let log = lab.mount(&virtio, &format!("dax=always{opts}"))?;
    ensure!(
        log.iter().any(|line| line.contains("fast commit")),
        "no replay: {log:?}"
    );
    nothing_lost(lab, &virtio, &spec, acks[0].fsyncs)?;
    lab.umount(&virtio.dir())?;
    lab.fsck_clean(&virtio)?;
    lab.with(Ext4::Stock)?;
    stock_replays(lab, &Case::acknowledged(sync, spec, acks[1].fsyncs))
}
