// SPDX-License-Identifier: GPL-2.0

//! The stores, write-backs and fences of a running kernel, recorded by `tools/tcg`.
//!
//! [`layout`] knows the device; [`steps`] finds the places of a recording's addresses; [`convert`] makes the
//! trace of the area that the checker follows, with [`data`] for what the commits
//! describe; [`protocol`] looks at each commit by itself; [`cuts`] makes whole
//! devices for a mount.

pub mod convert;
pub mod cuts;
pub mod data;
pub mod layout;
pub mod protocol;
pub mod steps;

use crate::checker::{check as check_trace, Verdict, Violation};
use crate::images::Budget;
use crate::oracle::Check;
use crate::report::grouped;
use crate::text;
use anyhow::{Context, Result};
use bytelog::tlv::{Tag, Tlvs};
use bytelog_trace::session::{self, Image, Segment};
use convert::{Commit, Converted};
use fastrand::Rng;
use layout::Layout;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use steps::Step;

/// One commit of so many can have something else on the device between its call and
/// its return: writeback goes on by itself.
const DISTURBED: usize = 10;

/// What a recording of the module must have, so that the check means something.
#[derive(clap::Args, Clone, Debug)]
pub struct Demands {
    /// Everything random comes of this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// All images of a state if there are no more than this.
    #[arg(long, default_value_t = 256)]
    all: u64,
    /// Else this many.
    #[arg(long, default_value_t = 64)]
    samples: u32,
    /// Fails if fewer images than this were checked.
    #[arg(long, default_value_t = 0)]
    min_images: u64,
    /// Fails if there are fewer fast commits.
    #[arg(long, default_value_t = 0)]
    min_commits: u64,
    /// Whole devices to write, for a mount.
    #[arg(long, default_value_t = 0)]
    images: usize,
}

/// What became of a segment.
pub struct Checked {
    /// The module keeps its promises; a defective variant of it was caught.
    pub good: bool,
    /// For the reader.
    pub report: String,
    /// Images for a mount.
    pub images: Vec<Image>,
}

/// Checks one segment of the recording in `dir`.
pub fn check(dir: &Path, device: u64, segment: &Segment, demands: &Demands) -> Result<Checked> {
    let path = dir.join(session::EVENTS);
    let events = File::open(&path).with_context(|| path.display().to_string())?;
    let path = dir.join(&segment.base);
    let base = fs::read(&path).with_context(|| path.display().to_string())?;
    let name = segment.variant.as_deref();
    let steps = steps::read(BufReader::new(events), device, segment)
        .with_context(|| format!("segment {}", segment.number))?;
    let converted = convert::convert(segment, &base, &steps)?;
    let mut rng = Rng::with_seed(demands.seed);
    let budget = Budget {
        all: demands.all,
        samples: demands.samples,
    };
    let verdict = check_trace(&converted.trace, budget, &mut rng)?;
    let protocol = Protocol::of(&steps, &Layout::new(segment, &base), &converted.commits);
    if let Some(name) = name {
        let mut checked = caught(name, &verdict, &protocol);
        let acknowledged = |violation: &Violation| violation.broken.check == Check::Acknowledged;
        if verdict.violation.as_ref().is_some_and(acknowledged) && demands.images > 0 {
            checked
                .images
                .push(cuts::write_last(dir, segment, base, &steps)?);
        }
        return Ok(checked);
    }
    let saved = dir.join(format!("segment-{}.trace", segment.number));
    fs::write(&saved, text::write(&converted.trace)).context("the trace")?;
    let mut report = protocol.report.clone();
    summary(&mut report, &steps, &converted, &verdict, demands);
    let missing = demands.missing(&verdict, &converted);
    for what in missing.iter().chain(&protocol.faults) {
        let _ = writeln!(report, "FAILED: {what}");
    }
    let good = verdict.violation.is_none() && missing.is_empty() && protocol.faults.is_empty();
    let images = cuts::write(dir, segment, base, &steps, demands.images, &mut rng)?;
    Ok(Checked {
        good,
        report,
        images,
    })
}

impl Demands {
    /// What is asked for and is not there.
    fn missing(&self, verdict: &Verdict, converted: &Converted) -> Vec<String> {
        let (images, commits) = (verdict.counts.images, converted.commits.len() as u64);
        let mut missing = Vec::new();
        if verdict.violation.is_none() && images < self.min_images {
            missing.push(format!(
                "only {images} images, {} were asked for",
                self.min_images
            ));
        }
        if commits < self.min_commits {
            let wanted = self.min_commits;
            missing.push(format!(
                "only {commits} fast commits, {wanted} were asked for"
            ));
        }
        missing
    }
}

