// SPDX-License-Identifier: GPL-2.0

//! The file that events go to, from one mark to another.

use crate::insn::{Insn, Line};
use anyhow::{bail, ensure, Context, Result};
use bytelog_trace::event::{Event, Store, MAGIC};
use bytelog_trace::mark::Kind;
use iced_x86::Register;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// An instruction that is called back when it is executed.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    pc: u64,
    what: What,
}

/// What it does.
#[derive(Clone, Copy, Debug)]
enum What {
    WriteBack(Line),
    Fence,
    Mark,
}

impl Site {
    /// The instruction at `pc`, if it is one of those.
    pub fn new(insn: Insn, pc: u64) -> Option<Self> {
        let what = match insn {
            Insn::WriteBack(line) => What::WriteBack(line),
            Insn::Fence => What::Fence,
            Insn::Mark => What::Mark,
            Insn::NonTemporal | Insn::Other => return None,
        };
        Some(Self { pc, what })
    }
}

/// Writes down what happens.
pub struct Recorder {
    out: BufWriter<File>,
    /// Guest physical addresses of the device.
    device: Range<u64>,
}

/// Between a start and a stop. Here, so that a store need not wait for a lock to
/// learn that nobody wants to know.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Whether anything is recorded now.
pub fn is_running() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

impl Recorder {
    /// From the plugin's arguments: `out=FILE`, `start=` and `bytes=` of the
    /// device.
    pub fn new<'a>(args: impl Iterator<Item = &'a str>) -> Result<Self> {
        let (mut out, mut start, mut bytes) = (None, None, None);
        for arg in args {
            match arg.split_once('=') {
                Some(("out", path)) => out = Some(path),
                Some(("start", number)) => start = Some(number.parse::<u64>()?),
                Some(("bytes", number)) => bytes = Some(number.parse::<u64>()?),
                _ => bail!("unknown argument {arg:?}; there are out=, start= and bytes="),
            }
        }
        let start = start.context("no start= of the device")?;
        let end = start.checked_add(bytes.context("no bytes= of the device")?);
        let path = out.context("no out=FILE")?;
        let mut out = BufWriter::new(File::create(path).with_context(|| path.to_owned())?);
        out.write_all(&MAGIC)?;
        out.flush()?;
        Ok(Self {
            out,
            device: start..end.context("no such device")?,
        })
    }

    /// Whether a store to this guest physical address is to be told.
    pub fn wants(&self, pa: u64) -> bool {
        self.device.contains(&pa)
    }

    /// A store.
    pub fn store(&mut self, store: Store) -> Result<()> {
        self.note(Event::Store(store))
    }

    /// The instruction of `site` is about to be executed; `register` reads a
    /// general register.
    pub fn executes(
        &mut self,
        site: &Site,
        mut register: impl FnMut(Register) -> Option<u64>,
    ) -> Result<()> {
        let pc = site.pc;
        match site.what {
            What::WriteBack(line) => self.note(Event::WriteBack {
                pc,
                va: line.address(register),
            }),
            What::Fence => self.note(Event::Fence { pc }),
            What::Mark => {
                let kind = register(Register::RDI).and_then(Kind::from_raw);
                let number = register(Register::RSI).context("rsi")?;
                self.mark(kind.context("an unknown mark")?, number)
            }
        }
    }

    fn mark(&mut self, kind: Kind, number: u64) -> Result<()> {
        match kind {
            Kind::Start => {
                ensure!(!is_running(), "a second start");
                RUNNING.store(true, Ordering::Relaxed);
            }
            Kind::Stop => ensure!(is_running(), "a stop before any start"),
            Kind::Sync | Kind::Synced => {}
        }
        self.note(Event::Mark { kind, number })?;
        if kind == Kind::Stop {
            RUNNING.store(false, Ordering::Relaxed);
            self.out.flush()?;
        }
        Ok(())
    }

    fn note(&mut self, event: Event) -> Result<()> {
        if is_running() {
            self.out.write_all(&event.to_bytes())?;
        }
        Ok(())
    }
}
