// SPDX-License-Identifier: GPL-2.0
//! A log that changes while a mount reads it. What the module has checked it does not
//! read again: the mount is refused, or has replayed the first fast commits, whole.
//! e2fsck is content then, too: once the mount has replayed, the area does not count.

use super::victim::{refused, Victim};
use crate::cuts;
use crate::fclog;
use crate::image::Image;
use crate::lab::Lab;
use anyhow::{anyhow, ensure, Context, Result};
use bytelog_guest::proto::{DeviceKind, MountResult};
use bytelog_guest::workload::{Kind, Spec};
use bytelog_hostile::log::Log;
use fastrand::Rng;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{scope, sleep};
use std::time::Duration;

const MOUNTS: usize = 20;
/// A log that takes a while to read.
const STEPS: u64 = 150;
/// Mounts that may be over before the writer has had the processor.
const IDLE: usize = 2;
/// The longest that the area stays as it is, in microseconds, one for each mount: some
/// change many times in one reading, some at most once.
const PACES: [u64; 5] = [0, 50, 200, 1_000, 3_000];
/// Bytes that change at once, where not all do.
const LINE: usize = 64;

/// What the area is changed to, and back from.
fn other(victim: &Victim, log: &Log, round: usize, rng: &mut Rng) -> (&'static str, Vec<u8>) {
    let commits = log.commits();
    let until = rng.u32(1..commits);
    let mut old = log.clone();
    match round % 4 {
        0 => {
            old.records.retain(|rec| rec.commit <= until);
            ("an earlier end", old.write(victim.log.len()))
        }
        1 => {
            old.opener.nonce ^= rng.u32(1..);
            old.records.retain(|rec| rec.commit <= until);
            let nonce = old.opener.nonce;
            old.records.iter_mut().for_each(|rec| rec.nonce = nonce);
            ("an earlier life", old.write(victim.log.len()))
        }
        2 => {
            old.opener.tid = old.opener.tid.wrapping_sub(1);
            let tid = old.opener.tid;
            old.records.iter_mut().for_each(|rec| rec.tid = tid);
            ("another transaction", old.write(victim.log.len()))
        }
        _ => {
            let mut bytes = victim.log.clone();
            for record in &victim.records {
                if rng.u8(..3) == 0 {
                    bytes[rng.usize(record.at..record.end())] ^= 1 << rng.u32(0..8);
                }
            }
            ("damage", bytes)
        }
    }
}

/// Writes `other` over parts of the log, or all of it, and what was there back again,
/// until it is told to stop.
fn rewrite(
    victim: &Victim,
    other: &[u8],
    pace: u64,
    rng: &mut Rng,
    over: &AtomicBool,
    writes: &AtomicU64,
) -> Result<()> {
    let image = Image::open(&victim.dev)?;
    let used = victim.records.last().context("no records")?.end();
    while !over.load(SeqCst) {
        let mut part = 0..used;
        if rng.bool() {
            part.start = rng.usize(..used / LINE) * LINE;
            part.end = used.min(part.start + LINE * rng.usize(1..=64));
        }
        let [now, then] = [other, &victim.log].map(|bytes| &bytes[part.clone()]);
        if now == then {
            continue;
        }
        for bytes in [now, then] {
            fclog::write_at(&image, &victim.area, part.start, bytes)?;
            writes.fetch_add(1, SeqCst);
            sleep(Duration::from_micros(rng.u64(..=pace)));
        }
    }
    Ok(())
}

/// Mounts while somebody writes; returns how often that was between the request and
/// its answer.
fn mount(
    lab: &mut Lab,
    victim: &Victim,
    other: &[u8],
    pace: u64,
    rng: &mut Rng,
) -> Result<(MountResult, u64)> {
    victim.put(lab, &victim.log)?;
    let (over, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    scope(|scope| {
        let writer = scope.spawn(|| rewrite(victim, other, pace, rng, &over, &writes));
        while writes.load(SeqCst) == 0 && !writer.is_finished() {
            sleep(Duration::from_micros(100));
        }
        let before = writes.load(SeqCst);
        let result = victim.try_mount(lab);
        let during = writes.load(SeqCst) - before;
        over.store(true, SeqCst);
        writer.join().map_err(|_| anyhow!("the writer"))??;
        Ok((result?, during))
    })
}

pub fn changing(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    let spec = Spec::new(Kind::Fast, lab.seed + 8, STEPS);
    let dev = lab.dev(DeviceKind::Sync)?;
    let mut victim = Victim::as_after_a_cut(lab, dev, &spec)?;
    let log = Log::parse(&victim.log, victim.image.uuid()?).context("no log after the workload")?;
    let whole = u64::from(log.commits());
    ensure!(whole >= STEPS / 2, "{whole} fast commits");

    // What comes of the log when nobody touches it, and without one.
    let none = vec![0; victim.log.len()];
    for (bytes, commits) in [(victim.log.clone(), whole), (none, 0)] {
        let result = victim.mount(lab, &bytes)?;
        ensure!(result.errno == 0, "{}: {:?}", result.error, result.log);
        victim.replayed(lab, commits, false, &result.log)?;
    }
    victim.states_differ()?;

    let mut rng = Rng::with_seed(lab.seed);
    let (mut all, mut fewer, mut damaged) = (0, 0, 0);
    let (mut changes, mut idle) = (0, 0);
    for round in 0..MOUNTS {
        let (what, bytes) = other(&victim, &log, round, &mut rng);
        let pace = PACES[round % PACES.len()];
        let what = format!("round {round}, {what}, up to {pace} us");
        let (result, during) =
            mount(lab, &victim, &bytes, pace, &mut rng).with_context(|| what.clone())?;
        changes += during;
        idle += usize::from(during == 0);
        let commits = cuts::replayed(&result.log);
        ensure!(commits <= whole, "{what}: {commits} of {whole} replayed");
        let outcome = match result.errno {
            0 => victim.replayed(lab, commits, false, &result.log),
            _ => refused(&result),
        };
        outcome.context(what)?;
        match (result.errno, commits == whole) {
            (0, true) => all += 1,
            (0, false) => fewer += 1,
            _ => damaged += 1,
        }
        lab.check_console()?;
    }
    println!(
        "   {MOUNTS} mounts of {whole} fast commits, {changes} changes meanwhile: {damaged} \
         refused, {fewer} with fewer, {all} with all"
    );
    ensure!(idle <= IDLE, "nothing changed during {idle} mounts");
    ensure!(damaged > 0 && fewer + all > 0, "one outcome only");
    Ok(())
}
