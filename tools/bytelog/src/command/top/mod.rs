// SPDX-License-Identifier: GPL-2.0

//! `bytelog top`: what happens on mounted filesystems, interval by interval. A screen
//! on a terminal, a line for each filesystem elsewhere and without the feature `top`.

pub mod line;
pub mod lines;
#[cfg(feature = "top")]
pub mod screen;
#[cfg(feature = "top")]
mod show;
#[cfg(feature = "top")]
mod terminal;
mod watch;

use crate::error::Result;
use crate::stats::sample::Selection;
use std::io::Write;
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

impl Args {
    /// Whether there are more intervals after `done`.
    fn goes_on(&self, done: u64) -> bool {
        self.count.is_none_or(|count| done < count)
    }
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
    #[cfg(feature = "top")]
    if !json && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        return show::on_screen(args, watch);
    }
    lines::in_lines(args, watch, json, out)
}
