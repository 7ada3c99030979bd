// SPDX-License-Identifier: GPL-2.0
//! The host as virtio-pmem sees it: what it was asked to flush is durable, the
//! rest is a page cache that a power cut takes away.

mod durable;
mod gate;
mod notify;

pub use durable::{Loss, Survivor, Tear};

use anyhow::{anyhow, Context, Result};
use durable::Durable;
use gate::Gate;
use std::fs::File;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Watches the flushes of one QEMU, and answers them.
#[derive(Default)]
pub struct Host {
    durable: Mutex<Durable>,
    gate: Gate,
    errno: AtomicI32,
    /// How many flushes there are to the one that fails, itself included; 0 for none.
    fails_in: AtomicU64,
    takes_micros: AtomicU64,
    flushes: AtomicU64,
    failed: AtomicU64,
}

/// Starts QEMU with its flushes watched. `image` is the file behind virtio-pmem:
/// QEMU syncs no other one, as it is told not to flush the disk.
pub fn spawn(command: &mut Command, image: &str) -> Result<(Child, Arc<Host>)> {
    let file = File::open(image).with_context(|| image.to_owned())?;
    let host = Arc::new(Host::default());
    host.take(&file)?;
    let (child, listener) = notify::spawn(command)?;
    let watching = host.clone();
    std::thread::spawn(move || -> Result<()> {
        while let Some(flush) = listener.next()? {
            // Before the answer, without which QEMU does not go on.
            let errno = watching.flush(&file)?;
            listener.answer(&flush, errno)?;
        }
        Ok(())
    });
    Ok((child, host))
}

impl Host {
    fn take(&self, image: &File) -> Result<()> {
        let mut durable = self.durable.lock().map_err(|_| anyhow!("durable copy"))?;
        durable.take(image)
    }

    fn flush(&self, image: &File) -> Result<i32> {
        self.flushes.fetch_add(1, SeqCst);
        self.gate.pass()?;
        std::thread::sleep(Duration::from_micros(self.takes_micros.load(SeqCst)));
        let left = self
            .fails_in
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        let errno = match left {
            Ok(1) => libc::EIO,
            _ => self.errno.load(SeqCst),
        };
        if errno == 0 {
            self.take(image)?;
        } else {
            self.failed.fetch_add(1, SeqCst);
        }
        Ok(errno)
    }

    /// What the image has now is durable: it was changed from outside.
    pub fn all_durable(&self, image: &str) -> Result<()> {
        self.take(&File::open(image).with_context(|| image.to_owned())?)
    }

    /// From now on flushes fail with this error; 0 for none.
    pub fn fail_with(&self, errno: i32) {
        self.errno.store(errno, SeqCst);
    }

    /// Of the flushes from now on the `nth`, counted from 1, fails with EIO, and no other.
    pub fn fail_nth(&self, nth: u64) {
        self.fails_in.store(nth, SeqCst);
    }

    /// From now on a flush takes so much longer.
    pub fn slow_by(&self, micros: u64) {
        self.takes_micros.store(micros, SeqCst);
    }

    /// The next flush does not come to its end before [`Host::release`].
    pub fn hold_next(&self) -> Result<()> {
        self.gate.set()
    }

    /// Whether a flush is held, within this time; if none is, none will be.
    pub fn holds(&self, patience: Duration) -> Result<bool> {
        self.gate.wait(patience)
    }

    /// Whether a flush is held now.
    pub fn is_holding(&self) -> Result<bool> {
        self.gate.is_stopped()
    }

    /// Releases the flush that is held, and holds the next one.
    pub fn step(&self) -> Result<()> {
        self.gate.step()
    }

    pub fn release(&self) -> Result<()> {
        self.gate.open()
    }

    /// Flushes so far.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(SeqCst)
    }

    /// Flushes so far that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(SeqCst)
    }

    /// While QEMU stands still: what a power cut would leave in the image.
    pub fn survivor(&self, image: &str, tear: &Tear) -> Result<Survivor> {
        let stored = std::fs::read(image).with_context(|| image.to_owned())?;
        self.survivor_of(&stored, tear)
    }

    fn survivor_of(&self, stored: &[u8], tear: &Tear) -> Result<Survivor> {
        let durable = self.durable.lock().map_err(|_| anyhow!("durable copy"))?;
        durable.survivor(stored, tear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_flush_fails_and_makes_nothing_durable() {
        let path = std::env::temp_dir().join(format!("flush-{}", std::process::id()));
        let image = |byte: u8| {
            std::fs::write(&path, [byte; 4096]).unwrap();
            File::open(&path).unwrap()
        };
        let host = Host::default();
        host.fail_nth(2);
        let answers = [1, 2, 3].map(|byte| {
            let errno = host.flush(&image(byte)).unwrap();
            // What a cut leaves of something else.
            let left = host.survivor_of(&[9; 4096], &Tear::of_nothing()).unwrap();
            (errno, left.bytes[0])
        });
        std::fs::remove_file(&path).unwrap();
        assert_eq!(answers, [(0, 1), (libc::EIO, 1), (0, 3)]);
        assert_eq!((host.flushes(), host.failed()), (3, 1));
    }
}
