// SPDX-License-Identifier: GPL-2.0
//! Programs that call fsync, and models of some: what their fsyncs cost, and which of
//! their commits are fast, with stock fast commits and with ByteLog, in one boot.

mod fcinfo;
mod measure;
mod report;
mod workload;

use super::machine::{Base, Machine};
use super::place::{self, Place};
use super::programs;
use super::rows::{Mode, Rows};
use crate::config::VmConfig;
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::Cmd;
use report::Reasons;
use std::path::PathBuf;
use workload::Workload;

/// What is compared.
const MODES: [Mode; 2] = [Mode::StockFc, Mode::Bytelog];

/// The system calls that make something durable, by the kernel's functions for them.
/// Not sync_file_range(2), which only writes data.
const CALLS: [&str; 5] = [
    "__x64_sys_fsync",
    "__x64_sys_fdatasync",
    "__x64_sys_syncfs",
    "__x64_sys_sync",
    "__x64_sys_msync",
];

/// What is measured to see that it works: what is cheap, and models that nothing but a
/// machine can run.
const SMOKE: [&str; 5] = ["append_log", "selinux", "acl", "xattr_set", "symlink_tree"];
const SMOKE_OPS: u64 = 16;

/// What is to be measured.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Devices, by their names in workloads.json
    #[arg(long, value_delimiter = ',', default_value = "sync,virtio_disk")]
    devices: Vec<String>,
    /// Workloads, by their names in workloads.json; all if none is given
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// Operations of a workload: messages, transactions, saved files
    #[arg(long, default_value_t = 200)]
    ops: u64,
    /// A few operations on one device, to see that it works
    #[arg(long)]
    smoke: bool,
    /// Fail if a workload has too few fast commits, or if they cost too much
    #[arg(long)]
    check: bool,
    /// QEMU's plugin that counts: libbytelog_tcg.so
    #[arg(long)]
    plugin: PathBuf,
    /// Image that scripts/programs-root has made; only models can be run without it
    #[arg(long)]
    root: Option<PathBuf>,
    /// Directory for workloads.json; made if need be
    #[arg(long)]
    out: PathBuf,
}

impl Options {
    /// With names that are known, and paths that stand after a change of directory.
    pub fn resolve(mut self) -> Result<Self> {
        if self.smoke {
            self.devices = vec!["sync".to_owned()];
            self.workloads = SMOKE.map(str::to_owned).into();
            self.ops = SMOKE_OPS;
        }
        let names: Vec<&str> = places().map(|place| place.name).collect();
        super::known("device", &self.devices, &names)?;
        let names: Vec<&str> = workload::ALL.iter().map(Workload::name).collect();
        super::known("workload", &self.workloads, &names)?;
        ensure!(self.ops > 0, "--ops: at least 1");
        std::fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        self.out = self.out.canonicalize()?;
        let find = |path: &PathBuf| {
            path.canonicalize()
                .with_context(|| path.display().to_string())
        };
        self.plugin = find(&self.plugin)?;
        self.root = self.root.as_ref().map(find).transpose()?;
        let program = self.workloads().into_iter().find(Workload::is_a_program);
        if let (Some(program), None) = (program, &self.root) {
            anyhow::bail!("{} is run in an image: --root is needed", program.name());
        }
        Ok(self)
    }

    /// The disks that the machine has for this.
    pub fn disks(&self) -> Vec<PathBuf> {
        self.root.iter().cloned().collect()
    }

    fn workloads(&self) -> Vec<Workload> {
        let wanted = |workload: &Workload| {
            self.workloads.is_empty() || self.workloads.iter().any(|name| name == workload.name())
        };
        workload::ALL.into_iter().filter(wanted).collect()
    }

    fn places(&self) -> Vec<Place> {
        let wanted = |place: &Place| self.devices.iter().any(|name| name == place.name);
        places().filter(wanted).collect()
    }
}

/// Those that can be compared.
fn places() -> impl Iterator<Item = Place> {
    let comparable = |place: &Place| MODES.iter().all(|mode| place.modes.contains(mode));
    place::ALL.into_iter().filter(comparable)
}

