// SPDX-License-Identifier: GPL-2.0
//! Marks in the trace of a recorded machine.

use anyhow::Result;
use bytelog_trace::mark::{Kind, CODE};
use std::arch::asm;

/// Leaves a mark, if somebody records; else does nothing.
pub fn mark(kind: Kind, number: u64) {
    // SAFETY: A no-op. The compiler may not know: nothing is to be moved across it.
    unsafe {
        asm!(
            ".8byte {code}",
            code = const u64::from_le_bytes(CODE),
            in("rdi") kind as u64,
            in("rsi") number,
            options(nostack, preserves_flags),
        );
    }
}

/// Starts the recording of a segment, or stops it.
pub fn segment(number: Option<u64>) -> Result<()> {
    match number {
        Some(number) => mark(Kind::Start, number),
        None => mark(Kind::Stop, 0),
    }
    Ok(())
}
