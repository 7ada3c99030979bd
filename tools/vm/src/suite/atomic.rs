// SPDX-License-Identifier: GPL-2.0
//! Replay is all or nothing: a power cut in it leaves the log and the filesystem that it
//! belongs to, or a whole transaction of the journal, which makes the log stale.

use super::again::{self, compare, MIB};
use super::Test;
use crate::config::{self, VmConfig};
use crate::cuts::replayed;
use crate::host::Tear;
use crate::image::{Image, BLOCK};
use crate::lab::fs::accepted;
use crate::lab::{Dev, Ext4, Lab};
use crate::messages;
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{DeviceKind, MountResult};
use bytelog_guest::tree::Tree;
use std::collections::{BTreeMap, HashSet};
use std::thread::sleep;
use std::time::Duration;

pub const TESTS: &[Test] = &[Test {
    name: "replay-is-all-or-nothing",
    run: all_or_nothing,
}];

/// Without the feature bit, so that others read the filesystem, too.
const OPTS: &str = "dax=always,commit=600,dax_fc_bytelog=force";
/// What a cut leaves at each flush: nothing that was not flushed, and what seeds say.
const SEEDS: u64 = 6;
/// At most so many of these are mounted.
const PICTURES: usize = 24;
/// For a mount.
const MOUNT: Duration = Duration::from_secs(240);

/// Every inode has a block of its own, and the journal is as small as it may be: 1024
/// blocks beside the log.
const SMALL: &str = "-I 4096 -N 2048 -J size=4,fast_commit_size=4096";
/// Transactions that are still in the journal when replay begins.
const EARLIER: u32 = 60;
/// Inodes that replay changes: too many for what is left of the journal, and for all of it.
const MANY: u32 = 700;
const TOO_MANY: u32 = 1100;

/// Blocks that differ from the filesystem before replay.
type Delta = BTreeMap<u64, Vec<u8>>;

fn delta(base: &[u8], now: &[u8]) -> Delta {
    let blocks = base.chunks(BLOCK as usize).zip(now.chunks(BLOCK as usize));
    (0..)
        .zip(blocks)
        .filter(|(_, (old, new))| old != new)
        .map(|(block, (_, new))| (block, new.to_vec()))
        .collect()
}

fn read(dev: &Dev) -> Result<Vec<u8>> {
    Image::open(dev)?.read(0, (MIB << 20) as usize)
}

/// Mounts, which replays, and notes at each flush what a cut would leave, all different.
fn pictures(lab: &mut Lab, dev: &Dev, base: &[u8]) -> Result<(Vec<Delta>, Vec<String>)> {
    let seed = lab.seed;
    let mut found: Vec<Delta> = Vec::new();
    let host = lab.vm()?.host()?;
    host.hold_next()?;
    let request = lab.start_mount(dev, OPTS)?;
    while !lab.vm()?.answered(request)? {
        if !host.is_holding()? {
            sleep(Duration::from_millis(1));
            continue;
        }
        let torn = (0..SEEDS).map(|n| Tear {
            seed: seed + n,
            ..Tear::default()
        });
        for tear in std::iter::once(Tear::of_nothing()).chain(torn) {
            let survivor = host.survivor(config::VIRTIO_IMAGE, &tear)?;
            let delta = delta(base, &survivor.bytes[..base.len()]);
            if !found.contains(&delta) {
                found.push(delta);
            }
        }
        host.step()?;
    }
    host.release()?;
    let result: MountResult = lab.vm()?.finish(request, "mount", MOUNT)?;
    Ok((found, accepted(result)?))
}

/// Puts on the device what a cut has left.
fn develop(lab: &mut Lab, dev: &Dev, base: &[u8], delta: &Delta) -> Result<()> {
    let mut bytes = base.to_vec();
    for (block, content) in delta {
        let at = (block * BLOCK) as usize;
        bytes[at..at + BLOCK as usize].copy_from_slice(content);
    }
    lab.forget_cache(dev)?;
    Image::open(dev)?.write(0, &bytes)?;
    lab.forget_cache(dev)?;
    lab.vm()?.host()?.all_durable(config::VIRTIO_IMAGE)
}

/// What the pictures were of.
#[derive(Debug, Default)]
struct Tally {
    /// The log, and nothing else.
    log: u32,
    /// The log and a part of the transaction.
    partial: u32,
    /// The transaction, and nothing of it in its place.
    committed: u32,
    /// The transaction, and some of it in its place.
    in_place: u32,
}

