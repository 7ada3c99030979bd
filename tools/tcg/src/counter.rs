// SPDX-License-Identifier: GPL-2.0

//! Counts what is executed between the marks before and behind a call, or in a
//! function of the kernel, and writes the sums of a segment down when it stops.

use crate::observer::{is_running, set_running};
use crate::site::{Site, What};
use anyhow::{bail, ensure, Context, Result};
use bytelog_trace::count::{Block, Cost, Counted};
use bytelog_trace::event::Store;
use bytelog_trace::mark::Kind;
use iced_x86::Register;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Bytes of a cache line.
const LINE: u64 = 64;

/// Instructions that the CPU has executed, blocks being counted when they are
/// entered. There is one CPU, and nobody else adds.
static EXECUTED: AtomicU64 = AtomicU64::new(0);

/// Those of them in the upper half of the address space, which is the kernel's.
static OF_KERNEL: AtomicU64 = AtomicU64::new(0);

/// A translated block.
#[derive(Debug)]
pub struct Entry {
    pc: u64,
    instructions: u64,
    entered: AtomicU64,
    watched: AtomicBool,
}

impl Entry {
    /// A block of so many instructions at `pc`.
    pub fn new(pc: u64, instructions: u64) -> Self {
        Self {
            pc,
            instructions,
            entered: AtomicU64::new(0),
            watched: AtomicBool::new(false),
        }
    }

    /// Whether the counter is to be told before the CPU enters it.
    pub fn is_watched(&self) -> bool {
        self.watched.load(Relaxed)
    }

    /// The CPU begins to execute it.
    pub fn enter(&self) {
        EXECUTED.store(EXECUTED.load(Relaxed) + self.instructions, Relaxed);
        if self.pc >> 63 == 1 {
            OF_KERNEL.store(OF_KERNEL.load(Relaxed) + self.instructions, Relaxed);
        }
        if is_running() {
            self.entered.store(self.entered.load(Relaxed) + 1, Relaxed);
        }
    }
}

/// Sums at one moment. What a call has cost is the difference of two.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    cost: Cost,
    /// Bytes stored past the caches.
    passed: u64,
}

impl Sums {
    /// The cost since an earlier moment.
    fn since(&self, before: &Self) -> Cost {
        let passed = self.passed - before.passed;
        let (now, then) = (&self.cost, &before.cost);
        Cost {
            instructions: now.instructions.saturating_sub(then.instructions),
            fences: now.fences - then.fences,
            lines: now.lines - then.lines + passed.div_ceil(LINE),
            bytes: now.bytes - then.bytes,
        }
    }
}

/// Counts.
pub struct Counter {
    out: File,
    segment: Option<Counted>,
    /// What has been counted during calls, without instructions.
    sums: Sums,
    /// When the call between two marks that is under way began.
    marked: Option<Sums>,
    /// The same of functions that are watched, by the stack pointer behind their
    /// return: that tells the threads apart.
    watched: HashMap<u64, Sums>,
    /// Addresses of these functions, and those that they have returned to.
    functions: HashSet<u64>,
    returns: HashSet<u64>,
    blocks: Vec<&'static Entry>,
}

impl Counter {
    /// Makes the file.
    pub fn new(path: &str) -> Result<Self> {
        Ok(Self {
            out: File::create(path).with_context(|| path.to_owned())?,
            segment: None,
            sums: Sums::default(),
            marked: None,
            watched: HashMap::new(),
            functions: HashSet::new(),
            returns: HashSet::new(),
            blocks: Vec::new(),
        })
    }

    /// A block has been translated.
    pub fn translated(&mut self, entry: &'static Entry) {
        let watched = self.functions.contains(&entry.pc) || self.returns.contains(&entry.pc);
        entry.watched.store(watched, Relaxed);
        self.blocks.push(entry);
    }

    /// A store to the device, during a call.
    pub fn store(&mut self, store: &Store) {
        self.sums.cost.bytes += u64::from(store.len);
        if store.non_temporal {
            self.sums.passed += u64::from(store.len);
        }
    }

