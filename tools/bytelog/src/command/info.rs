// SPDX-License-Identifier: GPL-2.0

//! `bytelog info`: journal, area, and the state of the log.

use super::kernel::KernelUse;
use super::obstacles::{has_dax, obstacles};
use super::table::{count, yes, Table};
use crate::bytes::uuid_text;
use crate::error::{Error, Result, Status};
use crate::ext4::superblock::{Superblock, PRIMARY};
use crate::image::{Image, Place};
use crate::jbd2::area::Segment;
use crate::log::features::Features;
use crate::log::inspect::{inspect, Finding, Inspection, State};
use crate::report::{Name, Report};
use crate::store::{Access, FileStore, Store};
use bytelog::reader::ReadArea;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;

/// Pieces of the area that are listed in the text; JSON has all.
const LISTED: usize = 8;

/// What `bytelog info` tells. Sizes and offsets are in bytes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Info {
    device: String,
    uuid: String,
    block_size: u64,
    blocks: u64,
    /// The feature bit 0x40000.
    bytelog_bit: bool,
    /// The superblock was torn while that bit was written.
    torn_superblock: bool,
    fast_commit: bool,
    needs_recovery: bool,
    /// Where the superblock is a backup: why, and which.
    backup_superblock: Option<String>,
    /// `None` if there is none, or it cannot be read.
    journal: Option<JournalInfo>,
    area: Option<AreaInfo>,
    /// Whether ByteLog can be used with it.
    usable: Usable,
    /// Why it cannot; empty if nothing stands against it.
    obstacles: Vec<String>,
    /// What is to be known of its use.
    notes: Vec<String>,
    log: Option<LogInfo>,
    /// What the kernel does with it; `None` for an image file.
    kernel: Option<KernelUse>,
    #[serde(skip)]
    status: Status,
}

/// Whether ByteLog can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Usable {
    Yes,
    No,
    /// An image file: whether what it will be on has DAX is not known.
    Unknown,
}

