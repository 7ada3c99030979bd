// SPDX-License-Identifier: GPL-2.0

//! A trace, event by event: after each one that changes what a power cut could
//! leave, or what is owed then, the images are built and read.

use crate::damage;
use crate::images::{Budget, Coverage, State};
use crate::memory::Memory;
use crate::oracle::{Broken, Oracle, Outcome};
use crate::trace::{Event, Trace};
use anyhow::{Context, Result};
use fastrand::Rng;

/// What has been looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Images read, twice each.
    pub images: u64,
    /// States that they are of.
    pub states: u64,
    /// States of which every image was read, and those images.
    pub whole_states: u64,
    /// See [`whole_states`](Self::whole_states).
    pub whole_images: u64,
    /// Largest state, images as a power of two.
    pub largest: f64,
    /// Images with the commit in flight, and without it.
    pub kept: u64,
    /// See [`kept`](Self::kept).
    pub lost: u64,
    /// Acknowledged logs that were damaged on purpose.
    pub damaged: u64,
    /// Commits acknowledged, aborted or failed ones not counted.
    pub commits: u64,
}

impl Counts {
    /// Adds what was looked at elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.images += other.images;
        self.states += other.states;
        self.whole_states += other.whole_states;
        self.whole_images += other.whole_images;
        self.largest = self.largest.max(other.largest);
        self.kept += other.kept;
        self.lost += other.lost;
        self.damaged += other.damaged;
        self.commits += other.commits;
    }
}

/// A promise that is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Number of the event it comes behind.
    pub event: usize,
    /// Which promise.
    pub broken: Broken,
    /// The image that shows it; none where the event itself does.
    pub image: Option<Vec<u8>>,
}

/// The result for a trace.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What was looked at, up to the violation.
    pub counts: Counts,
    /// The first violation.
    pub violation: Option<Violation>,
}

/// Whether this event changes what a power cut could leave, or what is owed then.
/// Write-backs and marks change neither by themselves.
fn matters(event: &Event) -> bool {
    matches!(
        event,
        Event::Tid(_)
            | Event::Store { .. }
            | Event::Stream { .. }
            | Event::Fence
            | Event::Flush
            | Event::Ack
    )
}

/// Whether a store follows that leaves everything possible that is possible now.
fn in_run(trace: &Trace, number: usize) -> bool {
    let stores = |number: usize| {
        let event = trace.events.get(number);
        matches!(event, Some(Event::Store { .. } | Event::Stream { .. }))
    };
    trace.runs && stores(number) && stores(number + 1)
}

/// Checks `trace`. An error says that it makes no sense.
pub fn check(trace: &Trace, budget: Budget, rng: &mut Rng) -> Result<Verdict> {
    let mut memory = Memory::new(trace.device, trace.image.clone());
    let mut oracle = Oracle::new(trace.uuid, trace.block_size);
    let mut verdict = Verdict::default();
    for (number, event) in trace.events.iter().enumerate() {
        let noted = memory
            .apply(event)
            .and_then(|()| oracle.note(event, &memory))
            .with_context(|| format!("event {number}"))?;
        if number < trace.check_from {
            continue;
        }
        let result = noted.map_err(|broken| (broken, None)).and_then(|()| {
            if oracle.is_watching() && matters(event) && !in_run(trace, number) {
                cut_off(&memory, &mut oracle, budget, rng, &mut verdict.counts)?;
            }
            if *event == Event::Ack {
                verdict.counts.commits += 1;
                damage::check(
                    &memory,
                    &mut oracle,
                    trace,
                    rng,
                    &mut verdict.counts.damaged,
                )?;
            }
            Ok(())
        });
        if let Err((broken, image)) = result {
            verdict.violation = Some(Violation {
                event: number,
                broken,
                image,
            });
            break;
        }
    }
    Ok(verdict)
}

/// A promise and the image that shows that it is not kept.
pub type Shown = (Broken, Option<Vec<u8>>);

/// A power cut in the present state.
fn cut_off(
    memory: &Memory,
    oracle: &mut Oracle,
    budget: Budget,
    rng: &mut Rng,
    counts: &mut Counts,
) -> Result<(), Shown> {
    let state = State::of(memory);
    let before = counts.images;
    let mut image = memory.durable().to_vec();
    let coverage = state.each(&mut image, budget, rng, |image| {
        counts.images += 1;
        match oracle.check(image, memory) {
            Ok(Outcome::Kept) => counts.kept += 1,
            Ok(Outcome::Lost) => counts.lost += 1,
            Ok(Outcome::Settled) => (),
            Err(broken) => return Err((broken, Some(image.to_vec()))),
        }
        Ok(())
    })?;
    counts.states += 1;
    if coverage == Coverage::All {
        counts.whole_states += 1;
        counts.whole_images += counts.images - before;
    }
    counts.largest = counts.largest.max(state.log2());
    Ok(())
}
