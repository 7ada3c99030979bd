// SPDX-License-Identifier: GPL-2.0

//! A plugin for QEMU's TCG that writes down what the guest does to a range of its
//! memory: every store with its value, every write-back of a cache line and every
//! store fence of the machine, in order. Documentation/testing/crash-states.rst says
//! what for. Or it counts these, and instructions, between marks:
//! Documentation/performance.rst.
//!
//! [`insn`] tells which instructions matter, [`observer`] who is told of them,
//! [`recorder`] and [`counter`] keep their files, [`qemu`] is the plugin interface.
//! One CPU only.

#![cfg_attr(
    test,
    allow(
        dead_code,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod counter;
mod insn;
mod observer;
// Its symbols are QEMU's: a test program cannot be linked with them.
#[cfg(not(test))]
mod qemu;
mod recorder;
mod site;
