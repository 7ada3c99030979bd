// SPDX-License-Identifier: GPL-2.0

//! A medium that only notes what it is asked to do, and the defects that a medium,
//! or whoever drives it, can have.

use crate::trace::Event;
use bytelog::medium::{FileData, Medium, Persistence};
use bytelog::record::ALIGN;
use std::fmt;

/// A deliberate defect of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The fence after the write-back is left out.
    NoFence,
    /// Nothing is written back.
    NoWriteBack,
    /// Every write-back is one line short.
    ShortWriteBack,
    /// The opener is not written back.
    OpenerNotWrittenBack,
    /// Lines are written back before they are stored to.
    WriteBackFirst,
    /// The fence comes before the write-back.
    FenceFirst,
    /// The barrier between the described data and the seal is left out.
    NoDataBarrier,
    /// The flush of the device of its own that the data is on is left out.
    NoApartFlush,
    /// The barrier of a commit without TLVs is left out.
    NoEmptyBarrier,
    /// The device flush at the end is left out.
    NoLastFlush,
    /// The device flush at the end comes before the fence.
    FlushFirst,
    /// The last line of every record is not stored.
    ShortStore,
    /// fsync returns before the last fence.
    EarlyReturn,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::NoFence,
        Self::NoWriteBack,
        Self::ShortWriteBack,
        Self::OpenerNotWrittenBack,
        Self::WriteBackFirst,
        Self::FenceFirst,
        Self::NoDataBarrier,
        Self::NoApartFlush,
        Self::NoEmptyBarrier,
        Self::NoLastFlush,
        Self::FlushFirst,
        Self::ShortStore,
        Self::EarlyReturn,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoFence => "fence-left-out",
            Self::NoWriteBack => "nothing-written-back",
            Self::ShortWriteBack => "write-back-one-line-short",
            Self::OpenerNotWrittenBack => "opener-not-written-back",
            Self::WriteBackFirst => "write-back-before-store",
            Self::FenceFirst => "fence-before-write-back",
            Self::NoDataBarrier => "data-flush-left-out",
            Self::NoApartFlush => "data-device-not-flushed",
            Self::NoEmptyBarrier => "flush-of-empty-commit-left-out",
            Self::NoLastFlush => "second-flush-left-out",
            Self::FlushFirst => "flush-before-fence",
            Self::ShortStore => "last-line-not-stored",
            Self::EarlyReturn => "returned-before-fence",
        })
    }
}

/// The operation was to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// Where in a commit the recorder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Gathering; aborting; between commits.
    Outside,
    /// Committing, with TLVs or without, and nothing has been stored so far.
    Before { empty: bool },
    /// Committing, the seal has been stored.
    Sealed,
}

/// Notes events.
pub struct Recorder {
    device: Persistence,
    fault: Option<Fault>,
    /// What happened.
    pub events: Vec<Event>,
    /// Fallible operations that still succeed; then one fails.
    pub lives: Option<u32>,
    /// Where the file data of the commit is.
    pub file_data: FileData,
    phase: Phase,
}

impl Recorder {
    /// A recorder for a device of this kind, with a defect perhaps.
    pub fn new(device: Persistence, fault: Option<Fault>) -> Self {
        Self {
            device,
            fault,
            events: Vec::new(),
            lives: None,
            file_data: FileData::Here,
            phase: Phase::Outside,
        }
    }

    /// A commit begins, with TLVs or without.
    pub fn begin(&mut self, empty: bool) {
        self.phase = Phase::Before { empty };
    }

    /// A commit has ended, with `end`.
    pub fn end(&mut self, end: Event) {
        let at = match (self.fault, self.events.last()) {
            (Some(Fault::EarlyReturn), Some(Event::Fence | Event::Flush)) if end == Event::Ack => {
                self.events.len() - 1
            }
            _ => self.events.len(),
        };
        self.events.insert(at, end);
        self.phase = Phase::Outside;
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Whether an operation has to fail.
    fn fails(&mut self) -> Result<(), Failed> {
        match self.lives {
            Some(0) => {
                self.lives = None;
                Err(Failed)
            }
            Some(lives) => {
                self.lives = Some(lives - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether this barrier of the log's device is one that the defect leaves out.
    fn barrier_is_missing(&self) -> bool {
        match self.phase {
            Phase::Before { empty: false } => self.has(Fault::NoDataBarrier),
            Phase::Before { empty: true } => self.has(Fault::NoEmptyBarrier),
            _ => false,
        }
    }
}

impl Medium for Recorder {
    type Error = Failed;

    fn copy_in(&mut self, off: u64, bytes: &[u8]) -> Result<(), Failed> {
        let fails = self.fails();
        // A store that fails has been made in part.
        let kept = match (fails, self.fault) {
            (Err(Failed), _) => &bytes[..bytes.len() / 16 * 8],
            (_, Some(Fault::ShortStore)) if off != 0 => &bytes[..bytes.len() - ALIGN],
            _ => bytes,
        };
        if self.has(Fault::WriteBackFirst) {
            let len = bytes.len() as u64;
            self.events.push(Event::WriteBack { off, len });
        }
        self.events.push(Event::Store {
            off,
            bytes: kept.to_vec(),
        });
        if self.phase != Phase::Outside {
            self.phase = Phase::Sealed;
        }
        fails
    }

    fn write_back(&mut self, off: u64, len: u64) -> Result<(), Failed> {
        self.fails()?;
        let len = match self.fault {
            Some(Fault::NoWriteBack | Fault::WriteBackFirst) => return Ok(()),
            Some(Fault::OpenerNotWrittenBack) if off == 0 => return Ok(()),
            Some(Fault::ShortWriteBack) => len.saturating_sub(ALIGN as u64),
            _ => len,
        };
        if self.has(Fault::FenceFirst) {
            self.events.push(Event::Fence);
        }
        self.events.push(Event::WriteBack { off, len });
        Ok(())
    }

    fn fence(&mut self) {
        let sealed = self.phase == Phase::Sealed;
        let missing = sealed && matches!(self.fault, Some(Fault::NoFence | Fault::FenceFirst));
        if sealed && self.has(Fault::FlushFirst) && self.device == Persistence::NeedsFlush {
            self.events.push(Event::Flush);
        }
        if !missing && !self.barrier_is_missing() {
            self.events.push(Event::Fence);
        }
    }

    fn flush_device(&mut self) -> Result<(), Failed> {
        self.fails()?;
        let sealed = self.phase == Phase::Sealed;
        let missing = sealed && matches!(self.fault, Some(Fault::NoLastFlush | Fault::FlushFirst));
        if !missing && !self.barrier_is_missing() {
            self.events.push(Event::Flush);
        }
        Ok(())
    }

    fn file_data(&self) -> FileData {
        self.file_data
    }

    fn flush_data(&mut self) -> Result<(), Failed> {
        self.fails()?;
        if !self.has(Fault::NoApartFlush) {
            self.events.push(Event::ApartFlush);
        }
        Ok(())
    }

    fn persistence(&self) -> Persistence {
        self.device
    }
}
