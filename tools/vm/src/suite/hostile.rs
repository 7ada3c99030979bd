// SPDX-License-Identifier: GPL-2.0
//! Damaged logs, and logs that mean harm, through a real mount: never a crash, a
//! hang or a warning, never an operation that was not acknowledged in order.

use super::durability::{crash, ENDLESS};
use super::Test;
use crate::fclog::{self, Record};
use crate::image::{changed, Image, BLOCK};
use crate::lab::{Dev, Ext4, Lab};
use crate::messages::{any, NOTHING_REPLAYED, REPLAYING};
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{DeviceKind, MountResult};
use bytelog_guest::workload::{Kind, Spec};
use bytelog_hostile::cases::{cases, Case, Expect};
use bytelog_hostile::log::Log;
use std::process::Command;

pub const TESTS: &[Test] = &[
    Test {
        name: "fifty-corrupted-logs",
        run: corrupted,
    },
    Test {
        name: "hostile-logs",
        run: hostile,
    },
];

const BYTES: u64 = 128 << 20;
const ROUNDS: usize = 50;

/// Of the hostile logs: how many, and the filesystem that each is put on.
const CASES: usize = 220;
const SMALL: &str = "48M";
const SMALL_BYTES: u64 = 48 << 20;
const SMALL_LOG: &str = "-J size=4,fast_commit_size=512";
const ON: &str = "dax=always,dax_fc_bytelog=on";

/// A crashed filesystem, kept to be damaged again and again.
struct Victim {
    dev: Dev,
    bytes: u64,
    image: Image,
    pristine: Vec<u8>,
    hashes: Vec<u64>,
    area: Vec<u64>,
    log: Vec<u8>,
    records: Vec<Record>,
}

impl Victim {
    fn new(lab: &Lab, dev: Dev, bytes: u64) -> Result<Self> {
        let image = Image::open(&dev)?;
        let area = image.fc_area(lab.journal(&dev)?)?;
        let log = fclog::read(&image, &area)?;
        Ok(Self {
            bytes,
            pristine: image.read(0, bytes as usize)?,
            hashes: image.hashes(bytes)?,
            records: fclog::records(&log),
            dev,
            image,
            area,
            log,
        })
    }

    /// Puts the crashed filesystem back.
    fn restore(&self) -> Result<()> {
        for block in changed(&self.hashes, &self.image.hashes(self.bytes)?) {
            let at = block * BLOCK;
            let data = &self.pristine[at as usize..(at + BLOCK) as usize];
            self.image.write(at, data)?;
        }
        Ok(())
    }

    /// One kind of damage; returns its name.
    fn damage(&self, log: &mut [u8], round: usize, rng: &mut fastrand::Rng) -> &'static str {
        let used = self.records.last().map_or(BLOCK as usize, Record::end);
        let pick = self.records[rng.usize(..self.records.len())];
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
                let from = self.records[rng.usize(..self.records.len())];
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
}

fn corrupted(lab: &mut Lab) -> Result<()> {
    let spec = Spec::new(Kind::Fast, lab.seed + 5, ENDLESS);
    let acks = crash(lab, Ext4::ByteLog, ",dax_fc_bytelog=on", &spec, 120)?[1];
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    let victim = Victim::new(lab, dev, BYTES)?;
    ensure!(
        victim.records.len() >= 100,
        "{} records",
        victim.records.len()
    );
    damaged_middle(lab, &victim)?;

    let mut rng = fastrand::Rng::with_seed(lab.seed);
    let (mut mounted, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        victim.restore()?;
        let mut log = victim.log.clone();
        let what = victim.damage(&mut log, round, &mut rng);
        fclog::write(&victim.image, &victim.area, &log)?;
        lab.forget_cache(&victim.dev)?;
        let result = lab.try_mount(&victim.dev, ON)?;
        if result.errno != 0 {
            refused += 1;
            ensure!(
                !result.log.is_empty(),
                "round {round}, {what}: refused in silence"
            );
        } else {
            mounted += 1;
            let verdict = lab.judge(&victim.dev, &spec, acks.fsyncs)?;
            ensure!(
                verdict.state.is_some(),
                "round {round}, {what}: a state that never was: {}",
                verdict.diffs.join("; ")
            );
            lab.umount(&victim.dev.dir())?;
        }
        lab.check_console()?;
    }
    println!("   {mounted} mounted with a prefix of the log, {refused} refused");
    ensure!(mounted > 0 && refused > 0, "one outcome only");
    Ok(())
}

