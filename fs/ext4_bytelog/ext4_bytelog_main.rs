// SPDX-License-Identifier: GPL-2.0

//! ByteLog: ext4 fast commits as checksummed records in DAX-mapped memory.
//!
//! - [`mount`]: the state of a mount, and what ext4 asks of it.
//! - [`refusal`]: why a mount is served as stock ext4 serves it.
//! - [`area`]: the fast-commit area, mapped.
//! - [`log`]: the commit path: staging, sealing, persistence.
//! - [`fallback`]: why a fast commit is given up.
//! - [`replay`]: the log read, checked and handed to ext4's own replay.
//! - [`stats`]: what has happened, under debugfs.
//! - [`counter`]: one number of it.
//! - [`histogram`]: how values are spread.
//! - [`checksum`]: the kernel's CRC32C, for the format crate.
//! - [`trace`]: the tracepoints, as the module calls them.
//! - [`bytelog`]: the format, shared with userspace (`rust/bytelog`).
//! - [`abstractions`]: what the kernel crate lacks (`rust/kernel`).

use kernel::prelude::*;

#[path = "../../rust/kernel/mod.rs"]
mod abstractions;
mod area;
#[path = "../../rust/bindings/mod.rs"]
mod bindings;
#[path = "../../rust/bytelog/src/lib.rs"]
mod bytelog;
mod checksum;
mod counter;
mod fallback;
mod histogram;
mod log;
mod mount;
mod refusal;
mod replay;
mod stats;
mod trace;

module! {
    type: BytelogModule,
    name: "ext4_bytelog",
    authors: ["The ByteLog developers"],
    description: "ext4 fast commits in DAX-mapped persistent memory",
    license: "GPL",
    alias: ["ext4-fc-bytelog"],
}

#[pin_data]
struct BytelogModule {
    #[pin]
    registration: abstractions::fc_backend::Registration<mount::Mount>,
    _stats: abstractions::debugfs::Root,
}

impl kernel::InPlaceModule for BytelogModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _stats: abstractions::debugfs::Root::new(c"ext4_bytelog")?,
            registration <- abstractions::fc_backend::Registration::new(module),
        })
    }
}
