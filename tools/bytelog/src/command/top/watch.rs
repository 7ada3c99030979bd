// SPDX-License-Identifier: GPL-2.0

//! Sample after sample, and what happened between two of them.

use crate::error::Result;
use crate::stats::interval::Interval;
use crate::stats::sample::{Sample, Selection};
use std::time::Instant;

/// The mounts that are watched.
pub struct Watch<'a> {
    which: &'a Selection,
    at: Instant,
    samples: Vec<Sample>,
}

impl<'a> Watch<'a> {
    /// Begins now.
    pub fn new(which: &'a Selection) -> Result<Self> {
        Ok(Self {
            which,
            samples: which.sample()?,
            at: Instant::now(),
        })
    }

    /// What has happened since the last call, or since the beginning.
    pub fn step(&mut self) -> Result<Vec<Interval>> {
        let samples = self.which.sample()?;
        let now = Instant::now();
        let time = now.saturating_duration_since(self.at);
        let intervals = samples.iter().map(|sample| {
            let earlier = self.samples.iter();
            let earlier = earlier.into_iter().find(|old| old.device == sample.device);
            Interval::new(earlier, sample, time)
        });
        let intervals = intervals.collect();
        (self.samples, self.at) = (samples, now);
        Ok(intervals)
    }
}
