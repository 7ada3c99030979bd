// SPDX-License-Identifier: GPL-2.0
//! What the kernel has to say of a test: its log, and what kmemleak finds.

use super::{Lab, WORKLOAD};
use crate::config;
use crate::console::Console;
use anyhow::{ensure, Result};
use bytelog_guest::proto::Cmd;
use std::thread::sleep;
use std::time::Duration;

impl Lab {
    /// The test makes filesystems fail: the kernel log may say so until the next one begins.
    pub fn expect_errors(&mut self) {
        self.let_errors(true);
    }

    /// Another test begins. What the one before has left mounted may be said to have failed
    /// for the last time.
    pub fn begin(&mut self) -> Result<()> {
        if self.errors_expected && self.vm.is_some() {
            self.umount_all()?;
            self.check_console()?;
        }
        self.let_errors(false);
        Ok(())
    }

    fn let_errors(&mut self, expected: bool) {
        self.errors_expected = expected;
        if let Some(vm) = &mut self.vm {
            vm.console.expect_errors(expected);
        }
    }

    /// Checks the kernel log since the last check.
    pub fn check_console(&mut self) -> Result<()> {
        match &mut self.vm {
            Some(vm) => vm.console.check(),
            None => Ok(()),
        }
    }

    pub fn console_tail(&self, lines: usize) -> String {
        match &self.vm {
            Some(vm) => vm.console.tail(lines),
            None => Console::new(config::CONSOLE.as_ref()).tail(lines),
        }
    }

    /// Has kmemleak look for objects that nobody knows any more, in a kernel that
    /// has it; whether it has.
    pub fn check_leaks(&mut self) -> Result<bool> {
        const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";
        // It believes in no leak that is younger than 5 seconds.
        const AGE: Duration = Duration::from_secs(6);
        let read = || Cmd::Read {
            path: KMEMLEAK.into(),
        };
        let Some(vm) = &mut self.vm else {
            return Ok(false);
        };
        if vm.call::<String>(read()).is_err() {
            return Ok(false);
        }
        // What is found twice was not just on its way from one place to another.
        for _ in 0..2 {
            sleep(AGE);
            let scan = Cmd::Write {
                path: KMEMLEAK.into(),
                data: "scan".into(),
            };
            vm.call_for::<()>(scan, WORKLOAD)?;
        }
        let found: String = vm.call(read())?;
        ensure!(found.is_empty(), "kmemleak: {found}");
        Ok(true)
    }
}
