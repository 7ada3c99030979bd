// SPDX-License-Identifier: GPL-2.0
//! Damaged logs, logs that mean harm, and logs that change while they are read, through
//! a real mount: never a crash, a hang or a warning, never an operation that was not
//! acknowledged in order.

mod changing;
mod corrupted;
mod logs;
mod victim;

use super::Test;

pub const TESTS: &[Test] = &[
    Test {
        name: "fifty-corrupted-logs",
        run: corrupted::corrupted,
    },
    Test {
        name: "hostile-logs",
        run: logs::hostile,
    },
    Test {
        name: "log-changes-while-it-is-read",
        run: changing::changing,
    },
];
