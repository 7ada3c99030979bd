// SPDX-License-Identifier: GPL-2.0

//! The format crate's own writer, driven as the kernel module drives it, over a
//! medium that notes everything.

use crate::oracle::Crc;
use crate::recorder::{Failed, Fault, Recorder};
use crate::tlvs;
use crate::trace::{Event, Issue, Trace};
use crate::workload::{Action, Under, Workload};
use anyhow::{anyhow, Result};
use bytelog::error::WriteError;
use bytelog::geometry::Geometry;
use bytelog::medium::FileData;
use bytelog::opener::OPENER_LEN;
use bytelog::record::{DEFAULT_PAYLOAD, HEADER_LEN};
use bytelog::tlv::Tag;
use bytelog::writer::{LogWriter, MIN_STAGING};
use fastrand::Rng;

/// The filesystem.
const UUID: [u8; 16] = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10";

/// Its first transaction with a log.
const FIRST_TID: u32 = 7;

/// Commits that an older life made after those it shares with the present one.
const OLDER_COMMITS: usize = 12;

/// The largest record, header included.
const FULL_RECORD: usize = HEADER_LEN + DEFAULT_PAYLOAD;

/// A filesystem that commits.
struct Driver<'a> {
    workload: &'a Workload,
    writer: LogWriter<Crc, Vec<u8>>,
    medium: Recorder,
    tid: u32,
    /// Of the commits: the same in all lives.
    contents: Rng,
    /// Different in every life.
    nonces: Rng,
    data: u64,
}

/// Records `workload` with a defect perhaps. Power cuts are to be tried during its
/// last `checked` actions and behind them.
pub fn record(
    workload: &Workload,
    fault: Option<Fault>,
    seed: u64,
    checked: usize,
) -> Result<Trace> {
    let mut nonces = Rng::with_seed(seed ^ 0x6e6f_6e63_6573);
    let image = underneath(workload, seed, &mut nonces)?;
    let mut driver = Driver::new(workload, fault, seed, nonces)?;
    driver.wipe_opener();
    driver.medium.events.push(Event::Tid(FIRST_TID));
    let unchecked = workload.actions.len().saturating_sub(checked);
    let mut check_from = driver.medium.events.len() - 1;
    for (number, &action) in workload.actions.iter().enumerate() {
        if number == unchecked && number != 0 {
            check_from = driver.medium.events.len();
        }
        driver.act(action)?;
    }
    Ok(Trace {
        device: workload.device,
        block_size: workload.block_size,
        uuid: UUID,
        image,
        events: driver.medium.events,
        check_from,
        runs: false,
    })
}

