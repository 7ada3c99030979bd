// SPDX-License-Identifier: GPL-2.0
//! The machine that runs the workloads.

use super::Options;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::Result;
use bytelog_guest::proto::{Cmd, DeviceKind};
use bytelog_guest::short::{Failure, Job, Kind, Report};
use std::time::Duration;

/// For one request.
const PATIENCE: Duration = Duration::from_secs(300);

/// Two partitions of 16 MiB, on borders of pages.
const PARTITIONS: &str = "o\nn\np\n1\n2048\n+16M\nn\np\n2\n67584\n+16M\nw\n";

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
        lab.must_run_with(&format!("busybox fdisk -u {}", dev.path()), PARTITIONS)?;
        lab.must_run(&format!("blockdev --rereadpt {}", dev.path()))?;
        self.dev = Some(dev.clone());
        Ok(dev)
    }

    fn request(&mut self, lab: &mut Lab, numbers: &[u64]) -> Result<Report> {
        let dev = self.dev(lab)?;
        let every = |n: u64| if self.verbose { 1 } else { n };
        let job = Job {
            dev: dev.name,
            opts: self.opts.clone(),
            numbers: numbers.to_vec(),
            cut_commits: every(3),
            cut_replays: every(10),
            verbose: self.verbose,
        };
        let report = lab.vm()?.call_for(Cmd::Short(job), PATIENCE)?;
        lab.check_console()?;
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
            lab.abandon();
            self.dev = None;
            match self.request(lab, &[*number]) {
                Ok(report) => {
                    all.failures.extend(report.failures.clone());
                    all.told.extend(report.told.clone());
                    all.add(&report);
                }
                Err(err) => {
                    let findings = vec![format!("{err:#}"), lab.console_tail(30)];
                    all.workloads += 1;
                    all.failures.push(Failure {
                        number: *number,
                        kind: Kind::Complaint,
                        place: "the machine".into(),
                        findings,
                    });
                }
            }
        }
        lab.abandon();
        self.dev = None;
        Ok(all)
    }
}

/// Whether the machine still answers.
fn alive(lab: &mut Lab) -> bool {
    let answer: Result<String> = lab.call(Cmd::Read {
        path: "/proc/version".into(),
    });
    answer.is_ok() && lab.check_console().is_ok()
}
