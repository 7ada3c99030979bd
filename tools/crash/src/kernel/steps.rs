// SPDX-License-Identifier: GPL-2.0

//! What the recorder wrote down, in terms of the filesystem: offsets on the device
//! instead of addresses.

use anyhow::{bail, ensure, Context, Result};
use bytelog_trace::event::{Event, Events, Store};
use bytelog_trace::mark::Kind;
use bytelog_trace::session::Segment;
use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;

const PAGE: u64 = 4096;

/// What the CPU did, or the agent said. Offsets are bytes from the start of the
/// filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A store; streaming stores that follow one another in a page are put
    /// together.
    Store {
        /// Where.
        off: u64,
        /// What.
        bytes: Vec<u8>,
        /// Past the caches.
        streaming: bool,
    },
    /// The line that holds this byte is written back.
    WriteBack(u64),
    /// A store fence; whether it is one in the module's code.
    Fence {
        /// In ext4_bytelog, not elsewhere in the kernel.
        ours: bool,
    },
    /// fsync of this number begins.
    Sync(u64),
    /// It has returned 0.
    Synced(u64),
}

/// Addresses on the way to offsets.
struct Places {
    /// Guest physical address of the filesystem.
    start: u64,
    /// Bytes of it.
    bytes: u64,
    /// Physical page of each virtual one, as stores showed it.
    pages: HashMap<u64, u64>,
}

impl Places {
    fn off(&self, pa: u64) -> Option<u64> {
        pa.checked_sub(self.start).filter(|off| *off < self.bytes)
    }

    /// Where a store went; `None` beside the filesystem.
    fn of_store(&mut self, store: &Store) -> Result<Option<u64>> {
        ensure!(
            store.va % PAGE == store.pa % PAGE && store.pa % PAGE + u64::from(store.len) <= PAGE,
            "a store of {} bytes at {:#x}, physical {:#x}",
            store.len,
            store.va,
            store.pa
        );
        self.pages.insert(store.va / PAGE, store.pa / PAGE);
        Ok(self.off(store.pa))
    }

    /// Where a written-back line is. A line that nothing has been stored to does
    /// not matter, on the device or elsewhere.
    fn of_line(&self, va: u64) -> Option<u64> {
        let page = self.pages.get(&(va / PAGE))?;
        self.off(page * PAGE + va % PAGE)
    }
}

/// The steps of the segment with this number.
pub fn read(from: impl Read, device: u64, segment: &Segment) -> Result<Vec<Step>> {
    let (code, len) = segment.code;
    let code = code..code.saturating_add(len);
    let mut places = Places {
        start: device,
        bytes: segment.bytes,
        pages: HashMap::new(),
    };
    let mut steps = Vec::new();
    let mut inside = false;
    for event in Events::new(from)? {
        let event = event?;
        match event {
            Event::Mark {
                kind: Kind::Start,
                number,
            } => inside = number == segment.number,
            Event::Mark {
                kind: Kind::Stop, ..
            } if inside => return Ok(steps),
            _ if inside => add(&mut steps, &event, &mut places, &code)?,
            _ => {}
        }
    }
    bail!("segment {} is not there, or not to its end", segment.number)
}

fn add(steps: &mut Vec<Step>, event: &Event, places: &mut Places, code: &Range<u64>) -> Result<()> {
    match event {
        Event::Store(store) => {
            let Some(off) = places.of_store(store)? else {
                return Ok(());
            };
            let streaming = store.non_temporal;
            match steps.last_mut() {
                Some(Step::Store {
                    off: start,
                    bytes,
                    streaming: true,
                }) if streaming && *start + bytes.len() as u64 == off && off % PAGE != 0 => {
                    bytes.extend(store.bytes());
                }
                _ => steps.push(Step::Store {
                    off,
                    bytes: store.bytes().to_vec(),
                    streaming,
                }),
            }
        }
        Event::WriteBack { pc, va } => {
            let va = va.with_context(|| format!("write-back at {pc:#x}: address unknown"))?;
            steps.extend(places.of_line(va).map(Step::WriteBack));
        }
        Event::Fence { pc } => steps.push(Step::Fence {
            ours: code.contains(pc),
        }),
        Event::Mark {
            kind: Kind::Sync,
            number,
        } => steps.push(Step::Sync(*number)),
        Event::Mark {
            kind: Kind::Synced,
            number,
        } => steps.push(Step::Synced(*number)),
        Event::Mark { kind, .. } => bail!("{kind:?} within a segment"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytelog_trace::event::{MAGIC, STORE_MAX};

    fn segment() -> Segment {
        Segment {
            number: 3,
            variant: None,
            base: String::new(),
            bytes: 0x10_0000,
            area: Vec::new(),
            journal: Vec::new(),
            code: (0x5000, 0x100),
            workload: serde_json::Value::Null,
        }
    }

    fn store(va: u64, pa: u64, non_temporal: bool) -> Event {
        Event::Store(Store {
            pc: 1,
            va,
            pa,
            non_temporal,
            len: 8,
            value: [7; STORE_MAX],
        })
    }

    fn steps(events: &[Event]) -> Result<Vec<Step>> {
        let mark = |kind, number| Event::Mark { kind, number };
        let mut file = MAGIC.to_vec();
        let before = [
            mark(Kind::Start, 2),
            store(0, 0x4000_0000, false),
            mark(Kind::Stop, 0),
        ];
        let around =
            |events: &[Event]| [&[mark(Kind::Start, 3)], events, &[mark(Kind::Stop, 0)]].concat();
        for event in before.iter().chain(&around(events)) {
            file.extend(event.to_bytes());
        }
        read(&file[..], 0x4000_0000, &segment())
    }

    #[test]
    fn addresses_become_offsets() {
        let events = [
            store(0x7_1008, 0x4000_2008, false),
            store(0x7_1010, 0x4000_2010, true),
            store(0x7_1018, 0x4000_2018, true),
            // Not on the filesystem; never stored to.
            store(0x9_0000, 0x5000_0000, false),
            Event::WriteBack {
                pc: 1,
                va: Some(0x7_1020),
            },
            Event::WriteBack {
                pc: 1,
                va: Some(0x8_1020),
            },
            Event::WriteBack {
                pc: 1,
                va: Some(0x9_0000),
            },
            Event::Fence { pc: 0x5010 },
            Event::Fence { pc: 0x5100 },
        ];
        let bytes = vec![7; 8];
        assert_eq!(
            steps(&events).unwrap(),
            [
                Step::Store {
                    off: 0x2008,
                    bytes,
                    streaming: false
                },
                Step::Store {
                    off: 0x2010,
                    bytes: vec![7; 16],
                    streaming: true
                },
                Step::WriteBack(0x2020),
                Step::Fence { ours: true },
                Step::Fence { ours: false },
            ]
        );
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(steps(&[store(0x1004, 0x4000_0ffc, false)]).is_err());
        assert!(steps(&[store(0x1ffc, 0x4000_0ffc, false)]).is_err());
        assert!(steps(&[Event::WriteBack { pc: 1, va: None }]).is_err());
        let missing = Segment {
            number: 4,
            ..segment()
        };
        assert!(read(&MAGIC[..], 0, &missing).is_err());
    }
}
