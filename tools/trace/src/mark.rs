// SPDX-License-Identifier: GPL-2.0

//! Marks: how the program that is traced tells the recorder what it is about to do
//! or has done.
//!
//! A mark is a no-op of eight bytes that no compiler makes, `nopl MAGIC(%rax,%rax)`.
//! The recorder finds the kind in `rdi` and a number in `rsi`. To a machine that is
//! not traced it is a no-op; nothing is stored, no system call is made.

/// The instruction.
pub const CODE: [u8; 8] = [0x0f, 0x1f, 0x84, 0x00, b'B', b'L', b'O', b'G'];

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Recording starts; the number is that of the segment.
    Start = 1,
    /// The fsync of this number is called next.
    Sync = 2,
    /// It has returned 0.
    Synced = 3,
    /// Recording stops; what has been recorded is in the file.
    Stop = 4,
    /// From here on each execution of the kernel's function at this address is a call
    /// that is counted, whichever program makes it. Not for recorders.
    Watch = 5,
}

impl Kind {
    /// The kind with this number.
    pub fn from_raw(raw: u64) -> Option<Self> {
        [
            Self::Start,
            Self::Sync,
            Self::Synced,
            Self::Stop,
            Self::Watch,
        ]
        .into_iter()
        .find(|&kind| kind as u64 == raw)
    }
}
