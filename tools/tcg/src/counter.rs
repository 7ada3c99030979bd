// SPDX-License-Identifier: GPL-2.0

//! Counts what is executed between the marks before and behind a call, and writes
//! the sums of a segment down when it stops.

use crate::observer::{is_running, set_running};
use crate::site::{Site, What};
use anyhow::{bail, ensure, Context, Result};
use bytelog_trace::count::{Block, Cost, Counted};
use bytelog_trace::event::Store;
use bytelog_trace::mark::Kind;
use iced_x86::Register;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a cache line.
const LINE: u64 = 64;

/// Instructions that the CPU has executed, blocks being counted when they are
/// entered. There is one CPU, and nobody else adds.
static EXECUTED: AtomicU64 = AtomicU64::new(0);

/// A translated block.
#[derive(Debug)]
pub struct Entry {
    pc: u64,
    instructions: u64,
    entered: AtomicU64,
}

impl Entry {
    /// A block of so many instructions at `pc`.
    pub fn new(pc: u64, instructions: u64) -> Self {
        Self {
            pc,
            instructions,
            entered: AtomicU64::new(0),
        }
    }

    /// The CPU begins to execute it.
    pub fn enter(&self) {
        EXECUTED.store(EXECUTED.load(Relaxed) + self.instructions, Relaxed);
        if is_running() {
            self.entered.store(self.entered.load(Relaxed) + 1, Relaxed);
        }
    }
}

/// Counts.
pub struct Counter {
    out: File,
    segment: Option<Counted>,
    /// The call under way, with what `EXECUTED` was when it began.
    call: Option<(u64, Cost)>,
    /// Bytes that the call has stored past the caches.
    passed: u64,
    blocks: Vec<&'static Entry>,
}

impl Counter {
    /// Makes the file.
    pub fn new(path: &str) -> Result<Self> {
        Ok(Self {
            out: File::create(path).with_context(|| path.to_owned())?,
            segment: None,
            call: None,
            passed: 0,
            blocks: Vec::new(),
        })
    }

    /// A block has been translated.
    pub fn translated(&mut self, entry: &'static Entry) {
        self.blocks.push(entry);
    }

    /// A store to the device, during a call.
    pub fn store(&mut self, store: &Store) {
        if let Some((_, cost)) = &mut self.call {
            cost.bytes += u64::from(store.len);
            if store.non_temporal {
                self.passed += u64::from(store.len);
            }
        }
    }

    /// The instruction of `site` is about to be executed; `register` reads a
    /// general register.
    pub fn executes(
        &mut self,
        site: &Site,
        mut register: impl FnMut(Register) -> Option<u64>,
    ) -> Result<()> {
        match (site.what, &mut self.call) {
            (What::WriteBack(_), Some((_, cost))) => cost.lines += 1,
            (What::Fence, Some((_, cost))) => cost.fences += 1,
            (What::WriteBack(_) | What::Fence, None) => {}
            (What::Mark, _) => {
                let kind = register(Register::RDI).and_then(Kind::from_raw);
                let number = register(Register::RSI).context("rsi")?;
                let executed = EXECUTED.load(Relaxed).saturating_sub(site.left);
                self.mark(kind.context("an unknown mark")?, number, executed)?;
            }
        }
        Ok(())
    }

    fn mark(&mut self, kind: Kind, number: u64, executed: u64) -> Result<()> {
        match (kind, self.segment.as_mut(), self.call.take()) {
            (Kind::Start, None, _) => {
                self.segment = Some(Counted {
                    segment: number,
                    ..Counted::default()
                });
            }
            (Kind::Sync, Some(_), None) => {
                self.passed = 0;
                self.call = Some((executed, Cost::default()));
                set_running(true);
            }
            (Kind::Synced, Some(segment), Some((before, mut cost))) => {
                set_running(false);
                cost.instructions = executed.saturating_sub(before);
                cost.lines += self.passed.div_ceil(LINE);
                segment.calls.push(cost);
            }
            (Kind::Stop, Some(_), None) => self.stop()?,
            // Programs that mark and are not to be counted.
            (Kind::Sync | Kind::Synced, None, None) => {}
            (kind, segment, _) => bail!("{kind:?} in segment {:?}", segment.map(|s| s.segment)),
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let mut segment = self.segment.take().context("no segment")?;
        for entry in &self.blocks {
            let entered = entry.entered.swap(0, Relaxed);
            if entered > 0 {
                segment.blocks.push(Block {
                    pc: entry.pc,
                    instructions: entry.instructions,
                    entered,
                });
            }
        }
        ensure!(!segment.calls.is_empty(), "a segment without a call");
        let mut line = serde_json::to_vec(&segment)?;
        line.push(b'\n');
        Ok(self.out.write_all(&line)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insn::Insn;
    use bytelog_trace::count::Reader;

    struct Guest {
        counter: Counter,
        code: &'static Entry,
    }

    impl Guest {
        fn executes(&mut self, insn: Insn, left: u64, kind: Kind) -> Result<()> {
            let site = Site::new(insn, 0, left).unwrap();
            self.counter.executes(&site, |name| {
                Some(match name {
                    Register::RDI => kind as u64,
                    _ => 7,
                })
            })
        }

        fn mark(&mut self, kind: Kind) -> Result<()> {
            self.executes(Insn::Mark, 0, kind)
        }

        fn stores(&mut self, len: u8, non_temporal: bool) {
            self.counter.store(&Store {
                pc: 0,
                va: 0,
                pa: 0,
                non_temporal,
                len,
                value: [0; 16],
            });
        }
    }

    #[test]
    fn counts_what_is_between_marks() {
        let path = std::env::temp_dir().join(format!("bytelog-count-{}", std::process::id()));
        let mut guest = Guest {
            counter: Counter::new(path.to_str().unwrap()).unwrap(),
            code: Box::leak(Box::new(Entry::new(0x1000, 10))),
        };
        guest.counter.translated(guest.code);
        guest.mark(Kind::Sync).unwrap();
        assert!(guest.mark(Kind::Stop).is_err());
        guest.mark(Kind::Start).unwrap();
        guest.code.enter();
        // The mark is the fourth instruction of ten.
        guest.executes(Insn::Mark, 7, Kind::Sync).unwrap();
        guest.code.enter();
        guest.stores(8, false);
        for _ in 0..9 {
            guest.stores(8, true);
        }
        guest.executes(Insn::Fence, 1, Kind::Start).unwrap();
        guest.mark(Kind::Synced).unwrap();
        guest.stores(8, false);
        guest.code.enter();
        guest.mark(Kind::Stop).unwrap();
        let counted = Reader::open(&path).unwrap().next_segment().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(counted.segment, 7);
        assert_eq!(
            counted.calls,
            [Cost {
                instructions: 17,
                fences: 1,
                lines: 2,
                bytes: 80
            }]
        );
        let [block] = counted.blocks[..] else {
            panic!("{:?}", counted.blocks);
        };
        assert_eq!((block.pc, block.entered), (0x1000, 1));
    }
}
