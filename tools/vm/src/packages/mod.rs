// SPDX-License-Identifier: GPL-2.0
//! The Debian packages, on a machine whose root is ext4 on persistent memory:
//! installed, upgraded and removed, and started after each.

mod machine;
mod steps;

use crate::config::VmConfig;
use anyhow::Result;
use machine::Machine;
use std::path::Path;
use std::time::Instant;
use steps::STEPS;

/// What is done to the machine; each step goes on where the one before ended.
pub struct Step {
    pub name: &'static str,
    pub run: fn(&mut Machine) -> Result<()>,
}

/// Lines of the kernel log that are printed for a failed step.
const TAIL: usize = 40;

/// Goes through all steps on a copy of `root`, up to the first that fails; true if
/// none did.
pub fn run(config: &VmConfig, kver: &str, seed: u64, root: &Path) -> Result<bool> {
    let mut machine = Machine::new(config, kver, seed, root)?;
    let mut passed = 0;
    for step in STEPS {
        let start = Instant::now();
        let outcome = (step.run)(&mut machine).and_then(|()| machine.lab.check_console());
        let seconds = start.elapsed().as_secs_f64();
        if let Err(err) = outcome {
            println!("FAIL {} ({seconds:.1} s): {err:#}", step.name);
            println!("--- end of the console");
            println!("{}\n---", machine.lab.console_tail(TAIL));
            machine.lab.abandon();
            break;
        }
        passed += 1;
        println!("ok {} ({seconds:.1} s)", step.name);
    }
    let failed = STEPS.len() - passed;
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}
