// SPDX-License-Identifier: GPL-2.0

//! The terminal while a screen is on it.

use super::screen::{Key, Look, Screen};
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Print, SetAttribute};
use crossterm::terminal::{
    disable_raw_mode, enable_raw_mode, size, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{execute, queue};
use std::io::{self, Write};
use std::time::Duration;

/// A terminal that shows keys and text as a screen, and is again what it was at the end.
pub struct Terminal(io::Stdout);

impl Terminal {
    /// Takes the terminal at standard output.
    pub fn open() -> io::Result<Self> {
        enable_raw_mode()?;
        // From here on the end gives it back.
        let mut terminal = Self(io::stdout());
        execute!(terminal.0, EnterAlternateScreen, Hide)?;
        Ok(terminal)
    }

    /// Shows `screen` in its present size.
    pub fn draw(&mut self, screen: &Screen) -> io::Result<()> {
        let (width, height) = size()?;
        for (line, row) in (0..height).zip(screen.rows(width.into(), height.into())) {
            let attribute = match row.look {
                Look::Plain => Attribute::Reset,
                Look::Bold => Attribute::Bold,
                Look::Reversed => Attribute::Reverse,
            };
            queue!(
                self.0,
                MoveTo(0, line),
                SetAttribute(attribute),
                Print(row.text),
                SetAttribute(Attribute::Reset),
            )?;
        }
        self.0.flush()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nowhere to say that this has failed.
        let _ = execute!(self.0, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Waits at most so long for a key.
pub fn pressed(left: Duration) -> io::Result<Option<Key>> {
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
