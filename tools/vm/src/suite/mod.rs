// SPDX-License-Identifier: GPL-2.0
//! The tests that need a machine. A machine is shared by the tests that it runs one
//! after the other, until one fails or cuts the power.

mod again;
mod allocations;
mod atomic;
mod counts;
pub mod crew;
mod cuts;
mod defect;
mod defects;
mod durability;
mod elsewhere;
mod external;
mod faults;
mod features;
pub mod fragmented;
mod guard;
mod held;
mod hostile;
mod mapping;
mod modules;
mod options;
mod reasons;
mod replayed;
mod short;
mod shutdown;
mod stat;
mod statistics;
mod threads;
mod tool;
mod version1;

use crate::config::VmConfig;
use crate::lab::Lab;
use anyhow::{Context, Result};
use defect::Defect;
use std::time::Instant;

pub struct Test {
    pub name: &'static str,
    pub run: fn(&mut Lab) -> Result<()>,
}

/// Something to be run.
#[derive(Clone, Copy)]
pub enum Entry {
    Test(&'static Test),
    Defect(&'static Defect),
}

impl Entry {
    pub fn name(self) -> &'static str {
        match self {
            Self::Test(test) => test.name,
            Self::Defect(defect) => defect.name,
        }
    }

    fn run(self, lab: &mut Lab) -> Result<()> {
        match self {
            Self::Test(test) => (test.run)(lab),
            Self::Defect(defect) => {
                let stock = defect.on(&lab.vm()?.hello.release);
                (defect.run)(lab, stock)
            }
        }
    }
}

/// How the release of the debugging kernel ends.
pub const DEBUGGING: &str = "-debug";

/// Begins the line that says that a test is over, from a process of [`crew`].
const OVER: &str = "\u{4}";

/// Lines of the kernel log that are printed for a failed test.
const TAIL: usize = 40;

/// The tests for a kernel of this release: the debugging kernel has more.
fn all(kver: Option<&str>) -> impl Iterator<Item = Entry> + use<> {
    let debugging = kver.is_some_and(|kver| kver.ends_with(DEBUGGING));
    let more = if debugging { allocations::TESTS } else { &[] };
    [
        options::TESTS,
        modules::TESTS,
        counts::TESTS,
        statistics::TESTS,
        stat::TESTS,
        durability::TESTS,
        again::TESTS,
        atomic::TESTS,
        threads::TESTS,
        cuts::TESTS,
        short::TESTS,
        faults::TESTS,
        shutdown::TESTS,
        held::TESTS,
        elsewhere::TESTS,
        guard::TESTS,
        fragmented::TESTS,
        external::TESTS,
        mapping::TESTS,
        hostile::TESTS,
        tool::TESTS,
        version1::TESTS,
        features::TESTS,
        replayed::TESTS,
        reasons::TESTS,
        more,
    ]
    .into_iter()
    .flatten()
    .map(Entry::Test)
    .chain(defects().map(Entry::Defect))
}

/// What is wrong with stock ext4.
fn defects() -> impl Iterator<Item = &'static Defect> {
    [
        threads::DEFECTS,
        shutdown::DEFECTS,
        defects::DEFECTS,
        features::DEFECTS,
        replayed::DEFECTS,
        reasons::DEFECTS,
    ]
    .into_iter()
    .flatten()
}

/// Those whose name contains the filter.
fn chosen<'a>(
    kver: Option<&str>,
    filter: Option<&'a str>,
) -> impl Iterator<Item = Entry> + use<'a> {
    all(kver).filter(move |test| filter.is_none_or(|part| test.name().contains(part)))
}

pub fn list(kver: Option<&str>) {
    for test in all(kver) {
        println!("{}", test.name());
    }
}

fn run_one(lab: &mut Lab, test: Entry) -> Result<()> {
    lab.begin()?;
    let outcome = test.run(lab);
    // What the kernel complained about is the better reason.
    lab.check_console()?;
    outcome
}

/// Runs a test and prints how it ended; true if it passed.
fn report(lab: &mut Lab, test: Entry) -> bool {
    let start = Instant::now();
    let config = lab.config.clone();
    let outcome = run_one(lab, test);
    match &outcome {
        Ok(()) => println!(
            "ok {} ({:.1} s)",
            test.name(),
            start.elapsed().as_secs_f64()
        ),
        Err(err) => {
            println!("FAIL {}: {err:#}", test.name());
            println!("--- end of the kernel log");
            println!("{}\n---", lab.console_tail(TAIL));
            lab.abandon();
            // A test that ends early leaves its own machine to the next one.
            if let Err(err) = lab.reconfigure(config) {
                println!("the machine's configuration: {err:#}");
            }
        }
    }
    outcome.is_ok()
}

/// Turns the machine off; true if nothing was wrong with that.
fn end(lab: &mut Lab) -> bool {
    let outcome = lab.power_off();
    if let Err(err) = &outcome {
        println!("FAIL power-off: {err:#}");
    }
    outcome.is_ok()
}

/// Runs tests as their names come in, for [`crew`].
pub fn serve(config: &VmConfig, kver: Option<&str>, seed: u64) -> Result<bool> {
    let mut lab = Lab::new(config, kver, seed);
    for name in std::io::stdin().lines() {
        let name = name?;
        let test = all(kver).find(|test| test.name() == name);
        let test = test.with_context(|| format!("no test {name}"))?;
        println!("{OVER}{}", report(&mut lab, test));
    }
    Ok(end(&mut lab))
}

/// Runs the tests whose name contains the filter, on one machine; how many passed and
/// failed.
pub fn alone(config: &VmConfig, kver: Option<&str>, seed: u64, filter: Option<&str>) -> (u32, u32) {
    let mut lab = Lab::new(config, kver, seed);
    let (mut passed, mut failed) = (0, 0);
    for test in chosen(kver, filter) {
        match report(&mut lab, test) {
            true => passed += 1,
            false => failed += 1,
        }
    }
    failed += u32::from(!end(&mut lab));
    (passed, failed)
}

/// Prints the last line; true if all is well.
pub fn summary((passed, failed): (u32, u32)) -> bool {
    if passed + failed == 0 {
        println!("no test has such a name");
    }
    println!("{passed} passed, {failed} failed");
    failed == 0 && passed > 0
}