/// What the area holds before.
fn underneath(workload: &Workload, seed: u64, nonces: &mut Rng) -> Result<Vec<u8>> {
    let mut image = vec![0; workload.block_size as usize * workload.blocks as usize];
    if workload.under == Under::Blank {
        return Ok(image);
    }
    let mut older = Driver::new(workload, None, seed, nonces.fork())?;
    match workload.under {
        Under::OlderLife => {
            for &action in &workload.actions {
                older.act(action)?;
            }
        }
        _ => older.tid -= 1,
    }
    // Other sizes than before, so that records stand where none of a new log will.
    for number in 0..OLDER_COMMITS {
        older.act(Action::Random(1 + number as u8 % 5))?;
    }
    for event in older.medium.events {
        if let Event::Store { off, bytes } = event {
            image[off as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
    }
    Ok(image)
}

impl<'a> Driver<'a> {
    fn new(workload: &'a Workload, fault: Option<Fault>, seed: u64, nonces: Rng) -> Result<Self> {
        let geometry = Geometry::new(workload.block_size, workload.blocks)?;
        // Old bytes, so that a leak shows.
        let staging = vec![0xee; MIN_STAGING];
        Ok(Self {
            workload,
            writer: LogWriter::new(staging, geometry, UUID)?,
            medium: Recorder::new(workload.device, fault),
            tid: FIRST_TID,
            contents: Rng::with_seed(seed),
            nonces,
            data: 0,
        })
    }

    /// What the module does when it takes an area over.
    fn wipe_opener(&mut self) {
        let bytes = vec![0; OPENER_LEN];
        let len = bytes.len() as u64;
        self.medium.events.extend([
            Event::Store { off: 0, bytes },
            Event::WriteBack { off: 0, len },
            Event::Fence,
            Event::Flush,
        ]);
    }

    fn act(&mut self, action: Action) -> Result<()> {
        let rng = &mut self.contents;
        let tlvs = match action {
            Action::NewTid => {
                self.full_commit();
                return Ok(());
            }
            Action::Empty => Vec::new(),
            Action::One(tag) => vec![tlvs::one(tag, rng)],
            Action::Symlink => vec![tlvs::symlink(rng)],
            Action::Full => tlvs::run(DEFAULT_PAYLOAD, rng),
            Action::FullAndOne => {
                let mut tlvs = tlvs::run(DEFAULT_PAYLOAD, rng);
                tlvs.push(tlvs::one(Tag::DelRange, rng));
                tlvs
            }
            Action::Many | Action::Aborted => tlvs::run(2 * DEFAULT_PAYLOAD + 300, rng),
            Action::ManyData => {
                let mut tlvs = vec![tlvs::one(Tag::AddRange, rng)];
                tlvs.extend(tlvs::run(DEFAULT_PAYLOAD + 300, rng));
                tlvs
            }
            Action::Fill => self.filling(),
            Action::Overflow => tlvs::run(self.writer.capacity() as usize, rng),
            Action::Fails(_) => vec![tlvs::one(Tag::Creat, rng)],
            Action::Random(count) => (0..count).map(|_| tlvs::any(rng)).collect(),
        };
        if let Action::Fails(after) = action {
            // Gathering so little does not use the medium.
            self.medium.lives = Some(after.into());
        }
        let result = self.commit(&tlvs, action == Action::Aborted);
        self.medium.lives = None;
        result
    }

    /// TLVs that end where the area ends, or as near to that as possible.
    fn filling(&mut self) -> Vec<Vec<u8>> {
        let left = (self.writer.capacity() - self.writer.used()) as usize;
        let mut tlvs = Vec::new();
        for _ in 0..left / FULL_RECORD {
            tlvs.extend(tlvs::run(DEFAULT_PAYLOAD, &mut self.contents));
        }
        let last = left % FULL_RECORD;
        if last > HEADER_LEN {
            tlvs.extend(tlvs::run(last - HEADER_LEN, &mut self.contents));
        }
        tlvs
    }

    /// The transaction is committed in full: its log is redundant.
    fn full_commit(&mut self) {
        self.writer.discard();
        self.tid += 1;
        self.medium.events.push(Event::Tid(self.tid));
    }

    /// A fast commit of `tlvs`; a full one where that is not possible.
    fn commit(&mut self, tlvs: &[Vec<u8>], abort: bool) -> Result<()> {
        let (data, synced) = self.file_data(tlvs);
        if self.writer.tid() != Some(self.tid) {
            self.writer.start(self.tid, self.nonces.u32(1..));
        }
        for tlv in tlvs {
            match self.writer.reserve(&mut self.medium, tlv.len()) {
                Ok(room) => room.copy_from_slice(tlv),
                Err(error) => return self.no_room(error),
            }
        }
        if abort {
            self.writer.discard();
            return Ok(());
        }
        self.medium.events.push(Event::Issue(Issue {
            payload: Some(tlvs.concat()),
            data,
            synced,
        }));
        self.medium.begin(tlvs.is_empty());
        let result = self.writer.commit(&mut self.medium);
        self.medium.end(match result {
            Ok(_) => Event::Ack,
            Err(_) => Event::Abort,
        });
        if let Err(WriteError::Features(_)) = result {
            self.full_commit();
        }
        Ok(())
    }

    /// Stores the file data of an fsync that commits `tlvs`; returns what of it the
    /// commit describes, and what else the fsync owes.
    fn file_data(&mut self, tlvs: &[Vec<u8>]) -> (Vec<u64>, Vec<u64>) {
        let described = tlvs::describe_data(tlvs);
        // A commit without TLVs is an fsync after file data was overwritten. So is one
        // in two of the others, which only matters where a fence or a flush that they
        // need anyhow does not reach the data.
        let owed = tlvs.is_empty() || self.workload.apart && self.contents.bool();
        if self.workload.apart {
            self.medium.file_data = FileData::Apart { owed };
        }
        let mut store = |wanted: bool| {
            if !wanted {
                return Vec::new();
            }
            self.data += 1;
            self.medium.events.extend(if self.workload.apart {
                vec![Event::ApartStore(self.data)]
            } else {
                vec![Event::DataStore(self.data), Event::DataFlush(self.data)]
            });
            vec![self.data]
        };
        (store(described), store(owed))
    }

    /// ext4 commits in full where a fast commit is refused.
    fn no_room(&mut self, error: WriteError<Failed>) -> Result<()> {
        match error {
            WriteError::Full | WriteError::Closed | WriteError::Features(_) => {
                self.full_commit();
                Ok(())
            }
            error => Err(anyhow!("{}: {error}", self.workload)),
        }
    }
}