    /// The CPU is about to enter a block that is watched, with this stack pointer;
    /// `memory` reads a word.
    pub fn enters(
        &mut self,
        entry: &Entry,
        stack: Option<u64>,
        memory: impl FnOnce(u64) -> Option<u64>,
    ) -> Result<()> {
        let stack = stack.context("rsp")?;
        let now = self.now(OF_KERNEL.load(Relaxed));
        if let Some(segment) = &mut self.segment {
            if self.functions.contains(&entry.pc) {
                let back = memory(stack).context("the address to return to")?;
                ensure!(
                    self.watched.insert(stack + 8, now).is_none(),
                    "a call at {:#x} within another one",
                    entry.pc
                );
                if self.returns.insert(back) {
                    self.watch(back);
                }
            } else if let Some(before) = self.watched.remove(&stack) {
                segment.calls.push(now.since(&before));
            }
        }
        self.run();
        Ok(())
    }

    /// The instruction of `site` is about to be executed; `register` reads a
    /// general register.
    pub fn executes(
        &mut self,
        site: &Site,
        mut register: impl FnMut(Register) -> Option<u64>,
    ) -> Result<()> {
        match site.what {
            What::WriteBack(_) => self.sums.cost.lines += u64::from(is_running()),
            What::Fence => self.sums.cost.fences += u64::from(is_running()),
            What::Mark => {
                let kind = register(Register::RDI).and_then(Kind::from_raw);
                let number = register(Register::RSI).context("rsi")?;
                let executed = EXECUTED.load(Relaxed).saturating_sub(site.left);
                self.mark(kind.context("an unknown mark")?, number, executed)?;
            }
        }
        Ok(())
    }

    fn mark(&mut self, kind: Kind, number: u64, executed: u64) -> Result<()> {
        let now = self.now(executed);
        match (kind, self.segment.as_mut(), self.marked.take()) {
            (Kind::Start, None, _) => {
                self.segment = Some(Counted {
                    segment: number,
                    ..Counted::default()
                });
            }
            (Kind::Sync, Some(_), None) => self.marked = Some(now),
            (Kind::Synced, Some(segment), Some(before)) => segment.calls.push(now.since(&before)),
            (Kind::Stop, Some(_), None) => self.stop()?,
            (Kind::Watch, None, None) => {
                self.functions.insert(number);
                self.watch(number);
            }
            // Programs that mark and are not to be counted.
            (Kind::Sync | Kind::Synced, None, None) => {}
            (kind, segment, _) => bail!("{kind:?} in segment {:?}", segment.map(|s| s.segment)),
        }
        self.run();
        Ok(())
    }

    /// The sums now, of which somebody else counts the instructions.
    fn now(&self, instructions: u64) -> Sums {
        let mut now = self.sums;
        now.cost.instructions = instructions;
        now
    }

    /// Counts as long as a call is under way.
    fn run(&self) {
        set_running(self.marked.is_some() || !self.watched.is_empty());
    }

    /// Wants to be told of the blocks at an address. Those that come later are for
    /// [`Counter::translated`].
    fn watch(&self, address: u64) {
        for entry in self.blocks.iter().filter(|entry| entry.pc == address) {
            entry.watched.store(true, Relaxed);
        }
    }

    fn stop(&mut self) -> Result<()> {
        let mut segment = self.segment.take().context("no segment")?;
        // A call of another thread that is still under way belongs to no segment.
        self.watched.clear();
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
    use std::path::PathBuf;
    use std::sync::{Mutex, MutexGuard};

    const FUNCTION: u64 = 0xffff_ffff_8100_0000;
    const BACK: u64 = 0xffff_ffff_8200_0000;
    const KERNEL: u64 = 0xffff_ffff_8300_0000;

    /// Instructions are counted in one place for all.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    struct Guest {
        counter: Counter,
        path: PathBuf,
        _alone: MutexGuard<'static, ()>,
    }

