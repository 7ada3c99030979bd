// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers for what the kernel crate lacks.
//!
//! Apart from the vtable glue in [`fc_backend`], this is the only place of the
//! module where `unsafe` stands. Nothing here knows ByteLog's format.

pub(crate) mod block;
pub(crate) mod buffer_head;
pub(crate) mod checksum;
pub(crate) mod cycles;
pub(crate) mod dax;
pub(crate) mod debugfs;
pub(crate) mod errno;
pub(crate) mod fc_backend;
pub(crate) mod jbd2;
pub(crate) mod mapping;
pub(crate) mod pmem;
pub(crate) mod random;
pub(crate) mod super_block;
pub(crate) mod tracepoint;
pub(crate) mod zeroed;