/// Runs everything, prints it and writes the rows; false if a workload could not be
/// measured, or if a limit is to be kept and is not.
pub fn run(config: &VmConfig, kver: Option<&str>, seed: u64, options: &Options) -> Result<bool> {
    let base = Base {
        config: config.clone(),
        plugin: options.plugin.to_string_lossy().into_owned(),
        kver: kver.map(str::to_owned),
        seed,
    };
    let mut rows = Rows::default();
    let (places, workloads) = (options.places(), options.workloads());
    for place in &places {
        let reasons = one_place(&base, *place, &workloads, options, &mut rows)?;
        report::print(&rows, place.name, &workloads, &reasons);
    }
    let path = options.out.join("workloads.json");
    rows.write(&path)?;
    let devices: Vec<&str> = places.iter().map(|place| place.name).collect();
    let missing = report::missing(&rows, &devices, &workloads);
    for text in &missing {
        println!("{text}");
    }
    if options.smoke {
        report::check_smoke(&path, &workloads)?;
        println!("the workloads work");
    }
    let broken = report::broken(&rows, &devices, &workloads);
    if options.check {
        for text in &broken {
            println!("{text}");
        }
    }
    println!("rows: {}", path.display());
    Ok(missing.is_empty() && (broken.is_empty() || !options.check))
}

/// All workloads of a place, each on a fresh filesystem. What cannot be measured leaves
/// the rest alone.
fn one_place(
    base: &Base,
    place: Place,
    workloads: &[Workload],
    options: &Options,
    rows: &mut Rows,
) -> Result<Reasons> {
    let mut reasons = Reasons::default();
    let mut running = None;
    for mode in MODES {
        for workload in workloads {
            let machine = match &mut running {
                Some(machine) => machine,
                none => none.insert(boot(base, place, workloads)?),
            };
            let what = format!("{}: {} {}", place.name, workload.name(), mode.name());
            match measure::measure(machine, *workload, mode, options.ops) {
                Ok(sample) => {
                    println!("{what}: {}", sample.summary());
                    sample.push(place.name, workload.name(), mode, rows);
                    reasons.insert((workload.name(), mode), sample.reasons);
                }
                Err(err) => {
                    println!("{what}: NOT MEASURED: {err:#}");
                    println!("{}", machine.lab.console_tail(20));
                    machine.lab.abandon();
                    running = None;
                }
            }
        }
    }
    if let Some(mut machine) = running {
        machine.lab.power_off()?;
    }
    Ok(reasons)
}

fn boot(base: &Base, place: Place, workloads: &[Workload]) -> Result<Machine> {
    let mut machine = Machine::counting(base, place)?;
    let functions = CALLS.map(str::to_owned).into();
    machine.lab.call::<()>(Cmd::WatchCalls { functions })?;
    if workloads.iter().any(Workload::is_a_program) {
        programs::prepare(&mut machine)?;
    }
    Ok(machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            devices: vec!["sync".to_owned()],
            workloads: vec!["editor".to_owned()],
            ops: 10,
            smoke: false,
            check: false,
            plugin: "/dev/null".into(),
            root: None,
            out: std::env::temp_dir(),
        }
    }

    fn refusal(options: Options) -> String {
        format!("{:#}", options.resolve().unwrap_err())
    }

    #[test]
    fn names_are_known() {
        let chosen = options().resolve().unwrap();
        let names: Vec<_> = chosen.workloads().iter().map(Workload::name).collect();
        assert_eq!(names, ["editor"]);
        let mut wrong = options();
        wrong.workloads = vec!["editors".to_owned()];
        let said = refusal(wrong);
        assert!(said.starts_with("there is no workload editors;"), "{said}");
        // A device where there is nothing to compare.
        let mut wrong = options();
        wrong.devices = vec!["disk".to_owned()];
        let said = refusal(wrong);
        assert!(
            said.starts_with("there is no device disk; there are sync"),
            "{said}"
        );
        let mut wrong = options();
        wrong.ops = 0;
        assert!(refusal(wrong).starts_with("--ops"));
    }

    #[test]
    fn programs_want_their_image() {
        let mut all = options();
        all.workloads = Vec::new();
        assert_eq!(
            refusal(all.clone()),
            "git is run in an image: --root is needed"
        );
        all.root = Some("/dev/null".into());
        let all = all.resolve().unwrap();
        assert_eq!(all.workloads().len(), workload::ALL.len());
        assert_eq!(all.disks(), [PathBuf::from("/dev/null")]);
    }

    #[test]
    fn a_smoke_test_needs_none() {
        let mut smoke = options();
        smoke.smoke = true;
        smoke.devices = vec!["virtio_disk".to_owned()];
        let smoke = smoke.resolve().unwrap();
        assert_eq!(smoke.workloads().len(), SMOKE.len());
        assert_eq!(smoke.places().len(), 1);
    }
}