    impl Guest {
        fn new(name: &str) -> Self {
            let alone = ONE_AT_A_TIME.lock().unwrap_or_else(|err| err.into_inner());
            let path = format!("bytelog-count-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(path);
            Self {
                counter: Counter::new(path.to_str().unwrap()).unwrap(),
                path,
                _alone: alone,
            }
        }

        fn code(&mut self, pc: u64, instructions: u64) -> &'static Entry {
            let entry = Box::leak(Box::new(Entry::new(pc, instructions)));
            self.counter.translated(entry);
            entry
        }

        /// What the plugin does when a block is entered.
        fn enters(&mut self, entry: &Entry, stack: u64) {
            if entry.is_watched() {
                let back = |at| (at == stack).then_some(BACK);
                self.counter.enters(entry, Some(stack), back).unwrap();
            }
            entry.enter();
        }

        fn executes(&mut self, insn: Insn, left: u64, kind: Kind, number: u64) -> Result<()> {
            let site = Site::new(insn, 0, left).unwrap();
            self.counter.executes(&site, |name| {
                Some(match name {
                    Register::RDI => kind as u64,
                    _ => number,
                })
            })
        }

        fn mark(&mut self, kind: Kind) -> Result<()> {
            self.executes(Insn::Mark, 0, kind, 7)
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

        fn counted(self) -> Counted {
            let counted = Reader::open(&self.path).unwrap().next_segment().unwrap();
            std::fs::remove_file(&self.path).unwrap();
            counted
        }
    }

    #[test]
    fn counts_what_is_between_marks() {
        let mut guest = Guest::new("marks");
        let code = guest.code(0x1000, 10);
        guest.mark(Kind::Sync).unwrap();
        assert!(guest.mark(Kind::Stop).is_err());
        guest.mark(Kind::Start).unwrap();
        code.enter();
        // The mark is the fourth instruction of ten.
        guest.executes(Insn::Mark, 7, Kind::Sync, 7).unwrap();
        code.enter();
        guest.stores(8, false);
        for _ in 0..9 {
            guest.stores(8, true);
        }
        guest.executes(Insn::Fence, 1, Kind::Start, 7).unwrap();
        guest.mark(Kind::Synced).unwrap();
        guest.stores(8, false);
        code.enter();
        guest.mark(Kind::Stop).unwrap();
        let counted = guest.counted();
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

    #[test]
    fn counts_what_a_function_executes() {
        let mut guest = Guest::new("functions");
        // Translated before anybody asks for it, and behind.
        let function = guest.code(FUNCTION, 10);
        guest
            .executes(Insn::Mark, 0, Kind::Watch, FUNCTION)
            .unwrap();
        let back = guest.code(BACK, 3);
        let (kernel, user) = (guest.code(KERNEL, 100), guest.code(0x1000, 1000));
        // Not in a segment.
        guest.enters(function, 0x100);
        guest.mark(Kind::Start).unwrap();
        guest.enters(function, 0x100);
        guest.enters(kernel, 0x80);
        // Another thread is in a call of its own, and a program runs.
        guest.enters(function, 0x900);
        guest.enters(user, 0x10);
        guest.stores(8, false);
        guest.enters(back, 0x500);
        guest.enters(back, 0x108);
        guest.enters(kernel, 0x80);
        guest.enters(back, 0x908);
        // One that does not end in time.
        guest.enters(function, 0x100);
        guest.mark(Kind::Stop).unwrap();
        assert!(!is_running());
        let cost = |instructions, bytes| Cost {
            instructions,
            bytes,
            ..Cost::default()
        };
        // 10 + 100 + 10 + 3; 10 + 3 + 3 + 100.
        assert_eq!(guest.counted().calls, [cost(123, 8), cost(116, 8)]);
    }

    #[test]
    fn a_call_in_itself_is_an_error() {
        let mut guest = Guest::new("twice");
        let function = guest.code(FUNCTION, 10);
        guest
            .executes(Insn::Mark, 0, Kind::Watch, FUNCTION)
            .unwrap();
        guest.mark(Kind::Start).unwrap();
        guest.enters(function, 0x100);
        let again = guest.counter.enters(function, Some(0x100), |_| Some(BACK));
        assert!(again.is_err());
        std::fs::remove_file(&guest.path).unwrap();
        set_running(false);
    }
}
