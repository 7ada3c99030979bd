// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Format of the ext4 ByteLog fast-commit area: records, opener, CRC chain,
//! log writer, log reader and translation to conventional fast-commit blocks.
//!
//! The kernel module compiles these very files as a module of its own crate
//! (hence `super::` and never `crate::`); cargo compiles them for the tools
//! and the tests. Nothing here allocates, panics or needs `unsafe`: a value
//! from the media is copied, checked and then used, with checked arithmetic.
//!
//! An area is `blocks` blocks of `block_size` bytes. Block 0 is the opener
//! ([`opener`]), the rest is the log, a sequence of [`record`]s. Everything on
//! the media is little endian.

#![cfg_attr(not(MODULE), no_std)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
// The module uses a part of the crate, and exports nothing of it.
#![cfg_attr(MODULE, allow(dead_code, unreachable_pub))]

pub mod crc;
pub mod error;
pub mod features;
pub mod geometry;
mod legacy;
mod log;
pub mod medium;
pub mod needs;
pub mod opener;
pub mod reader;
pub mod record;
mod scan;
mod source;
pub mod tlv;
pub mod translate;
pub mod writer;