/// Cuts in one replay, and what the next mount makes of them.
fn cuts(lab: &mut Lab, dev: &Dev, expected: &Tree) -> Result<Tally> {
    let journal: HashSet<u64> = lab.journal(dev)?.blocks.iter().copied().collect();
    let base = read(dev)?;
    let at = |block: &u64| (block * BLOCK) as usize;
    let logged = journal.iter().map(|b| &base[at(b)..at(b) + BLOCK as usize]);
    let logged: HashSet<&[u8]> = logged.collect();
    let (mut found, log) = pictures(lab, dev, &base)?;
    ensure!(replayed(&log) > 0, "nothing replayed");
    ensure!(!messages::any(&log, messages::IN_PLACE), "{log:?}");
    compare(lab, dev, expected)?;
    lab.umount(&dev.dir())?;
    println!("   {} different pictures of a replay", found.len());

    let mut tally = Tally::default();
    let mut committed = Vec::new();
    // As many of the beginning as of the end.
    let step = found.len().div_ceil(PICTURES).max(1);
    for (nth, delta) in found.drain(..).step_by(step).enumerate() {
        // What transactions before the log are recovered to is in its place, too.
        let outside: Vec<_> = delta
            .iter()
            .filter(|(block, bytes)| !journal.contains(block) && !logged.contains(&bytes[..]))
            .map(|(block, _)| block)
            .collect();
        let what = || format!("picture {nth}, {} blocks, outside {outside:?}", delta.len());
        develop(lab, dev, &base, &delta)?;
        let log = lab.mount(dev, OPTS).with_context(what)?;
        let replays = replayed(&log) > 0;
        compare(lab, dev, expected).with_context(what)?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev).with_context(what)?;
        ensure!(
            !replays || outside.is_empty(),
            "{}: a part of replay is in its place, and replayed again",
            what()
        );
        match (replays, outside.is_empty()) {
            (true, _) if delta.is_empty() => tally.log += 1,
            (true, _) => tally.partial += 1,
            (false, true) => tally.committed += 1,
            (false, false) => tally.in_place += 1,
        }
        if !replays {
            committed.push(delta);
        }
    }
    stock(lab, dev, &base, &committed, expected)?;
    println!("   {tally:?}");
    Ok(tally)
}

/// Who knows nothing of ByteLog finds the transaction: e2fsck and the distribution's ext4.
fn stock(
    lab: &mut Lab,
    dev: &Dev,
    base: &[u8],
    committed: &[Delta],
    expected: &Tree,
) -> Result<()> {
    lab.with(Ext4::Stock)?;
    for (nth, delta) in committed.iter().take(4).enumerate() {
        develop(lab, dev, base, delta)?;
        if nth % 2 == 0 {
            let fsck = lab.run(&format!("e2fsck -fp {}", dev.path()))?;
            ensure!(fsck.status <= 1, "e2fsck -fp: {fsck:?}");
        }
        lab.mount(dev, "dax=always")?;
        compare(lab, dev, expected).with_context(|| format!("stock, picture {nth}"))?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev)?;
    }
    lab.with(Ext4::ByteLog)
}

/// A filesystem whose journal has transactions and whose log changes so many inodes.
fn many(lab: &mut Lab, dev: &Dev, inodes: u32) -> Result<Tree> {
    lab.mkfs(dev, SMALL, &format!("{MIB}M"))?;
    lab.mount(dev, OPTS)?;
    let names = format!("cd {}/d; for i in $(seq {inodes})", dev.dir());
    lab.must_run(&format!("mkdir {}/d", dev.dir()))?;
    lab.must_run_with("sh -e", &format!("{names}; do > $i; done"))?;
    lab.umount(&dev.dir())?;
    lab.mount(dev, OPTS)?;
    let earlier = format!("for i in $(seq {EARLIER}); do > e$i; sync; done");
    lab.must_run_with("sh -e", &format!("cd {}; {earlier}", dev.dir()))?;
    let full = lab.stats(dev)?.full;
    let change = "chmod 600 $i; if [ $((i % 50)) = 0 ]; then sync $i; fi";
    lab.must_run_with("sh -e", &format!("{names}; do {change}; done"))?;
    let stats = lab.stats(dev)?;
    ensure!(stats.full == full, "a full commit in between: {stats:?}");
    let tree = lab.tree(&format!("{}/d", dev.dir()))?;
    lab.cut()?;
    lab.with(Ext4::ByteLog)?;
    Ok(tree)
}

fn all_or_nothing(lab: &mut Lab) -> Result<()> {
    let before = lab.config.clone();
    lab.reconfigure(VmConfig {
        virtio_mib: MIB,
        watch_flushes: true,
        ..before.clone()
    })?;
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Virtio)?;
    let expected = again::prepare(lab, &dev, OPTS)?;
    let tally = cuts(lab, &dev, &expected).context("room in the journal")?;
    ensure!(
        tally.log > 0 && tally.partial > 0 && tally.committed > 0 && tally.in_place > 0,
        "not all kinds of cuts: {tally:?}"
    );

    let expected = many(lab, &dev, MANY)?;
    let tally = cuts(lab, &dev, &expected).context("no room before the journal is emptied")?;
    ensure!(
        tally.partial > 0 && tally.in_place > 0,
        "not all kinds of cuts: {tally:?}"
    );

    let expected = many(lab, &dev, TOO_MANY)?;
    let log = lab.mount(&dev, OPTS)?;
    ensure!(messages::any(&log, messages::IN_PLACE), "{log:?}");
    compare(lab, &dev, &expected)?;
    lab.umount(&dev.dir())?;
    lab.fsck_clean(&dev)?;
    lab.reconfigure(before)
}
