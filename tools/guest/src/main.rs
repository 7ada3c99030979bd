// SPDX-License-Identifier: GPL-2.0
//! The agent: PID 1 of the test machine. It sets the system up, then serves the
//! host's requests on the virtio-serial port, or starts a shell.

mod agent;

use anyhow::{bail, Result};
use bytelog_guest::models;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some(agent::apart::ARGUMENT) => return agent::apart::work(),
        Some(models::ARGUMENT) => return models::program(args),
        _ => {}
    }
    if std::process::id() != 1 {
        bail!("this is the first process of the test machine; it does nothing elsewhere");
    }
    let outcome = agent::boot::mount_basics().and_then(|()| agent::run());
    // PID 1 must not return: the kernel would panic, and hide the reason.
    if let Err(err) = outcome {
        agent::boot::kernel_log(&format!("bytelog-guest: failed: {err:#}"));
    }
    agent::boot::power_off()
}
