// SPDX-License-Identifier: GPL-2.0

//! Interval after interval, shown in lines.

use super::line::{line, HEADER};
use super::watch::Watch;
use super::Args;
use crate::error::Result;
use crate::report::{versioned, Name};
use crate::stats::interval::Interval;
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};

/// What `bytelog top` prints on a line.
#[derive(Serialize, JsonSchema)]
pub struct Intervals<'a> {
    /// What happened since the line before, on each filesystem.
    pub intervals: &'a [Interval],
}

/// A header and lines, or a JSON document on a line of its own for each interval.
pub fn in_lines(
    args: &Args,
    mut watch: Watch<'_>,
    json: bool,
    out: &mut dyn Write,
) -> Result<io::Result<()>> {
    let mut write = |text: &str| writeln!(out, "{text}").and_then(|()| out.flush());
    if !json {
        if let Err(error) = write(HEADER) {
            return Ok(Err(error));
        }
    }
    let mut done = 0;
    while args.goes_on(done) {
        std::thread::sleep(args.interval);
        let intervals = watch.step()?;
        let written = match json {
            true => serde_json::to_string(&versioned(
                Name::Top,
                Intervals {
                    intervals: &intervals,
                },
            ))
            .map_err(io::Error::from)
            .and_then(|text| write(&text)),
            false => intervals
                .iter()
                .try_for_each(|interval| write(&line(interval))),
        };
        if written.is_err() {
            return Ok(written);
        }
        done += 1;
    }
    Ok(Ok(()))
}
