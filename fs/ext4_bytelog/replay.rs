// SPDX-License-Identifier: GPL-2.0

//! Replay: the log is copied out of the area once, checked, translated to
//! conventional fast-commit blocks in DRAM, and handed to ext4's own replay.

use crate::{
    abstractions::{
        errno,
        fc_backend::{Found as Handed, Recovery},
        super_block::SuperBlock,
        zeroed,
    },
    area::FcArea,
    bytelog::{
        error::ReadError,
        geometry::BlockSize,
        opener::{Block0, Prefix, OPENER_LEN},
        reader::{read_log, Expected, Found, Log as LogSummary, Sink, MIN_SCRATCH, SCRATCH_LEN},
        record::Record,
        translate::Translator,
    },
    checksum::KernelCrc32c,
    refusal::Refusal,
    stats::Stats,
    trace,
};
use kernel::{fmt, page::PAGE_SIZE, prelude::*};

/// Bytes of TLVs that there is room for from the start. A log that has more of them is
/// copied now and then as it grows.
const FEW_TLVS: usize = 16384;

/// TLVs as the reader hands them out; `sealed` bytes of them are of whole
/// commits.
struct Collected {
    tlvs: KVVec<u8>,
    sealed: usize,
}

impl Sink for Collected {
    type Error = Error;

    fn record(&mut self, _record: &Record, payload: &[u8]) -> Result {
        Ok(self.tlvs.extend_from_slice(payload, GFP_KERNEL)?)
    }

    fn sealed(&mut self, _commit: u32) -> Result {
        self.sealed = self.tlvs.len();
        Ok(())
    }
}

/// Reads the area. `first` is its first block as jbd2 read it, which tells what is there
/// where the area cannot be mapped.
pub(crate) fn read(recovery: &Recovery<'_>, first: &[u8], stats: &Stats) -> Result<Handed> {
    let sb = recovery.sb;
    let unreadable = |refusal: Refusal| {
        pr_err!(
            "{}: ByteLog records cannot be replayed: {refusal}\n",
            sb.id()
        );
        refusal.errno()
    };
    let area = match FcArea::map(recovery.journal) {
        Ok(area) => area,
        Err(_) if !is_bytelog(first) => return Ok(Handed::NotOurs),
        Err(refusal) => return Err(unreadable(refusal)),
    };
    let expected = Expected {
        tid: recovery.tid,
        uuid: &recovery.uuid,
        block_size: PAGE_SIZE as u32,
    };
    // A mount that writes logs writes none with longer records.
    let collect =
        |scratch| collect(&area, &expected, scratch).map_err(|_| unreadable(Refusal::NoMemory));
    let read = match collect(MIN_SCRATCH)? {
        Err(ReadError::Scratch) => collect(SCRATCH_LEN)?,
        read => read,
    };
    let (log, mut found) = read.map_err(|error| refuse(sb, &error))?;
    found.tlvs.truncate(found.sealed);
    let has_link_counts = match log.found {
        Found::Stock => return Ok(Handed::NotOurs),
        Found::V1 => false,
        Found::V2 => true,
        Found::Empty | Found::Torn | Found::Stale { .. } => {
            return Ok(Handed::Log {
                blocks: KVVec::new(),
                has_link_counts: false,
            });
        }
    };
    tell(sb, &log, found.tlvs.len(), stats);
    Ok(Handed::Log {
        blocks: translate(&found.tlvs, recovery.tid)?,
        has_link_counts,
    })
}

/// Tells what is replayed.
fn tell(sb: &SuperBlock, log: &LogSummary, bytes: usize, stats: &Stats) {
    stats.replayed_commits.add(log.commits.into());
    stats.replayed_records.add(log.records);
    stats.replayed_bytes.add(bytes as u64);
    trace::replay(sb.dev(), log.tid, log, bytes as u64);
    pr_info!(
        "{}: replaying {} fast commits of transaction {}, {} bytes in {} records\n",
        sb.id(),
        log.commits,
        log.tid,
        bytes,
        log.records,
    );
}

/// The conventional fast-commit blocks of `tlvs`; none if there are no TLVs.
fn translate(tlvs: &[u8], tid: u32) -> Result<KVVec<u8>> {
    let mut blocks = KVVec::new();
    if tlvs.is_empty() {
        return Ok(blocks);
    }
    // Nearly every block has TLVs up to the one that did not fit.
    blocks.reserve(tlvs.len() + tlvs.len() / 8 + PAGE_SIZE, GFP_KERNEL)?;
    let mut block: KVec<u8> = zeroed::bytes(PAGE_SIZE)?;
    let mut translator =
        Translator::<KernelCrc32c>::new(tlvs, tid, PAGE_SIZE as u32).map_err(|_| EINVAL)?;
    while translator
        .next_block(&mut block)
        .map_err(|_| errno::bad_crc())?
    {
        blocks.extend_from_slice(&block, GFP_KERNEL)?;
    }
    Ok(blocks)
}

/// Reads the log with a scratch buffer of so many bytes, for which alone it fails.
fn collect(
    area: &FcArea,
    expected: &Expected<'_>,
    scratch: usize,
) -> Result<Result<(LogSummary, Collected), ReadError<Error, Error>>> {
    let mut scratch: KVVec<u8> = zeroed::bytes(scratch)?;
    let mut found = Collected {
        tlvs: KVVec::with_capacity(FEW_TLVS, GFP_KERNEL)?,
        sealed: 0,
    };
    let log = read_log::<KernelCrc32c, _, _>(area, expected, &mut scratch, &mut found);
    Ok(log.map(|log| (log, found)))
}

/// Whether the area's first block is ByteLog's.
fn is_bytelog(block: &[u8]) -> bool {
    let (Some(bytes), Ok(size)) = (
        block.first_chunk::<OPENER_LEN>(),
        BlockSize::new(PAGE_SIZE as u32),
    ) else {
        return false;
    };
    !matches!(
        Prefix::new(bytes).classify::<KernelCrc32c>(size),
        Block0::Stock | Block0::Empty
    )
}

/// Says why the log is not replayed, and what to do.
fn refuse(sb: &SuperBlock, error: &ReadError<Error, Error>) -> Error {
    pr_err!("{}: {}\n", sb.id(), Said(error));
    match error {
        ReadError::Area { error, .. } | ReadError::Sink(error) => *error,
        ReadError::Damaged { .. } => {
            pr_err!(
                "{}: nothing is replayed: acknowledged fsyncs would be lost. Keep a copy of \
                 the device; mount with -o ro,noload to read what was committed in full\n",
                sb.id()
            );
            errno::bad_crc()
        }
        ReadError::Features(_) => errno::not_supported(),
        ReadError::Geometry(_) | ReadError::Scratch => EINVAL,
    }
}

/// An error of the format crate, which knows `core::fmt` only.
struct Said<'a>(&'a ReadError<Error, Error>);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::fmt::Display::fmt(self.0, f)
    }
}