/// Whether a defective module was caught.
fn caught(name: &str, verdict: &Verdict, protocol: &Protocol) -> Checked {
    let by = match &verdict.violation {
        Some(v) => format!("caught by \"{}\": {}", v.broken.check, v.broken.what),
        None => "NOT CAUGHT".into(),
    };
    let seen = protocol.faults.first();
    let seen = seen.and_then(|fault| fault.lines().next());
    Checked {
        good: verdict.violation.is_some(),
        report: format!(
            "{name:<32} {by}\n{:<32} {} images; by itself: {}",
            "",
            grouped(verdict.counts.images),
            seen.unwrap_or("nothing wrong"),
        ),
        images: Vec::new(),
    }
}

/// What each commit did, by itself.
struct Protocol {
    /// One commit of each kind, told, and how many there are.
    report: String,
    /// What is wrong.
    faults: Vec<String>,
}

impl Protocol {
    fn of(steps: &[Step], layout: &Layout, commits: &[Commit]) -> Self {
        let mut faults: Vec<String> = protocol::takeover_fault(steps, layout)
            .into_iter()
            .map(|fault| format!("take-over of the area: {fault}"))
            .collect();
        let mut report = String::new();
        if faults.is_empty() {
            report += "take-over of the area: the opener zeroed, written back and fenced before anything else\n";
        }
        let (mut told, mut disturbed) = (BTreeMap::new(), 0);
        for commit in commits {
            let shape = protocol::shape(between(steps, commit.fsync), layout);
            if let Some(fault) = shape.fault(commit) {
                faults.push(format!("{fault}\n{}", shape.tell(commit)));
            } else if shape.elsewhere > 0 {
                disturbed += 1;
            } else {
                let kind = (shape.fences.len(), commit.ordinal != 1);
                told.entry(kind).or_insert_with(|| shape.tell(commit));
            }
        }
        for text in told.values() {
            report += text;
        }
        let all = commits.len();
        if disturbed > all / DISTURBED {
            faults.push(format!(
                "{disturbed} of {all} fast commits with other stores, write-backs or fences"
            ));
        }
        let _ = writeln!(
            report,
            "{all} fast commits, {} of them not as the protocol has it: stores to the log, write-back of \
             exactly those lines, one fence (one more before the seal with file data); and nothing else \
             on the device, but for {disturbed}",
            faults.len().min(all),
        );
        Self { report, faults }
    }
}

/// The steps of an fsync.
fn between(steps: &[Step], fsync: u64) -> &[Step] {
    let at = |mark: Step| steps.iter().position(|step| *step == mark);
    match (at(Step::Sync(fsync)), at(Step::Synced(fsync))) {
        (Some(start), Some(end)) => steps.get(start..end).unwrap_or_default(),
        _ => &[],
    }
}

/// The figures.
fn summary(
    report: &mut String,
    steps: &[Step],
    converted: &Converted,
    verdict: &Verdict,
    demands: &Demands,
) {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for commit in &converted.commits {
        let tlvs = Tlvs::new(&commit.payload, commit.payload.len());
        for tlv in tlvs.filter_map(|tlv| tlv.ok()) {
            let tag: Tag = tlv.tag();
            *kinds.entry(tag.to_string()).or_default() += 1;
        }
    }
    let kinds: Vec<_> = kinds
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    let counts = &verdict.counts;
    // Writing to a string does not fail.
    let _ = writeln!(
        report,
        "seed {}: {} steps, {} fast commits ({}), {} full commits\n\
         {} images of {} states, {} of these whole (up to {}, else {}), the largest has 2^{:.0}; \
         {} logs damaged on purpose\n\
         commit in flight: there in {}, not there in {}",
        demands.seed,
        grouped(steps.len() as u64),
        converted.commits.len(),
        kinds.join(", "),
        converted.full,
        grouped(counts.images),
        grouped(counts.states),
        grouped(counts.whole_states),
        demands.all,
        demands.samples,
        counts.largest,
        grouped(counts.damaged),
        grouped(counts.kept),
        grouped(counts.lost),
    );
    match &verdict.violation {
        None => *report += "0 violations\n",
        Some(v) => {
            let _ = writeln!(
                report,
                "VIOLATION of \"{}\" behind event {} of {}: {}",
                v.broken.check,
                v.event,
                converted.trace.events.len(),
                v.broken.what
            );
        }
    }
}
