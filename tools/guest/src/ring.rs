// SPDX-License-Identifier: GPL-2.0
//! Files made, taken away and synced through io_uring.

use anyhow::{ensure, Context, Result};
use io_uring::{opcode, squeue, types, IoUring};
use rustix::fs::OFlags;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Requests that are under way at a time: a file is made while another goes.
const DEPTH: u32 = 2;

/// Marks of the requests in their completions.
const CREATED: u64 = 0;
const REMOVED: u64 = 1;
const SYNCED: u64 = 2;

/// A queue of requests, all of which are waited for.
pub struct Ring(IoUring);

impl Ring {
    /// Fails where the kernel has no io_uring, or forbids it.
    pub fn new() -> Result<Self> {
        IoUring::new(DEPTH).map(Self).context("io_uring")
    }

    /// Makes a file, and removes another at the same time.
    pub fn create(&mut self, path: &Path, gone: Option<&Path>) -> Result<File> {
        let path = c_string(path)?;
        let gone = gone.map(c_string).transpose()?;
        let cwd = types::Fd(rustix::fs::CWD.as_raw_fd());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let create = opcode::OpenAt::new(cwd, path.as_ptr())
            .flags(flags.bits() as i32)
            .mode(0o644);
        let mut requests = vec![create.build().user_data(CREATED)];
        if let Some(gone) = &gone {
            let remove = opcode::UnlinkAt::new(cwd, gone.as_ptr());
            requests.push(remove.build().user_data(REMOVED));
        }
        let mut created = None;
        for (mark, result) in self.run(&requests)? {
            if mark == CREATED {
                // SAFETY: The kernel has just opened it for this request.
                created = Some(unsafe { OwnedFd::from_raw_fd(result) });
            }
        }
        created.map(File::from).context("no file was made")
    }

    /// fsync, or fdatasync.
    pub fn sync(&mut self, file: &File, data_only: bool) -> Result<()> {
        let flags = match data_only {
            true => types::FsyncFlags::DATASYNC,
            false => types::FsyncFlags::empty(),
        };
        let sync = opcode::Fsync::new(types::Fd(file.as_raw_fd())).flags(flags);
        self.run(&[sync.build().user_data(SYNCED)]).map(drop)
    }

    /// Submits requests and waits for all; returns their marks and results.
    fn run(&mut self, requests: &[squeue::Entry]) -> Result<Vec<(u64, i32)>> {
        for request in requests {
            // SAFETY: The kernel copies the paths when the request is submitted,
            // before the caller can drop them.
            unsafe { self.0.submission().push(request) }.context("io_uring is full")?;
        }
        self.0.submit_and_wait(requests.len()).context("io_uring")?;
        let done: Vec<_> = self.0.completion().collect();
        ensure!(
            done.len() == requests.len(),
            "{} of {}",
            done.len(),
            requests.len()
        );
        done.iter()
            .map(|entry| match entry.result() {
                result if result < 0 => Err(io::Error::from_raw_os_error(-result).into()),
                result => Ok((entry.user_data(), result)),
            })
            .collect()
    }
}

fn c_string(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).context("a path with a zero in it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_and_go() {
        let dir = std::env::temp_dir().join(format!("bytelog-ring-{}", std::process::id()));
        let [first, second] = ["first", "second"].map(|name| dir.join(name));
        let mut ring = match Ring::new() {
            Ok(ring) => ring,
            Err(error) => {
                // Containers tend to forbid it; in the machine it is there.
                eprintln!("not tested here: {error:#}");
                return;
            }
        };
        std::fs::create_dir_all(&dir).unwrap();
        ring.create(&first, None).unwrap();
        assert!(ring.create(&first, None).is_err());
        let file = ring.create(&second, Some(&first)).unwrap();
        ring.sync(&file, false).unwrap();
        ring.sync(&file, true).unwrap();
        assert!(!first.exists() && second.exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
