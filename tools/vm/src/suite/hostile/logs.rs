// SPDX-License-Identifier: GPL-2.0
//! Logs whose checksums are right and whose contents are not, in both versions: each
//! comes to what its maker says of it.

use super::super::durability::ENDLESS;
use super::victim::{refused, Victim};
use crate::lab::Lab;
use anyhow::{ensure, Context, Result};
use bytelog_guest::workload::{Kind, Spec};
use bytelog_hostile::cases::{cases, Case, Expect};
use bytelog_hostile::log::Log;

const CASES: usize = 220;

#[derive(Default)]
struct Tally {
    refused: usize,
    replayed: usize,
    nonsense: usize,
    /// Of the nonsense that ext4 has replayed: what e2fsck finds no fault with.
    sound: usize,
}

pub fn hostile(lab: &mut Lab) -> Result<()> {
    // Of what is nonsense in a log ext4 itself complains while it replays.
    lab.expect_errors();
    let spec = Spec::new(Kind::Fast, lab.seed + 6, ENDLESS);
    let devs = lab.pmem()?;
    let mut victims = Victim::crash(lab, &devs, &spec, 40)?;
    let mut logs = Vec::new();
    for victim in &victims {
        let log = Log::parse(&victim.log, victim.image.uuid()?).context("no log after the cut")?;
        ensure!(log.commits() >= 10, "{} fast commits", log.commits());
        logs.push(cases(&log, lab.seed, CASES));
    }

    let mut tally = Tally::default();
    // Not all of a kind on one device: there is an odd number of kinds.
    for (number, device) in (0..CASES).zip([0, 1].into_iter().cycle()) {
        let case = &logs[device][number];
        let what = || {
            let on = devs[device].label();
            format!("case {number} of seed {}, {}, {on}", lab.seed, case.name)
        };
        let what = what();
        one(lab, &mut victims[device], case, &mut tally).context(what)?;
    }
    for victim in &victims {
        victim.states_differ()?;
    }
    let Tally {
        refused,
        replayed,
        nonsense,
        sound,
    } = tally;
    println!(
        "   {CASES} hostile logs: {refused} refused, {replayed} replayed as far as they are good, \
         {nonsense} of nonsense replayed by ext4, of which e2fsck is content with {sound}"
    );
    ensure!(refused > 50 && replayed > 20, "one outcome only");
    Ok(())
}

fn one(lab: &mut Lab, victim: &mut Victim, case: &Case, tally: &mut Tally) -> Result<()> {
    let result = victim.mount(lab, &case.log.write(victim.log.len()))?;
    let mounted = result.errno == 0;
    match case.expect {
        Expect::Refused => refused(&result)?,
        Expect::Commits(count) => {
            ensure!(mounted, "{}: {:?}", result.error, result.log);
            // The one fast commit of version 1 has the TLVs of all.
            let v1 = case.log.is_v1();
            let commits = match v1 && count == 1 {
                true => victim.commits(),
                false => count.into(),
            };
            victim.replayed(lab, commits, v1, &result.log)?;
            tally.replayed += 1;
        }
        Expect::Nonsense if mounted => {
            lab.umount(&victim.dev.dir())?;
            tally.nonsense += 1;
            tally.sound += usize::from(victim.sound()?);
        }
        Expect::Nonsense => {}
    }
    tally.refused += usize::from(!mounted);
    lab.check_console()
}
