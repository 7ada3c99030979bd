// SPDX-License-Identifier: GPL-2.0
//! Damaged logs, and logs that mean harm, through a real mount: never a crash, a hang or
//! a warning, never an operation that was not acknowledged in order.

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
];
