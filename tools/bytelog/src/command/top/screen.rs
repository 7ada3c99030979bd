// SPDX-License-Identifier: GPL-2.0

//! The screen: the mounts in a table, and below it more about the chosen one.

use super::line::{columns, reasons, COLUMNS};
use crate::command::stat::{limit, time};
use crate::stats::interval::Interval;
use std::time::Duration;

/// Lines of the table without those of the mounts: title, header, and one that is free.
const AROUND: usize = 3;

/// Columns of the list of reasons.
const REASONS: usize = 44;

/// Columns in front of a bar, and those of the number behind it.
const LABEL: usize = 12;
const NUMBER: usize = 10;

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

/// How a row is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As text.
    Plain,
    /// As a title.
    Bold,
    /// As the mount that is chosen.
    Reversed,
}

/// A row of the screen: its text, as wide as the screen.
pub struct Row {
    /// The text.
    pub text: String,
    /// How it is shown.
    pub look: Look,
}

/// What is shown.
pub struct Screen {
    interval: Duration,
    intervals: Option<Vec<Interval>>,
    chosen: usize,
}

impl Screen {
    /// A screen before the first interval of that length has ended.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            intervals: None,
            chosen: 0,
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
        let at = match key {
            Some(Key::Up) => self.chosen.saturating_sub(1),
            Some(Key::Down) => self.chosen.saturating_add(1),
            Some(Key::Quit) | None => self.chosen,
        };
        self.chosen = at.min(self.mounts().len().saturating_sub(1));
    }

    /// The rows of a screen of `width` columns and `height` lines.
    pub fn rows(&self, width: usize, height: usize) -> Vec<Row> {
        let mut rows = self.table(width, height);
        let below = match self.mounts().get(self.chosen) {
            Some(chosen) => beside(chosen, width),
            None => vec![plain(match self.intervals {
                None => "the first interval has not ended",
                Some(_) => "no filesystem is mounted with ByteLog",
            })],
        };
        rows.extend(below);
        rows.resize_with(height, || plain(""));
        for row in &mut rows {
            row.text = fit(&row.text, width);
        }
        rows
    }

    /// The table, with the part of the mounts that has the chosen one.
    fn table(&self, width: usize, height: usize) -> Vec<Row> {
        let nanoseconds = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        let title = format!(" ByteLog, in {} ", time(nanoseconds));
        let keys = " arrows choose, q ends ";
        let room = width.saturating_sub(title.len());
        let mut rows = vec![
            bold(format!("{title}{keys:>room$}")),
            bold(columns(&COLUMNS.map(str::to_owned))),
        ];
        let shown = height.saturating_sub(AROUND).max(1);
        let first = (self.chosen + 1).saturating_sub(shown);
        let mounts = self.mounts().iter().enumerate().skip(first).take(shown);
        rows.extend(mounts.map(|(number, mount)| Row {
            text: fit(&columns(&super::line::cells(mount)), width),
            look: match number == self.chosen {
                true => Look::Reversed,
                false => Look::Plain,
            },
        }));
        rows.push(plain(""));
        rows
    }
}

fn plain(text: &str) -> Row {
    let look = Look::Plain;
    Row {
        text: text.to_owned(),
        look,
    }
}

fn bold(text: String) -> Row {
    let look = Look::Bold;
    Row { text, look }
}

/// `text` in exactly `width` columns.
fn fit(text: &str, width: usize) -> String {
    // What the kernel names is ASCII; of other names one character is one column here.
    let cut: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(width)
        .collect();
    format!("{cut:<width$}")
}

/// The latency of the fast commits as bars, and beside it the log and the reasons.
fn beside(chosen: &Interval, width: usize) -> Vec<Row> {
    let left_width = width.saturating_sub(REASONS);
    let left = latency(chosen, left_width);
    let right = why(chosen);
    (0..left.len().max(right.len()))
        .map(|number| {
            let part = |lines: &[String]| lines.get(number).cloned().unwrap_or_default();
            let text = format!("{}{}", fit(&part(&left), left_width), part(&right));
            match number {
                0 => bold(text),
                _ => plain(&text),
            }
        })
        .collect()
}

fn latency(chosen: &Interval, width: usize) -> Vec<String> {
    let histogram = &chosen.commit_latency_ns;
    let largest = histogram.buckets.iter().map(|bucket| bucket.count).max();
    let room = width.saturating_sub(LABEL + NUMBER + 4) as u64;
    let mut lines = vec![format!(" {}: fast commits by latency ", chosen.device)];
    lines.extend(histogram.occupied().iter().map(|bucket| {
        let cells = bucket.count.saturating_mul(room);
        let cells = cells.div_ceil(largest.unwrap_or(1).max(1));
        let bar = "#".repeat(usize::try_from(cells).unwrap_or(0));
        format!("{:>LABEL$} {bar} {}", limit(*bucket), bucket.count)
    }));
    lines
}

fn why(chosen: &Interval) -> Vec<String> {
    let log = &chosen.log;
    let mut lines = vec![
        " Log and full commits ".to_owned(),
        match &chosen.mounted_on {
            Some(point) => format!("mounted on {point}"),
            None => "mounted out of sight".to_owned(),
        },
        format!("log {} of {} bytes", log.log_used, log.log_capacity),
        format!("at most {} %", log.highest()),
        String::new(),
    ];
    let reasons = reasons(chosen);
    if reasons.is_empty() {
        lines.push("no commit was given up or ruled out".to_owned());
    }
    let reasons = reasons.into_iter();
    lines.extend(reasons.map(|(reason, times)| format!("{times:>8}  {reason}")));
    lines
}
