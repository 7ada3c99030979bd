// SPDX-License-Identifier: GPL-2.0

//! `bytelog top`: what happens on mounted filesystems, interval by interval. A screen
//! on a terminal, a line for each filesystem elsewhere.

pub mod line;
mod loops;
pub mod screen;
mod watch;

use crate::error::Result;
use crate::stats::sample::Selection;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// What to watch, and how long.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    which: Selection,
    /// Length of an interval.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// End after so many intervals.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Shorter ones would measure this command.
const SHORTEST: f64 = 0.01;
const LONGEST: f64 = 86400.0;

fn interval(text: &str) -> std::result::Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (SHORTEST..=LONGEST).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!("{SHORTEST} to {LONGEST} seconds are possible")),
    }
}

/// Watches until the end is reached or asked for.
pub fn top(args: &Args, json: bool, out: &mut dyn Write) -> Result<std::io::Result<()>> {
    let watch = watch::Watch::new(&args.which)?;
    match (json, std::io::stdout().is_terminal()) {
        (false, true) => loops::on_screen(args, watch),
        (json, _) => loops::in_lines(args, watch, json, out),
    }
}
