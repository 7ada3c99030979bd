// SPDX-License-Identifier: GPL-2.0
//! The tests that need a machine. A machine is shared by the tests that follow
//! one another, until one fails or cuts the power.

mod again;
mod allocations;
mod counts;
mod cuts;
mod defects;
mod durability;
mod external;
mod faults;
pub mod fragmented;
mod guard;
mod hostile;
mod modules;
mod options;
mod shutdown;
mod stat;
mod statistics;
mod threads;
mod tool;
mod version1;

use crate::config::VmConfig;
use crate::lab::Lab;
use anyhow::Result;
use std::time::Instant;

pub struct Test {
    pub name: &'static str,
    pub run: fn(&mut Lab) -> Result<()>,
}

/// How the release of the debugging kernel ends.
pub const DEBUGGING: &str = "-debug";

/// Lines of the kernel log that are printed for a failed test.
const TAIL: usize = 40;

/// The tests for a kernel of this release: the debugging kernel has more.
fn all(kver: Option<&str>) -> impl Iterator<Item = &'static Test> {
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
        threads::TESTS,
        cuts::TESTS,
        faults::TESTS,
        shutdown::TESTS,
        guard::TESTS,
        fragmented::TESTS,
        external::TESTS,
        hostile::TESTS,
        tool::TESTS,
        version1::TESTS,
        defects::TESTS,
        more,
    ]
    .into_iter()
    .flatten()
}

pub fn list(kver: Option<&str>) {
    for test in all(kver) {
        println!("{}", test.name);
    }
}

fn run_one(lab: &mut Lab, test: &Test) -> Result<()> {
    let outcome = (test.run)(lab);
    // What the kernel complained about is the better reason.
    lab.check_console()?;
    outcome
}

/// Runs the tests whose name contains the filter; true if all passed.
pub fn run(config: &VmConfig, kver: Option<&str>, seed: u64, filter: Option<&str>) -> Result<bool> {
    let mut lab = Lab::new(config, kver, seed);
    let (mut passed, mut failed) = (0, 0);
    println!("seed {seed}");
    for test in all(kver).filter(|test| filter.is_none_or(|part| test.name.contains(part))) {
        let start = Instant::now();
        match run_one(&mut lab, test) {
            Ok(()) => {
                passed += 1;
                println!("ok {} ({:.1} s)", test.name, start.elapsed().as_secs_f64());
            }
            Err(err) => {
                failed += 1;
                println!("FAIL {}: {err:#}", test.name);
                println!("--- end of the kernel log");
                println!("{}\n---", lab.console_tail(TAIL));
                lab.abandon();
            }
        }
    }
    if let Err(err) = lab.power_off() {
        failed += 1;
        println!("FAIL power-off: {err:#}");
    }
    if passed + failed == 0 {
        println!("no test has such a name");
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0 && passed > 0)
}
