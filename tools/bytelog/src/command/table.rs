// SPDX-License-Identifier: GPL-2.0

//! Names and values in two columns.

use std::fmt::Display;

/// Width of the first column.
const NAMES: usize = 22;

/// Lines of a name and a value.
#[derive(Default)]
pub(super) struct Table(String);

impl Table {
    pub(super) fn row(&mut self, name: &str, value: impl Display) {
        self.0.push_str(&format!("{name:<NAMES$}{value}\n"));
    }

    pub(super) fn text(self) -> String {
        self.0
    }
}

/// "1 record", "2 records".
pub(super) fn count(number: impl Into<u64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

/// `yes` or `no`.
pub(super) fn yes(value: bool) -> &'static str {
    match value {
        true => "yes",
        false => "no",
    }
}
