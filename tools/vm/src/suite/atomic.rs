// SPDX-License-Identifier: GPL-2.0
//! Replay is all or nothing: a power cut in it leaves the log and the filesystem that it
//! belongs to, or a whole transaction of the journal, which makes the log stale.

use super::again::{self, compare, MIB};
use super::Test;
use crate::config::{self, VmConfig};
use crate::cuts::replayed;
use crate::fclog;
use crate::host::Tear;
use crate::image::{Image, BLOCK};
use crate::lab::fs::accepted;
use crate::lab::{Dev, Ext4, Lab};
use crate::messages;
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{DeviceKind, MountArgs, MountResult};
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
/// Inodes of such a filesystem.
const INODES: u32 = 200;
/// They are committed so often in full before, with which the journal's end comes near.
const ROUNDS: u32 = 3;
/// Inodes of one fast commit.
const FEW: u32 = 40;

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

/// What is mounted, and how.
#[derive(Clone, Copy)]
struct Place<'a> {
    dev: &'a Dev,
    read_only: bool,
}

impl Place<'_> {
    fn args(self, opts: &str) -> MountArgs {
        MountArgs {
            dev: self.dev.path(),
            dir: self.dev.dir(),
            opts: opts.into(),
            read_only: self.read_only,
            ..MountArgs::default()
        }
    }

    fn mount(self, lab: &mut Lab, opts: &str) -> Result<Vec<String>> {
        accepted(lab.try_mount_args(self.args(opts))?)
    }
}

/// Mounts, which replays, and notes at each flush what a cut would leave, all different.
fn pictures(lab: &mut Lab, at: Place<'_>, base: &[u8]) -> Result<(Vec<Delta>, Vec<String>)> {
    let seed = lab.seed;
    let mut found: Vec<Delta> = Vec::new();
    let host = lab.vm()?.host()?;
    host.hold_next()?;
    let request = lab.start_mount_args(at.args(OPTS))?;
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
    /// Of these, with a journal whose superblock has been written: it begins behind the
    /// earlier transactions.
    moved: u32,
    /// The transaction, and nothing of it in its place.
    committed: u32,
    /// The transaction, and some of it in its place.
    in_place: u32,
}

/// Cuts in one replay, and what the next mount makes of them.
fn cuts(lab: &mut Lab, place: Place<'_>, expected: &Tree) -> Result<Tally> {
    let dev = place.dev;
    let journal: HashSet<u64> = lab.journal(dev)?.blocks.iter().copied().collect();
    let base = read(dev)?;
    let at = |block: &u64| (block * BLOCK) as usize;
    let logged = journal.iter().map(|b| &base[at(b)..at(b) + BLOCK as usize]);
    let logged: HashSet<&[u8]> = logged.collect();
    let (mut found, log) = pictures(lab, place, &base)?;
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
        let log = place.mount(lab, OPTS).with_context(what)?;
        let replays = replayed(&log) > 0;
        compare(lab, dev, expected).with_context(what)?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev).with_context(what)?;
        ensure!(
            !replays || outside.is_empty(),
            "{}: a part of replay is in its place, and replayed again",
            what()
        );
        let superblock = lab.journal(dev)?.blocks.first();
        let moved = superblock.is_some_and(|block| delta.contains_key(block));
        tally.moved += u32::from(replays && moved);
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
    stock(lab, place, &base, &committed, expected)?;
    println!("   {tally:?}");
    Ok(tally)
}

/// Zeroes the first block of the fast-commit area.
fn wipe_opener(lab: &mut Lab, dev: &Dev) -> Result<()> {
    let image = Image::open(dev)?;
    let area = image.fc_area(lab.journal(dev)?)?;
    let mut log = fclog::read(&image, &area)?;
    log[..BLOCK as usize].fill(0);
    fclog::write(&image, &area, &log)?;
    lab.forget_cache(dev)
}

