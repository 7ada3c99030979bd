// SPDX-License-Identifier: GPL-2.0
//! The kernel log, by sequence number.

use anyhow::{Context, Result};
use bytelog_guest::proto::Kmsg;
use rustix::fd::OwnedFd;
use rustix::fs::{open, seek, Mode, OFlags, SeekFrom};
use rustix::io::{read, Errno};

/// The log from some message on.
pub struct Tail(OwnedFd);

impl Tail {
    /// All messages that are still there.
    fn all() -> Result<Self> {
        open(
            "/dev/kmsg",
            OFlags::RDONLY | OFlags::NONBLOCK,
            Mode::empty(),
        )
        .map(Self)
        .context("/dev/kmsg")
    }

    /// The messages that are still to come.
    pub fn from_now() -> Result<Self> {
        let tail = Self::all()?;
        seek(&tail.0, SeekFrom::End(0)).context("/dev/kmsg")?;
        Ok(tail)
    }

    /// The next message and its number; `None` if there is none yet.
    fn next(&self, record: &mut [u8]) -> Result<Option<(u64, String)>> {
        loop {
            match read(&self.0, &mut *record) {
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
                    let line = message.lines().next().unwrap_or("");
                    return Ok(Some((number, line.to_owned())));
                }
                Err(Errno::AGAIN) => return Ok(None),
                // Records that were overwritten before they could be read.
                Err(Errno::PIPE) => {}
                Err(err) => return Err(err).context("/dev/kmsg"),
            }
        }
    }

    /// What has come.
    pub fn lines(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut record = vec![0; 8192];
        while let Some((_, line)) = self.next(&mut record)? {
            lines.push(line);
        }
        Ok(lines)
    }
}

/// Messages numbered `from` and later, and the number of the next one.
pub fn since(from: u64) -> Result<Kmsg> {
    let tail = Tail::all()?;
    let mut kmsg = Kmsg {
        next: from,
        lines: Vec::new(),
    };
    let mut record = vec![0; 8192];
    while let Some((number, line)) = tail.next(&mut record)? {
        if number >= from {
            kmsg.next = number + 1;
            kmsg.lines.push(line);
        }
    }
    Ok(kmsg)
}
