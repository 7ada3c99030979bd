// SPDX-License-Identifier: GPL-2.0

//! Events, and the file they are in: [`MAGIC`], then records of [`LEN`] bytes,
//! little endian, in the order in which the CPU did what they say.

use crate::mark;
use anyhow::{bail, ensure, Context, Result};
use std::io::{ErrorKind, Read};

/// The file's first bytes.
pub const MAGIC: [u8; 16] = *b"bytelog-tcg 1\n\0\0";

/// Bytes of an event.
pub const LEN: usize = 48;

/// Longest store of one instruction, bytes.
pub const STORE_MAX: usize = 16;

/// One thing that the CPU did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A store to the device.
    Store(Store),
    /// A cache line's write-back was started (`clwb`, `clflushopt`, `clflush`).
    WriteBack {
        /// Address of the instruction.
        pc: u64,
        /// Virtual address of a byte of the line; `None` where the recorder could
        /// not tell.
        va: Option<u64>,
    },
    /// A store fence (`sfence`, `mfence`).
    Fence {
        /// Address of the instruction.
        pc: u64,
    },
    /// A mark.
    Mark {
        /// What it says.
        kind: mark::Kind,
        /// Its number.
        number: u64,
    },
}

/// A store to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    /// Address of the instruction.
    pub pc: u64,
    /// Virtual address of the first byte.
    pub va: u64,
    /// Guest physical address of it.
    pub pa: u64,
    /// Whether it goes past the caches, and needs no write-back.
    pub non_temporal: bool,
    /// Bytes, at most [`STORE_MAX`].
    pub len: u8,
    /// What was stored, in the first `len` bytes.
    pub value: [u8; STORE_MAX],
}

impl Store {
    /// What was stored.
    pub fn bytes(&self) -> &[u8] {
        self.value
            .get(..usize::from(self.len))
            .unwrap_or(&self.value)
    }
}

/// Numbers of the kinds of event.
const STORE: u8 = 1;
const WRITE_BACK: u8 = 2;
const FENCE: u8 = 3;
const MARK: u8 = 4;

/// Flags: of a store, that it is non-temporal; of a write-back, that its address is
/// known.
const FLAG: u8 = 1;

impl Event {
    /// As in the file: kind, length, flags, five zeros; three numbers; the value.
    pub fn to_bytes(&self) -> [u8; LEN] {
        let (head, numbers, value) = match *self {
            Self::Store(store) => (
                [STORE, store.len, u8::from(store.non_temporal)],
                [store.pc, store.va, store.pa],
                store.value,
            ),
            Self::WriteBack { pc, va } => (
                [WRITE_BACK, 0, u8::from(va.is_some())],
                [pc, va.unwrap_or_default(), 0],
                [0; STORE_MAX],
            ),
            Self::Fence { pc } => ([FENCE, 0, 0], [pc, 0, 0], [0; STORE_MAX]),
            Self::Mark { kind, number } => ([MARK, kind as u8, 0], [number, 0, 0], [0; STORE_MAX]),
        };
        let bytes = head.into_iter().chain([0; 5]);
        let bytes = bytes.chain(numbers.into_iter().flat_map(u64::to_le_bytes));
        let mut out = [0; LEN];
        for (to, from) in out.iter_mut().zip(bytes.chain(value)) {
            *to = from;
        }
        out
    }

    /// The event that `bytes` are.
    pub fn from_bytes(bytes: &[u8; LEN]) -> Result<Self> {
        let [kind, len, flags, _, _, _, _, _, rest @ ..] = bytes;
        let (numbers, value) = rest.split_at(24);
        let mut words = numbers.chunks_exact(8).map(|word| {
            let word: [u8; 8] = word.try_into().unwrap_or_default();
            u64::from_le_bytes(word)
        });
        let mut word = || words.next().unwrap_or_default();
        let (first, second, third) = (word(), word(), word());
        Ok(match *kind {
            STORE => {
                ensure!(
                    (1..=STORE_MAX).contains(&usize::from(*len)),
                    "no store has {len} bytes"
                );
                Self::Store(Store {
                    pc: first,
                    va: second,
                    pa: third,
                    non_temporal: flags & FLAG != 0,
                    len: *len,
                    value: value.try_into()?,
                })
            }
            WRITE_BACK => Self::WriteBack {
                pc: first,
                va: (flags & FLAG != 0).then_some(second),
            },
            FENCE => Self::Fence { pc: first },
            MARK => Self::Mark {
                kind: mark::Kind::from_raw(u64::from(*len)).context("an unknown mark")?,
                number: first,
            },
            kind => bail!("no event has the number {kind}"),
        })
    }
}

/// Reads a file of events.
pub struct Events<R> {
    from: R,
    read: u64,
}

impl<R: Read> Events<R> {
    /// Fails if this is no such file.
    pub fn new(mut from: R) -> Result<Self> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic).context("no trace in there")?;
        ensure!(
            magic == MAGIC,
            "not a recorder's trace, or of another version"
        );
        Ok(Self { from, read: 0 })
    }

    fn step(&mut self) -> Result<Option<Event>> {
        let mut bytes = [0; LEN];
        let mut filled = 0;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.from.read(room) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => bail!("the trace ends within an event"),
                Ok(n) => filled += n,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => return Err(err.into()),
            }
        }
        self.read += 1;
        let event = Event::from_bytes(&bytes);
        Ok(Some(event.with_context(|| format!("event {}", self.read))?))
    }
}

impl<R: Read> Iterator for Events<R> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_event() -> impl Strategy<Value = Event> {
        let store = any::<(u64, u64, u64, bool, [u8; STORE_MAX])>();
        prop_oneof![
            (store, 1..=STORE_MAX as u8).prop_map(|((pc, va, pa, non_temporal, value), len)| {
                Event::Store(Store {
                    pc,
                    va,
                    pa,
                    non_temporal,
                    len,
                    value,
                })
            }),
            any::<(u64, Option<u64>)>().prop_map(|(pc, va)| Event::WriteBack { pc, va }),
            any::<u64>().prop_map(|pc| Event::Fence { pc }),
            (1..=4u64, any::<u64>()).prop_map(|(kind, number)| Event::Mark {
                kind: mark::Kind::from_raw(kind).unwrap(),
                number
            }),
        ]
    }

    proptest! {
        #[test]
        fn events_come_back(events in proptest::collection::vec(any_event(), 0..20)) {
            let mut file = MAGIC.to_vec();
            file.extend(events.iter().flat_map(Event::to_bytes));
            let read: Vec<_> = Events::new(&file[..]).unwrap().collect::<Result<_>>().unwrap();
            prop_assert_eq!(read, events);
        }

        #[test]
        fn any_bytes_are_an_event_or_an_error(bytes: [[u8; 16]; 3]) {
            let bytes: Vec<u8> = bytes.concat();
            if let Ok(event) = Event::from_bytes(bytes[..].try_into().unwrap()) {
                prop_assert_eq!(Event::from_bytes(&event.to_bytes()).unwrap(), event);
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Events::new(&b"something else"[..]).is_err());
        let mut file = MAGIC.to_vec();
        file.extend([0; LEN]);
        assert!(Events::new(&file[..]).unwrap().next().unwrap().is_err());
        file.truncate(MAGIC.len() + 7);
        assert!(Events::new(&file[..]).unwrap().next().unwrap().is_err());
    }
}
