// SPDX-License-Identifier: GPL-2.0

//! `bytelog-crash`: see Documentation/testing/crash-states.rst.

use anyhow::{bail, Context, Result};
use bytelog_crash::checker::check;
use bytelog_crash::driver::record;
use bytelog_crash::explore::{self, Found, Plan, Report, DEPTH, LEVELS};
use bytelog_crash::kernel::{self, Demands};
use bytelog_crash::recorder::Fault;
use bytelog_crash::report::{grouped, table, violation};
use bytelog_crash::text;
use bytelog_crash::workload::Workload;
use bytelog_trace::session::{self, Session};
use clap::builder::TypedValueParser;
use clap::{Args, Parser, Subcommand};
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Checks every state that a power cut can leave of a ByteLog log.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks the format crate's writer and reader.
    Run {
        #[command(flatten)]
        common: Common,
        /// Only this workload, as named by an earlier run.
        #[arg(long)]
        only: Option<Workload>,
        /// Fails if fewer images than this were checked.
        #[arg(long, default_value_t = 0)]
        min_images: u64,
        /// Where the trace of a violation is written.
        #[arg(long)]
        save: Option<PathBuf>,
    },
    /// Checks that each deliberate defect of the protocol is caught.
    Faults {
        #[command(flatten)]
        common: Common,
    },
    /// Checks that this program, built against a defective format crate, catches it.
    /// Prints the check that does.
    Caught {
        #[command(flatten)]
        common: Common,
        /// What the defect is called.
        name: String,
    },
    /// Checks a recorded trace.
    Trace {
        /// The trace.
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Checks what a kernel was recorded to do.
    Kernel {
        /// Directory of the recording.
        dir: PathBuf,
        #[command(flatten)]
        demands: Demands,
    },
    /// Prints the trace of a workload.
    Record {
        /// As a violation names it.
        workload: Workload,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args, Clone, Copy)]
struct Common {
    /// Everything random comes of this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// All sequences of up to so many actions.
    #[arg(long, default_value_t = DEPTH, value_parser = clap::value_parser!(u8).range(0..=DEPTH as i64)
        .map(usize::from))]
    depth: usize,
    /// Random workloads after them.
    #[arg(long, default_value_t = 2000)]
    random: usize,
    /// Threads.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
}

impl Common {
    fn plan(self) -> Plan {
        Plan {
            seed: self.seed,
            depth: self.depth,
            random: self.random,
            threads: self.threads,
            fault: None,
            brief: false,
        }
    }
}

/// A line, or several; an error where nobody listens any more.
fn say(text: impl Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").context("standard output")
}

/// Does `plan`; shows the number of images meanwhile if somebody is looking.
fn explore(plan: &Plan) -> Result<(Report, Duration)> {
    let (images, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let start = Instant::now();
    let report = std::thread::scope(|scope| {
        if std::io::stderr().is_terminal() {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    eprint!("\r{} images", grouped(images.load(Ordering::Relaxed)));
                    std::thread::sleep(Duration::from_millis(200));
                }
                eprint!("\r\x1b[K");
            });
        }
        let report = explore::run(plan, &images);
        done.store(true, Ordering::Relaxed);
        report
    })?;
    Ok((report, start.elapsed()))
}

fn run(
    common: Common,
    only: Option<Workload>,
    min_images: u64,
    save: Option<PathBuf>,
) -> Result<bool> {
    say(format_args!("seed {}", common.seed))?;
    let found = match only {
        Some(workload) => {
            let (trace, verdict) = common.plan().one(&workload)?;
            say(format_args!("{} images", grouped(verdict.counts.images)))?;
            verdict.violation.map(|violation| Found {
                workload,
                trace,
                violation,
            })
        }
        None => {
            let (report, time) = explore(&common.plan())?;
            say(table(&report, time).trim_end())?;
            let images = report.total().1.images;
            if report.found.is_none() && images < min_images {
                bail!("only {images} images, {min_images} were asked for");
            }
            report.found
        }
    };
    let Some(found) = found else {
        say("0 violations")?;
        return Ok(true);
    };
    say(violation(&found, common.seed).trim_end())?;
    if let Some(path) = save {
        std::fs::write(&path, text::write(&found.trace))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(false)
}

/// One line for a defect; whether it was caught.
fn caught(common: Common, name: &str, fault: Option<Fault>) -> Result<bool> {
    let plan = Plan {
        fault,
        brief: true,
        ..common.plan()
    };
    let (report, time) = explore(&plan)?;
    let images = grouped(report.total().1.images);
    let seconds = time.as_secs_f64();
    match &report.found {
        Some(found) => say(format_args!(
            "{name:<32} caught by \"{}\": {}\n{:<32} {}, {images} images, {seconds:.1} s",
            found.violation.broken.check, found.violation.broken.what, "", found.workload,
        ))?,
        None => say(format_args!(
            "{name:<32} NOT CAUGHT, {images} images, {seconds:.1} s"
        ))?,
    }
    Ok(report.found.is_some())
}

fn faults(common: Common) -> Result<bool> {
    let mut missed = 0;
    for fault in Fault::ALL {
        missed += usize::from(!caught(common, &fault.to_string(), Some(fault))?);
    }
    let all = Fault::ALL.len();
    say(format_args!(
        "{} of {all} defects of the protocol caught",
        all - missed
    ))?;
    Ok(missed == 0)
}

fn trace(file: PathBuf, common: Common) -> Result<bool> {
    let name = file.display();
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {name}"))?;
    let mut trace = text::parse(&text).with_context(|| format!("parsing {name}"))?;
    trace.complete()?;
    let mut rng = fastrand::Rng::with_seed(common.seed);
    let verdict = check(&trace, LEVELS[DEPTH].budget, &mut rng)?;
    say(format_args!(
        "{} events, {} commits, {} states, {} images",
        trace.events.len(),
        verdict.counts.commits,
        verdict.counts.states,
        grouped(verdict.counts.images)
    ))?;
    match verdict.violation {
        None => say("0 violations")?,
        Some(ref v) => say(format_args!(
            "VIOLATION of \"{}\" behind event {}: {}",
            v.broken.check, v.event, v.broken.what
        ))?,
    }
    Ok(verdict.violation.is_none())
}

fn kernel(dir: &Path, demands: &Demands) -> Result<bool> {
    let session: Session = session::read(dir, session::SESSION)?;
    let (mut good, mut images) = (true, Vec::new());
    for segment in &session.segments {
        let checked = kernel::check(dir, session.device, segment, demands)?;
        say(checked.report.trim_end())?;
        good &= checked.good;
        images.extend(checked.images);
    }
    session::write(dir, session::IMAGES, &images)?;
    Ok(good)
}

fn main() -> Result<ExitCode> {
    let good = match Cli::parse().command {
        Command::Run {
            common,
            only,
            min_images,
            save,
        } => run(common, only, min_images, save)?,
        Command::Faults { common } => faults(common)?,
        Command::Caught { common, name } => caught(common, &name, None)?,
        Command::Trace { file, common } => trace(file, common)?,
        Command::Kernel { dir, demands } => kernel(&dir, &demands)?,
        Command::Record { workload, common } => {
            let actions = workload.actions.len();
            print!(
                "{}",
                text::write(&record(&workload, None, common.seed, actions)?)
            );
            true
        }
    };
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
