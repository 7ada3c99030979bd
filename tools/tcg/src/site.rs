// SPDX-License-Identifier: GPL-2.0

//! Places in guest code that call back when they are executed.

use crate::insn::{Insn, Line};

/// An instruction that is called back when it is executed.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Its address.
    pub pc: u64,
    /// Instructions of its translated block from this one on.
    pub left: u64,
    /// What it does.
    pub what: What,
}

/// What such an instruction does.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// Writes a cache line back.
    WriteBack(Line),
    /// Orders write-backs.
    Fence,
    /// Marks a place in the traced program.
    Mark,
}

impl Site {
    /// The instruction at `pc`, if it is one of those.
    pub fn new(insn: Insn, pc: u64, left: u64) -> Option<Self> {
        let what = match insn {
            Insn::WriteBack(line) => What::WriteBack(line),
            Insn::Fence => What::Fence,
            Insn::Mark => What::Mark,
            Insn::NonTemporal | Insn::Other => return None,
        };
        Some(Self { pc, left, what })
    }
}
