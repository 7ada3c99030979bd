// SPDX-License-Identifier: GPL-2.0

//! Interval after interval, shown in lines or on the terminal's screen.

use super::line::{line, HEADER};
use super::screen::{Key, Screen};
use super::watch::Watch;
use super::Args;
use crate::error::Result;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::DefaultTerminal;
use std::io::{self, Write};
use std::time::Instant;

impl Args {
    /// Whether there are more intervals after `done`.
    fn goes_on(&self, done: u64) -> bool {
        self.count.is_none_or(|count| done < count)
    }
}

/// A header and lines, or an array in JSON on a line of its own for each interval.
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
            true => serde_json::to_string(&intervals)
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

/// A screen, until somebody asks for the end.
pub fn on_screen(args: &Args, watch: Watch<'_>) -> Result<io::Result<()>> {
    let mut terminal = match ratatui::try_init() {
        Ok(terminal) => terminal,
        Err(error) => return Ok(Err(error)),
    };
    let shown = show(args, watch, &mut terminal);
    ratatui::restore();
    shown
}

fn show(
    args: &Args,
    mut watch: Watch<'_>,
    terminal: &mut DefaultTerminal,
) -> Result<io::Result<()>> {
    let mut screen = Screen::new(args.interval);
    let mut done = 0;
    loop {
        if let Err(error) = terminal.draw(|frame| screen.draw(frame)) {
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
            if let Err(error) = terminal.draw(|frame| screen.draw(frame)) {
                return Ok(Err(error));
            }
        }
        screen.show(watch.step()?);
        done += 1;
    }
}

/// Waits at most so long for a key.
fn pressed(left: std::time::Duration) -> io::Result<Option<Key>> {
    if !event::poll(left)? {
        return Ok(None);
    }
    let Event::Key(KeyEvent {
        code,
        modifiers,
        kind: KeyEventKind::Press,
        ..
    }) = event::read()?
    else {
        return Ok(None);
    };
    Ok(match code {
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Down),
        _ => None,
    })
}
