// SPDX-License-Identifier: GPL-2.0

//! Interval after interval, shown on the terminal's screen.

use super::screen::{Key, Screen};
use super::terminal::{pressed, Terminal};
use super::watch::Watch;
use super::Args;
use crate::error::Result;
use std::io;
use std::time::Instant;

/// A screen, until somebody asks for the end.
pub fn on_screen(args: &Args, watch: Watch<'_>) -> Result<io::Result<()>> {
    match Terminal::open() {
        Ok(mut terminal) => show(args, watch, &mut terminal),
        Err(error) => Ok(Err(error)),
    }
}

fn show(args: &Args, mut watch: Watch<'_>, terminal: &mut Terminal) -> Result<io::Result<()>> {
    let mut screen = Screen::new(args.interval);
    let mut done = 0;
    loop {
        if let Err(error) = terminal.draw(&screen) {
            return Ok(Err(error));
        }
        if !args.goes_on(done) {
            return Ok(Ok(()));
        }
        let end = Instant::now() + args.interval;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match pressed(left) {
                Ok(Some(Key::Quit)) => return Ok(Ok(())),
                Ok(key) => screen.press(key),
                Err(error) => return Ok(Err(error)),
            }
            if left.is_zero() {
                break;
            }
            if let Err(error) = terminal.draw(&screen) {
                return Ok(Err(error));
            }
        }
        screen.show(watch.step()?);
        done += 1;
    }
}
