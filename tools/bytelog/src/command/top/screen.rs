// SPDX-License-Identifier: GPL-2.0

//! The screen: the mounts in a table, and below it more about the chosen one.

use super::line::{cells, reasons, COLUMNS, WIDTHS};
use crate::command::stat::{limit, time};
use crate::stats::interval::Interval;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Paragraph, Row, Table, TableState};
use ratatui::Frame;
use std::time::Duration;

/// Lines of the table without those of the mounts: title, header, and one that is free.
const AROUND: u16 = 3;

/// Columns of the list of reasons.
const REASONS: u16 = 44;

/// Columns in front of a bar, and those of the number behind it.
const LABEL: u16 = 12;
const NUMBER: u16 = 10;

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The mount above.
    Up,
    /// The mount below.
    Down,
    /// The end.
    Quit,
}

/// What is shown.
pub struct Screen {
    interval: Duration,
    intervals: Option<Vec<Interval>>,
    table: TableState,
}

impl Screen {
    /// A screen before the first interval of that length has ended.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            intervals: None,
            table: TableState::new().with_selected(0),
        }
    }

    /// Another interval.
    pub fn show(&mut self, intervals: Vec<Interval>) {
        self.intervals = Some(intervals);
        self.press(None);
    }

    fn mounts(&self) -> &[Interval] {
        self.intervals.as_deref().unwrap_or_default()
    }

    /// Moves the choice, and keeps it on a mount.
    pub fn press(&mut self, key: Option<Key>) {
        let at = self.table.selected().unwrap_or(0);
        let at = match key {
            Some(Key::Up) => at.saturating_sub(1),
            Some(Key::Down) => at.saturating_add(1),
            Some(Key::Quit) | None => at,
        };
        let last = self.mounts().len().saturating_sub(1);
        self.table.select(Some(at.min(last)));
    }

    /// Draws it.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let rows = u16::try_from(self.mounts().len()).unwrap_or(u16::MAX);
        let heights = [
            Constraint::Max(rows.saturating_add(AROUND)),
            Constraint::Min(0),
        ];
        let [above, below] = Layout::vertical(heights).areas(frame.area());
        self.draw_table(frame, above);
        let widths = [Constraint::Min(0), Constraint::Max(REASONS)];
        let [left, right] = Layout::horizontal(widths).areas(below);
        let chosen = self.table.selected();
        let Some(chosen) = chosen.and_then(|chosen| self.mounts().get(chosen)) else {
            let text = match self.intervals {
                None => "the first interval has not ended",
                Some(_) => "no filesystem is mounted with ByteLog",
            };
            frame.render_widget(Paragraph::new(text), below);
            return;
        };
        frame.render_widget(latency(chosen, left), left);
        frame.render_widget(why(chosen), right);
    }

    fn draw_table(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let title = format!(
            " ByteLog, in {} ",
            time(u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX))
        );
        let block = Block::new()
            .title(Line::from(title).bold())
            .title(Line::from(" arrows choose, q ends ").right_aligned());
        let aligned = |number, text: String| match number {
            0 => Text::from(text),
            _ => Text::from(text).alignment(Alignment::Right),
        };
        let row = |texts: [String; 9]| {
            let cells = texts.into_iter().enumerate();
            Row::new(cells.map(|(number, text)| aligned(number, text)))
        };
        let rows: Vec<_> = self
            .mounts()
            .iter()
            .map(|mount| row(cells(mount)))
            .collect();
        let table = Table::new(rows, WIDTHS)
            .header(row(COLUMNS.map(str::to_owned)).bold())
            .row_highlight_style(Style::new().reversed())
            .block(block);
        frame.render_stateful_widget(table, area, &mut self.table);
    }
}

/// The latency of the fast commits as bars.
fn latency(chosen: &Interval, area: Rect) -> Paragraph<'static> {
    let histogram = &chosen.commit_latency_ns;
    let largest = histogram.buckets.iter().map(|bucket| bucket.count).max();
    let room = u64::from(area.width.saturating_sub(LABEL + NUMBER + 4));
    let lines = histogram.occupied().iter().map(|bucket| {
        let cells = bucket.count.saturating_mul(room);
        let cells = cells.div_ceil(largest.unwrap_or(1).max(1));
        let bar = "#".repeat(usize::try_from(cells).unwrap_or(0));
        let label = usize::from(LABEL);
        Line::from(format!("{:>label$} {bar} {}", limit(*bucket), bucket.count))
    });
    let title = format!(" {}: fast commits by latency ", chosen.device);
    Paragraph::new(lines.collect::<Vec<_>>()).block(Block::new().title(Line::from(title).bold()))
}

/// The log, and why commits were full ones.
fn why(chosen: &Interval) -> Paragraph<'static> {
    let log = &chosen.log;
    let mounted = chosen.mounted_on.as_deref();
    let mut lines = vec![
        Line::from(match mounted {
            Some(point) => format!("mounted on {point}"),
            None => "mounted out of sight".to_owned(),
        }),
        Line::from(format!(
            "log {} of {} bytes",
            log.log_used, log.log_capacity
        )),
        Line::from(format!("at most {} %", log.highest())),
        Line::default(),
    ];
    let reasons = reasons(chosen);
    if reasons.is_empty() {
        lines.push(Line::from("no commit was given up or ruled out"));
    }
    lines.extend(
        reasons
            .into_iter()
            .map(|(reason, times)| Line::from(format!("{times:>8}  {reason}"))),
    );
    Paragraph::new(lines).block(Block::new().title(Line::from(" Log and full commits ").bold()))
}
