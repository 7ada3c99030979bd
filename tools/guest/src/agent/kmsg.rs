// SPDX-License-Identifier: GPL-2.0
//! The kernel log, by sequence number.

use anyhow::{Context, Result};
use bytelog_guest::proto::Kmsg;
use rustix::fs::{open, Mode, OFlags};
use rustix::io::{read, Errno};

/// Messages numbered `from` and later, and the number of the next one.
pub fn since(from: u64) -> Result<Kmsg> {
    let fd = open(
        "/dev/kmsg",
        OFlags::RDONLY | OFlags::NONBLOCK,
        Mode::empty(),
    )
    .context("/dev/kmsg")?;
    let mut kmsg = Kmsg {
        next: from,
        lines: Vec::new(),
    };
    let mut record = vec![0; 8192];
    loop {
        match read(&fd, &mut record) {
            Ok(len) => {
                let text = String::from_utf8_lossy(&record[..len]);
                // "priority,sequence,time,flags;message\n KEY=value ..."
                let Some((prefix, message)) = text.split_once(';') else {
                    continue;
                };
                let number: u64 = prefix
                    .split(',')
                    .nth(1)
                    .and_then(|field| field.parse().ok())
                    .context("kmsg record")?;
                if number >= from {
                    kmsg.next = number + 1;
                    kmsg.lines
                        .push(message.lines().next().unwrap_or("").to_owned());
                }
            }
            Err(Errno::AGAIN) => return Ok(kmsg),
            // Records that were overwritten before they could be read.
            Err(Errno::PIPE) => {}
            Err(err) => return Err(err).context("/dev/kmsg"),
        }
    }
}
