// SPDX-License-Identifier: GPL-2.0

//! What the writer of version 1 logs, which is the format crate's own, asks for.

pub use bytelog_cli::crc::Crc;

pub const BLOCK: u32 = 4096;