/// The distribution's ext4, which knows nothing of ByteLog, finds the transaction. (e2fsck
/// recovers nothing from a journal with fast commits that are stale, whoever has made them. The
/// distribution's ext4 looks at the features of stale ones, too: they are wiped.)
fn stock(
    lab: &mut Lab,
    place: Place<'_>,
    base: &[u8],
    committed: &[Delta],
    expected: &Tree,
) -> Result<()> {
    let dev = place.dev;
    lab.with(Ext4::Stock)?;
    for (nth, delta) in committed.iter().take(4).enumerate() {
        develop(lab, dev, base, delta)?;
        wipe_opener(lab, dev)?;
        place.mount(lab, "dax=always")?;
        compare(lab, dev, expected).with_context(|| format!("stock, picture {nth}"))?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev)?;
    }
    lab.with(Ext4::ByteLog)
}

/// A filesystem with `earlier` inodes in a transaction and `changed` ones in the log behind
/// it, and no room in the journal but that and what follows.
fn crowded(lab: &mut Lab, dev: &Dev, earlier: u32, changed: u32) -> Result<Tree> {
    lab.mkfs(dev, SMALL, &format!("{MIB}M"))?;
    let dir = format!("{}/d", dev.dir());
    // Of the inodes from `first` to `last` each becomes longer.
    let append = |lab: &mut Lab, first: u32, last: u32, sync: &str| {
        let each = format!("for i in $(seq {first} {last}); do echo $i >> $i; done");
        lab.must_run_with("sh -e", &format!("cd {dir}; {each}; {sync}"))
    };
    lab.mount(dev, OPTS)?;
    lab.must_run(&format!("mkdir {dir}"))?;
    append(lab, 1, INODES, "sync")?;
    lab.umount(&dev.dir())?;
    lab.mount(dev, OPTS)?;
    // The first commit of a mount is a full one.
    for _ in 0..ROUNDS {
        append(lab, 1, INODES, "sync")?;
        lab.umount(&dev.dir())?;
        lab.mount(dev, OPTS)?;
    }
    append(lab, 1, earlier, "sync")?;
    let full = lab.stats(dev)?.full;
    for first in (1..=changed).step_by(FEW as usize) {
        append(
            lab,
            first,
            (first + FEW - 1).min(changed),
            &format!("sync {first}"),
        )?;
    }
    let stats = lab.stats(dev)?;
    ensure!(stats.full == full, "a full commit in between: {stats:?}");
    let tree = lab.tree(&dir)?;
    lab.cut()?;
    lab.with(Ext4::ByteLog)?;
    Image::open(dev)?.shorten_journal(lab.journal(dev)?)?;
    lab.forget_cache(dev)?;
    lab.vm()?.host()?.all_durable(config::VIRTIO_IMAGE)?;
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
    let dev = &lab.dev(DeviceKind::Virtio)?;
    let expected = again::prepare(lab, dev, OPTS)?;
    let place = Place {
        dev,
        read_only: false,
    };
    let tally = cuts(lab, place, &expected).context("room in the journal")?;
    ensure!(
        tally.log > 0 && tally.partial > 0 && tally.committed > 0 && tally.in_place > 0,
        "not all kinds of cuts: {tally:?}"
    );
    ensure!(tally.moved == 0, "the journal had room: {tally:?}");

    // Such a journal is too short for anything else.
    let place = Place {
        dev,
        read_only: true,
    };
    let expected = crowded(lab, dev, 100, 100)?;
    let tally = cuts(lab, place, &expected).context("room without the transaction before")?;
    ensure!(
        tally.moved > 0 && tally.in_place > 0,
        "not all kinds of cuts: {tally:?}"
    );

    let expected = crowded(lab, dev, 20, INODES)?;
    let log = place.mount(lab, OPTS)?;
    ensure!(messages::any(&log, messages::IN_PLACE), "{log:?}");
    compare(lab, dev, &expected)?;
    lab.umount(&dev.dir())?;
    lab.fsck_clean(dev)?;
    lab.reconfigure(before)
}
