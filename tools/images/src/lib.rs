// SPDX-License-Identifier: GPL-2.0

//! e2fsprogs' own test images through every subcommand of `bytelog`.
//!
//! The images are damaged filesystems of all kinds, and none of them has a ByteLog. So
//! no subcommand may panic or hang, none that reads may write, and `bytelog fsck` has to
//! do what `e2fsck` does.

pub mod check;
pub mod checkout;
pub mod program;