#[derive(Debug, Serialize, JsonSchema)]
struct JournalInfo {
    external: bool,
    device: String,
    inode: u32,
    blocks: u32,
    uuid: String,
    /// Whether it has the mark of a ByteLog.
    marked: bool,
    /// Transactions that recovery would write back.
    transactions: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AreaInfo {
    /// First block, counted in the journal.
    first_block: u32,
    blocks: u32,
    bytes: u64,
    segments: Vec<Segment>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct LogInfo {
    state: State,
    /// Transaction that it has to be of.
    tid: Option<u32>,
    nonce: Option<u32>,
    /// What its fast commits may contain: feature bits of its opener.
    features: Option<Features>,
    commits: u32,
    records: u64,
    payload_bytes: u64,
    /// Bytes of log up to the end of the last sealed commit, without the opener.
    used: u64,
    capacity: u64,
    torn: Option<Finding>,
    damage: Option<Finding>,
}

/// Tells about the filesystem at `place`, as far as it can be read.
pub fn look(place: &Place) -> Result<Info> {
    let error = match Image::open(place, Access::Read) {
        Ok(image) => return info(&image),
        Err(error) => error,
    };
    let store = FileStore::open(&place.path, Access::Read, place.offset, place.len)?;
    match Superblock::read(&store, PRIMARY) {
        Ok(sb) if !sb.is_journal_device() && error.status != Status::Usage => {
            Ok(Info::without_journal(&store, &sb, error))
        }
        _ => Err(error),
    }
}

/// Tells about `image`.
pub fn info(image: &Image) -> Result<Info> {
    let found = inspect(image, None)?;
    let journal = &image.journal;
    // Whether there is one at the next mount is for the filesystem to say: a clean unmount
    // clears the journal's own flag.
    let has_area = image.sb.has_fast_commit() || journal.sb.has_fast_commit();
    let area = match &found.area {
        Some(area) if has_area => Some(AreaInfo {
            first_block: area.first(),
            blocks: area.blocks(),
            bytes: area.len(),
            segments: area.segments()?,
        }),
        _ => None,
    };
    let obstacles = obstacles(image);
    Ok(Info {
        backup_superblock: image.backup.clone(),
        journal: Some(JournalInfo {
            external: journal.is_external(),
            device: journal.store.name().to_owned(),
            inode: image.sb.journal_inum(),
            blocks: journal.sb.maxlen(),
            uuid: uuid_text(&journal.sb.uuid()),
            marked: journal.sb.is_marked(),
            transactions: found.ring.as_ref().map_or(0, |ring| ring.transactions()),
        }),
        usable: match has_dax(journal.store.name()) {
            _ if !obstacles.is_empty() => Usable::No,
            None => Usable::Unknown,
            Some(_) => Usable::Yes,
        },
        obstacles,
        log: Some(log_info(image, &found)),
        area,
        status: match found.journal_fault() {
            Some(_) => Status::Refused,
            None => Status::Fine,
        },
        ..Info::of(image.store.as_ref(), &image.sb)
    })
}

fn log_info(image: &Image, found: &Inspection<'_>) -> LogInfo {
    let start = image.sb.block_size();
    let is_ours = matches!(found.state, State::V1 | State::V2);
    let log = found.log.filter(|_| is_ours);
    let area_len = found.area.as_ref().map_or(0, |area| area.len());
    LogInfo {
        state: found.state,
        tid: found.tid,
        nonce: found
            .opener
            .filter(|_| found.state == State::V2)
            .map(|opener| opener.nonce),
        features: found
            .opener
            .filter(|_| matches!(found.state, State::V2 | State::Later))
            .map(|opener| Features(opener.features)),
        commits: match &found.stock {
            Some(stock) => stock.commits,
            None => log.map_or(0, |log| log.commits),
        },
        records: log.map_or(0, |log| log.records),
        payload_bytes: log.map_or(0, |log| log.bytes),
        used: log.map_or(0, |log| log.head.saturating_sub(start)),
        capacity: area_len.saturating_sub(start),
        torn: found.torn.clone(),
        damage: found.damage.clone(),
    }
}

impl Report for Info {
    const NAME: Name = Name::Info;

    fn status(&self) -> Status {
        self.status
    }

    fn text(&self) -> String {
        let mut table = Table::default();
        table.row("filesystem", &self.device);
        if let Some(backup) = &self.backup_superblock {
            table.row("superblock", backup);
        }
        table.row("UUID", &self.uuid);
        table.row(
            "size",
            format_args!(
                "{} of {} bytes",
                count(self.blocks, "block"),
                self.block_size
            ),
        );
        let bit = match (self.bytelog_bit, self.torn_superblock) {
            (_, true) => "torn: a power cut interrupted its writing",
            (true, _) => "set",
            (false, _) => "not set",
        };
        table.row("feature bit 0x40000", bit);
        table.row("fast_commit", yes(self.fast_commit));
        table.row("needs recovery", yes(self.needs_recovery));
        if let Some(journal) = &self.journal {
            let place = match journal.external {
                true => format!("external, {}", journal.device),
                false => format!("internal, inode {}", journal.inode),
            };
            table.row(
                "journal",
                format_args!("{place}, {}", count(journal.blocks, "block")),
            );
            if journal.marked {
                table.row(
                    "  mark",
                    "set: other tools and kernels leave the journal alone",
                );
            }
            if journal.transactions > 0 || self.needs_recovery {
                table.row(
                    "  to write back",
                    count(journal.transactions, "transaction"),
                );
            }
            self.area_rows(&mut table);
        } else {
            table.row("journal", "none that can be read");
        }
        match self.obstacles.split_first() {
            None if self.usable == Usable::Unknown => table.row(
                "ByteLog can be used",
                "on persistent memory: an image file has no DAX, and nothing else is against it",
            ),
            None => table.row("ByteLog can be used", "yes"),
            Some((first, others)) => {
                table.row("ByteLog can be used", format_args!("no: {first}"));
                for other in others {
                    table.row("", other);
                }
            }
        }
        for note in &self.notes {
            table.row("", note);
        }
        if let Some(log) = &self.log {
            log.rows(&mut table);
        }
        if let Some(kernel) = &self.kernel {
            kernel.rows(&mut table);
        }
        table.text()
    }
}

impl Info {
    /// What the superblock alone says.
    fn of(store: &dyn Store, sb: &Superblock) -> Self {
        let mut notes = Vec::new();
        if sb.has_quota() {
            notes.push("quota: what changes the usage is committed in full".to_owned());
        }
        Self {
            device: store.name().to_owned(),
            uuid: uuid_text(&sb.uuid()),
            block_size: sb.block_size(),
            blocks: sb.blocks_count(),
            bytelog_bit: sb.has_bytelog(),
            torn_superblock: sb.is_torn(),
            fast_commit: sb.has_fast_commit(),
            needs_recovery: sb.needs_recovery(),
            backup_superblock: None,
            journal: None,
            area: None,
            usable: Usable::No,
            obstacles: Vec::new(),
            notes,
            log: None,
            kernel: KernelUse::of(Path::new("/"), Path::new(store.name())),
            status: Status::Fine,
        }
    }

    /// A filesystem whose journal cannot be read, for that cause.
    fn without_journal(store: &dyn Store, sb: &Superblock, cause: Error) -> Self {
        let remedy = cause
            .remedy
            .map_or(String::new(), |remedy| format!(": {remedy}"));
        Self {
            obstacles: vec![format!("{}{remedy}", cause.cause)],
            // To have none is no fault.
            status: match sb.has_journal() {
                true => cause.status,
                false => Status::Fine,
            },
            ..Self::of(store, sb)
        }
    }

    fn area_rows(&self, table: &mut Table) {
        let Some(area) = &self.area else {
            table.row("fast-commit area", "none");
            return;
        };
        table.row(
            "fast-commit area",
            format_args!(
                "{} bytes from block {} of the journal, in {}",
                area.bytes,
                area.first_block,
                count(area.segments.len() as u64, "piece")
            ),
        );
        for segment in area.segments.iter().take(LISTED) {
            table.row(
                "",
                format_args!("{} bytes at byte {}", segment.len, segment.device_offset),
            );
        }
        if let Some(more) = area
            .segments
            .len()
            .checked_sub(LISTED)
            .filter(|more| *more > 0)
        {
            table.row("", format_args!("and {}", count(more as u64, "other")));
        }
    }
}

impl LogInfo {
    fn rows(&self, table: &mut Table) {
        let log = self;
        table.row("log", log.state.text());
        if let Some(tid) = log.tid {
            table.row("  transaction", tid);
        }
        let features = log.features.filter(|features| !features.0.is_empty());
        if let Some(features) = features {
            table.row("  features", features);
        }
        if matches!(log.state, State::V1 | State::V2) {
            table.row(
                "  fast commits",
                format_args!(
                    "{}, {} of {} bytes",
                    log.commits,
                    count(log.records, "record"),
                    log.payload_bytes
                ),
            );
            let percent = (100 * log.used).checked_div(log.capacity).unwrap_or(0);
            table.row(
                "  fill",
                format_args!("{} of {} bytes, {percent} %", log.used, log.capacity),
            );
        } else if log.state == State::Stock {
            table.row("  fast commits", log.commits);
        }
        if let Some(torn) = &log.torn {
            table.row(
                "  torn end",
                format_args!("at offset {} of the area: {}", torn.offset, torn.reason),
            );
        }
        if let Some(damage) = &log.damage {
            table.row(
                "  damage",
                format_args!("at offset {} of the area: {}", damage.offset, damage.reason),
            );
        }
    }
}
