// SPDX-License-Identifier: GPL-2.0
//! Calls of which an allocation fails.

use super::Lab;
use anyhow::Result;
use bytelog_guest::proto::{Attempt, Call, Cmd};

/// What the kernel's fault injection is told: all allocations count, those that may
/// wait and those of one page as well, and one that fails is not reported.
const SETTINGS: &[(&str, &str)] = &[
    ("failslab/ignore-gfp-wait", "N"),
    ("failslab/verbose", "0"),
    ("fail_page_alloc/ignore-gfp-wait", "N"),
    ("fail_page_alloc/min-order", "0"),
    ("fail_page_alloc/verbose", "0"),
];

/// What the kernel itself complains about then: jbd2 removes a file of /proc that it
/// had no memory to make.
const KNOWN: &[&str] = &[
    "WARNING: at remove_proc_entry+",
    "RIP: 0010:remove_proc_entry+",
];

impl Lab {
    /// Makes allocations ready to fail, in a kernel that can let them.
    pub fn let_allocations_fail(&mut self) -> Result<()> {
        self.vm()?.console.expect(KNOWN);
        // Without memory ext4 gives an operation up halfway, and says so.
        self.expect_errors();
        for (file, value) in SETTINGS {
            self.call::<()>(Cmd::Write {
                path: format!("/sys/kernel/debug/{file}"),
                data: (*value).to_owned(),
            })?;
        }
        Ok(())
    }

    /// Makes a call whose `nth` allocation, counted from 1, fails; with 0 none does.
    pub fn attempt(&mut self, nth: u32, call: Call) -> Result<Attempt> {
        let attempt: Attempt = self.call(Cmd::Failing {
            nth,
            call: call.clone(),
        })?;
        if attempt.error.is_none() {
            match call {
                Call::Mount(args) if !args.remount => self.mounts.push(args.dir),
                Call::Umount { dir } => self.mounts.retain(|mounted| *mounted != dir),
                _ => {}
            }
        }
        Ok(attempt)
    }
}
