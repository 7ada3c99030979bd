// SPDX-License-Identifier: GPL-2.0

//! What the plugin was loaded for: to record, or to count.

use crate::counter::Counter;
use crate::recorder::Recorder;
use crate::site::Site;
use anyhow::{bail, Context, Result};
use bytelog_trace::event::Store;
use iced_x86::Register;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Between marks that start and stop it. Here, so that a store need not wait for a
/// lock to learn that nobody wants to know.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Whether anything is wanted now.
pub fn is_running() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

/// Says whether anything is wanted from now on.
pub fn set_running(running: bool) {
    RUNNING.store(running, Ordering::Relaxed);
}

/// Who is told.
pub enum Observer {
    /// Events go to a file one by one.
    Recorder(Recorder),
    /// They are counted.
    Counter(Box<Counter>),
}

/// An observer, and what it looks at.
pub struct Watch {
    observer: Observer,
    /// Guest physical addresses of the device.
    device: Range<u64>,
}

impl Watch {
    /// From the plugin's arguments: `out=FILE` or `count=FILE`, and `start=` and
    /// `bytes=` of the device.
    pub fn new<'a>(args: impl Iterator<Item = &'a str>) -> Result<Self> {
        let (mut observer, mut start, mut bytes) = (None, None, None);
        for arg in args {
            match arg.split_once('=') {
                Some(("out", path)) => observer = Some(Observer::Recorder(Recorder::new(path)?)),
                Some(("count", path)) => {
                    observer = Some(Observer::Counter(Box::new(Counter::new(path)?)));
                }
                Some(("start", number)) => start = Some(number.parse::<u64>()?),
                Some(("bytes", number)) => bytes = Some(number.parse::<u64>()?),
                _ => bail!("unknown argument {arg:?}; there are out=, count=, start= and bytes="),
            }
        }
        let start = start.context("no start= of the device")?;
        let end = start.checked_add(bytes.context("no bytes= of the device")?);
        Ok(Self {
            observer: observer.context("no out=FILE and no count=FILE")?,
            device: start..end.context("no such device")?,
        })
    }

    /// The counter, if there is one: it wants to know of every block of code.
    pub fn counter(&mut self) -> Option<&mut Counter> {
        match &mut self.observer {
            Observer::Recorder(_) => None,
            Observer::Counter(counter) => Some(counter),
        }
    }

    /// Whether a store to this guest physical address is to be told.
    pub fn wants(&self, pa: u64) -> bool {
        self.device.contains(&pa)
    }

    /// A store.
    pub fn store(&mut self, store: Store) -> Result<()> {
        match &mut self.observer {
            Observer::Recorder(recorder) => recorder.store(store),
            Observer::Counter(counter) => {
                counter.store(&store);
                Ok(())
            }
        }
    }

    /// The instruction of `site` is about to be executed; `register` reads a
    /// general register.
    pub fn executes(
        &mut self,
        site: &Site,
        register: impl FnMut(Register) -> Option<u64>,
    ) -> Result<()> {
        match &mut self.observer {
            Observer::Recorder(recorder) => recorder.executes(site, register),
            Observer::Counter(counter) => counter.executes(site, register),
        }
    }
}