/// Damage in the middle of a durable log is not a torn end: refused loudly.
fn damaged_middle(lab: &mut Lab, victim: &Victim) -> Result<()> {
    let mut log = victim.log.clone();
    let record = victim.records[victim.records.len() / 3];
    log[record.at + 64] ^= 0x10;
    fclog::write(&victim.image, &victim.area, &log)?;
    lab.forget_cache(&victim.dev)?;
    let result = lab.try_mount(&victim.dev, ON)?;
    ensure!(result.errno != 0, "mounted with a damaged log");
    ensure!(any(&result.log, NOTHING_REPLAYED), "{:?}", result.log);
    Ok(())
}

/// Logs whose checksums are right and whose contents are not, in both versions:
/// each comes to what its maker says of it.
fn hostile(lab: &mut Lab) -> Result<()> {
    let spec = Spec::new(Kind::Fast, lab.seed + 6, ENDLESS);
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, SMALL_LOG, SMALL)?;
    lab.mount(&dev, &format!("{ON},commit=600"))?;
    let acks = lab.cut_during(&[(dev.clone(), spec.clone())], 40)?[0];
    lab.with(Ext4::ByteLog)?;
    let victim = Victim::new(lab, dev, SMALL_BYTES)?;
    let log = Log::parse(&victim.log, victim.image.uuid()?).context("no log after the cut")?;
    ensure!(log.commits() >= 10, "{} fast commits", log.commits());

    let (mut refused, mut replayed, mut sound) = (0, 0, 0);
    let seed = lab.seed;
    let all = cases(&log, seed, CASES);
    for (number, case) in all.iter().enumerate() {
        victim.restore()?;
        fclog::write(
            &victim.image,
            &victim.area,
            &case.log.write(victim.log.len()),
        )?;
        lab.forget_cache(&victim.dev)?;
        let result = lab.try_mount(&victim.dev, ON)?;
        let what = || format!("case {number} of seed {seed}, {}", case.name);
        let mounted = result.errno == 0;
        refused += usize::from(!mounted);
        if mounted && case.expect != Expect::Nonsense {
            let verdict = lab.judge(&victim.dev, &spec, acks.fsyncs)?;
            let diffs = verdict.diffs.join("; ");
            ensure!(verdict.state.is_some(), "{}: no state: {diffs}", what());
            replayed += 1;
        }
        if mounted {
            lab.umount(&victim.dev.dir())?;
        }
        as_expected(case, &result).with_context(what)?;
        // Unmounted or refused: what is on the device is there to be checked.
        let clean = mounted && e2fsck("-fn", &victim.dev)? == 0;
        sound += usize::from(clean);
        if mounted && case.expect != Expect::Nonsense {
            ensure!(clean, "{}: e2fsck is not content", what());
        }
        lab.check_console().with_context(what)?;
    }
    println!(
        "   {} hostile logs: {refused} refused, {replayed} replayed as far as they are good, \
         {} of nonsense replayed by ext4; clean for e2fsck: {sound}",
        all.len(),
        all.len() - refused - replayed
    );
    ensure!(refused > 50 && replayed > 20, "one outcome only");
    Ok(())
}

fn as_expected(case: &Case, result: &MountResult) -> Result<()> {
    let said = result.log.join(" | ");
    match case.expect {
        Expect::Refused => {
            ensure!(result.errno != 0, "mounted: {said}");
            ensure!(!said.is_empty(), "refused in silence");
        }
        Expect::Commits(count) => {
            ensure!(result.errno == 0, "{}: {said}", result.error);
            let words = format!("{REPLAYING}{count} fast commits");
            ensure!(
                count == 0 || said.contains(&words),
                "not \"{words}\": {said}"
            );
        }
        Expect::Nonsense => {}
    }
    Ok(())
}

/// e2fsck on the host, which is faster than in the machine; the device is not
/// mounted. Returns its exit status.
fn e2fsck(how: &str, dev: &Dev) -> Result<i32> {
    let output = Command::new("e2fsck").args([how, dev.image()]).output();
    let status = output.context("e2fsck")?.status;
    status.code().context("e2fsck was killed")
}
