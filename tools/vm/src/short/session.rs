// SPDX-License-Identifier: GPL-2.0
//! The machine that runs the workloads.

use super::Options;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::Result;
use bytelog_guest::proto::{Cmd, DeviceKind};
use bytelog_guest::short::{Job, Kind, Report};
use std::time::Duration;

/// For one request.
const PATIENCE: Duration = Duration::from_secs(300);

/// Two partitions of 16 MiB, on borders of pages.
const PARTITIONS: &str = "o\nn\np\n1\n2048\n+16M\nn\np\n2\n67584\n+16M\nw\n";

/// One of so many workloads is cut in a commit, and one in a replay. It is the number
/// that chooses, so that one that is repeated is cut as it was.
const CUT_COMMITS: u64 = 3;
const CUT_REPLAYS: u64 = 10;

pub struct Session {
    stock: bool,
    opts: String,
    verbose: bool,
    dev: Option<Dev>,
}

impl Session {
    pub fn new(options: &Options) -> Self {
        Self {
            stock: options.stock,
            opts: options.mount_options(),
            verbose: options.number.is_some(),
            dev: None,
        }
    }

    /// The device, with its partitions and the right ext4 loaded.
    fn dev(&mut self, lab: &mut Lab) -> Result<Dev> {
        if let Some(dev) = &self.dev {
            return Ok(dev.clone());
        }
        lab.with(if self.stock {
            Ext4::Stock
        } else {
            Ext4::ByteLog
        })?;
        let dev = lab.dev(DeviceKind::Sync)?;
        lab.partition(&dev, PARTITIONS)?;
        self.dev = Some(dev.clone());
        Ok(dev)
    }

    fn request(&mut self, lab: &mut Lab, numbers: &[u64]) -> Result<Report> {
        let dev = self.dev(lab)?;
        let job = Job {
            dev: dev.name,
            opts: self.opts.clone(),
            numbers: numbers.to_vec(),
            cut_commits: CUT_COMMITS,
            cut_replays: CUT_REPLAYS,
            verbose: self.verbose,
        };
        // Where a filesystem fails, the workload says so.
        lab.expect_errors();
        let mut report: Report = lab.vm()?.call_for(Cmd::Short(job), PATIENCE)?;
        if let Err(err) = lab.check_console() {
            let number = report.failures.first().map_or(numbers[0], |f| f.number);
            let findings = vec![format!("{err:#}"), lab.console_tail(30)];
            report.fail(number, Kind::Complaint, "console", findings);
            self.restart(lab);
        }
        Ok(report)
    }

    /// Runs workloads. If the machine does not survive that, each of them has one of its
    /// own, and it is a complaint of those that need it.
    pub fn run(&mut self, lab: &mut Lab, numbers: &[u64]) -> Result<Report> {
        match self.request(lab, numbers) {
            Ok(report) => return Ok(report),
            // It refused, and is well.
            Err(err) if alive(lab) => return Err(err),
            Err(err) => println!("the machine failed, one by one again: {err:#}"),
        }
        let mut all = Report::default();
        for number in numbers {
            self.restart(lab);
            match self.request(lab, &[*number]) {
                Ok(report) => {
                    all.failures.extend(report.failures.clone());
                    all.told.extend(report.told.clone());
                    all.add(&report);
                }
                Err(err) => {
                    let findings = vec![format!("{err:#}"), lab.console_tail(30)];
                    all.workloads += 1;
                    all.fail(*number, Kind::Complaint, "the machine", findings);
                }
            }
        }
        self.restart(lab);
        Ok(all)
    }

    /// Leaves the device as others want it.
    pub fn end(&mut self, lab: &mut Lab) -> Result<()> {
        match self.dev.take() {
            Some(dev) => lab.unpartition(&dev),
            None => Ok(()),
        }
    }

    fn restart(&mut self, lab: &mut Lab) {
        lab.abandon();
        self.dev = None;
    }
}

/// Whether the machine still answers.
fn alive(lab: &mut Lab) -> bool {
    let answer: Result<String> = lab.call(Cmd::Read {
        path: "/proc/version".into(),
    });
    answer.is_ok() && lab.check_console().is_ok()
}
