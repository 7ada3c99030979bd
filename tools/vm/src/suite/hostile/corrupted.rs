// SPDX-License-Identifier: GPL-2.0
//! Random damage: what is in front of it is replayed, or nothing and the mount fails.

use super::super::durability::ENDLESS;
use super::victim::{refused, Victim};
use crate::fclog::Record;
use crate::image::BLOCK;
use crate::lab::Lab;
use crate::messages::{any, NOTHING_REPLAYED};
use anyhow::{ensure, Context, Result};
use bytelog::opener::USED_LEN;
use bytelog_guest::workload::{Kind, Spec};
use bytelog_hostile::log::{judge, Log};

const ROUNDS: usize = 50;

/// One kind of damage; returns its name.
fn damage(victim: &Victim, log: &mut [u8], round: usize, rng: &mut fastrand::Rng) -> &'static str {
    let records = &victim.records;
    let used = records.last().map_or(BLOCK as usize, Record::end);
    let pick = records[rng.usize(..records.len())];
    match round % 7 {
        0 => {
            for _ in 0..rng.usize(1..9) {
                log[rng.usize(..used)] ^= 1 << rng.u32(0..8);
            }
            "bit flips"
        }
        1 => {
            log[rng.usize(BLOCK as usize..used)..].fill(0);
            "end cut off"
        }
        2 => {
            let end = pick.end().min(log.len());
            rng.fill(&mut log[pick.at..end]);
            "a random record"
        }
        3 => {
            log[rng.usize(..BLOCK as usize)] ^= 1 << rng.u32(0..8);
            rng.fill(&mut log[..64]);
            "a random opener"
        }
        4 => {
            let from = records[rng.usize(..records.len())];
            let len = from.len.min(log.len() - pick.at);
            log.copy_within(from.at..from.at + len, pick.at);
            "a record at another's place"
        }
        5 => {
            // Version, lengths, ordinals: fields that steer the reader.
            let field = [4, 6, 8, 12, 16, 24, 32, 40][rng.usize(..8)];
            rng.fill(&mut log[pick.at + field..pick.at + field + 4]);
            "a random field"
        }
        _ => {
            rng.fill(log);
            "all random"
        }
    }
}

/// Fast commits in front of the first byte that differs: without the reader, the most
/// that can be replayed and, if anything is, the least.
fn in_front(victim: &Victim, log: &[u8]) -> u64 {
    let differs = |from: usize, to: usize| victim.log[from..to] != log[from..to];
    if differs(0, USED_LEN) {
        return 0;
    }
    let whole = victim
        .records
        .iter()
        .take_while(|record| !differs(record.at, record.end()));
    whole.filter(|record| record.seal).count() as u64
}

/// A HEAD without an anchor, by one flipped bit perhaps: for ext4 to read, as a log of
/// its own.
fn is_stock(log: &[u8]) -> bool {
    log[..2] == [9, 0] && log[12..14] != [10, 0]
}

pub fn corrupted(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    let spec = Spec::new(Kind::Fast, lab.seed + 5, ENDLESS);
    let devs = lab.pmem()?;
    let mut victims = Victim::crash(lab, &devs, &spec, 120)?;
    for victim in &victims {
        let records = victim.records.len();
        ensure!(records >= 100, "{records} records");
        damaged_middle(lab, victim)?;
    }

    let mut rng = fastrand::Rng::with_seed(lab.seed);
    let (mut mounted, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        // Seven kinds of damage, two devices: each kind comes to both.
        let device = round % victims.len();
        let victim = &mut victims[device];
        let mut log = victim.log.clone();
        let what = damage(victim, &mut log, round, &mut rng);
        let on = victim.dev.label();
        match one(lab, victim, &log).with_context(|| format!("round {round}, {what}, {on}"))? {
            true => mounted += 1,
            false => refused += 1,
        }
    }
    println!("   {mounted} mounted with all in front of the damage, {refused} refused");
    ensure!(mounted > 10 && refused > 10, "one outcome only");
    Ok(())
}

/// Mounts a damaged log; whether it can be mounted.
fn one(lab: &mut Lab, victim: &mut Victim, log: &[u8]) -> Result<bool> {
    let uuid = victim.image.uuid()?;
    let tid = Log::parse(&victim.log, uuid).context("no log")?.opener.tid;
    // The reader is the module's own, here in front of bytes that nobody damages
    // further: mounts go the way that it goes.
    let read = judge(log, tid, &uuid);
    let result = victim.mount(lab, log)?;
    let mounted = result.errno == 0;
    match read {
        _ if is_stock(log) => {
            if mounted {
                lab.umount(&victim.dev.dir())?;
            }
        }
        Ok(count) => {
            ensure!(mounted, "{}: {:?}", result.error, result.log);
            let commits = in_front(victim, log);
            ensure!(
                u64::from(count) == commits,
                "the reader found {count}, not {commits}"
            );
            victim.replayed(lab, commits, false, &result.log)?;
        }
        Err(why) => refused(&result).context(why)?,
    }
    lab.check_console()?;
    Ok(mounted)
}

/// Damage in the middle of a durable log is not a torn end: refused loudly.
fn damaged_middle(lab: &mut Lab, victim: &Victim) -> Result<()> {
    let mut log = victim.log.clone();
    let record = victim.records[victim.records.len() / 3];
    log[record.at + 64] ^= 0x10;
    let result = victim.mount(lab, &log)?;
    ensure!(result.errno != 0, "mounted with a damaged log");
    ensure!(any(&result.log, NOTHING_REPLAYED), "{:?}", result.log);
    Ok(())
}
