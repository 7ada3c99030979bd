// SPDX-License-Identifier: GPL-2.0

//! The file that events go to, from one mark to another.

use crate::observer::{is_running, set_running};
use crate::site::{Site, What};
use anyhow::{bail, ensure, Context, Result};
use bytelog_trace::event::{Event, Store, MAGIC};
use bytelog_trace::mark::Kind;
use iced_x86::Register;
use std::fs::File;
use std::io::{BufWriter, Write};

/// Writes down what happens.
pub struct Recorder {
    out: BufWriter<File>,
}

impl Recorder {
    /// Makes the file.
    pub fn new(path: &str) -> Result<Self> {
        let mut out = BufWriter::new(File::create(path).with_context(|| path.to_owned())?);
        out.write_all(&MAGIC)?;
        out.flush()?;
        Ok(Self { out })
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
                set_running(true);
            }
            Kind::Stop => ensure!(is_running(), "a stop before any start"),
            Kind::Sync | Kind::Synced => {}
            Kind::Watch => bail!("functions are watched by a counter, not by a recorder"),
        }
        self.note(Event::Mark { kind, number })?;
        if kind == Kind::Stop {
            set_running(false);
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
