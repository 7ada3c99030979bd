// SPDX-License-Identifier: GPL-2.0

//! Replay: the log is copied out of the area once, checked, and translated to
//! conventional fast-commit blocks in DRAM, which ext4's own replay gets.

use crate::{
    abstractions::{
        errno,
        fc_backend::{Found as Handed, Recovery},
        mapping::Lost,
        super_block::SuperBlock,
        zeroed,
    },
    area::FcArea,
    bytelog::{
        error::ReadError,
        geometry::BlockSize,
        opener::{Block0, Prefix, OPENER_LEN},
        reader::{
            read_log, Expected, Found, Log as LogSummary, ReadArea, Sink, MIN_SCRATCH, SCRATCH_LEN,
        },
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

/// The area as jbd2 has read it.
struct Copied<'a>(&'a [u8]);

impl ReadArea for Copied<'_> {
    type Error = Error;

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn copy_out(&self, off: u64, buf: &mut [u8]) -> Result {
        let from = self.0.get(usize::try_from(off)?..).ok_or(EFAULT)?;
        buf.copy_from_slice(from.get(..buf.len()).ok_or(EFAULT)?);
        Ok(())
    }
}

/// Reads the area: where it is mapped, as the kernel's cache of the device may be older than
/// what was stored beside it; or, without DAX, in the blocks that jbd2 hands over, `blocks`.
pub(crate) fn read(recovery: &Recovery<'_>, blocks: &[u8], stats: &Stats) -> Result<Handed> {
    let journal = recovery.journal;
    let size = journal.block_size()?.get();
    let mapped = match size == PAGE_SIZE {
        true => FcArea::map(journal, Lost::Kept),
        false => Err(Refusal::NoDax),
    };
    match mapped {
        Ok(area) => replay(recovery, size, &area, stats),
        Err(_) if !is_bytelog(blocks, size, recovery.tid) => Ok(Handed::NotOurs),
        Err(Refusal::NoDax) => {
            let area = journal.fc_area().map_or(0, |area| area.end - area.start);
            match area.checked_mul(size as u64) {
                Some(len) if (blocks.len() as u64) < len => Ok(Handed::Unclear),
                _ => replay(recovery, size, &Copied(blocks), stats),
            }
        }
        Err(refusal) => Err(unreadable(recovery, refusal)),
    }
}

/// Says why the records cannot be replayed.
fn unreadable(recovery: &Recovery<'_>, refusal: Refusal) -> Error {
    pr_err!(
        "{}: ByteLog records cannot be replayed: {refusal}\n",
        recovery.sb.id()
    );
    refusal.errno()
}

/// Reads an area of blocks of `block_size` bytes.
fn replay<A: ReadArea<Error = Error>>(
    recovery: &Recovery<'_>,
    block_size: usize,
    area: &A,
    stats: &Stats,
) -> Result<Handed> {
    let sb = recovery.sb;
    let expected = Expected {
        tid: recovery.tid,
        uuid: &recovery.uuid,
        block_size: u32::try_from(block_size)?,
    };
    // A mount that writes logs writes none with longer records.
    let collect = |scratch| {
        collect(area, &expected, scratch).map_err(|_| unreadable(recovery, Refusal::NoMemory))
    };
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
        Found::Headless => {
            pr_warn!(
                "{}: the fast-commit area begins with zeros, but a log of transaction {} stands \
                 behind them, which is not replayed. If its first block has been lost, as by \
                 clearing poison, fsyncs are missing: see bytelog verify\n",
                sb.id(),
                recovery.tid,
            );
            return Ok(nothing());
        }
        Found::Empty | Found::Torn | Found::Stale { .. } => return Ok(nothing()),
    };
    tell(sb, &log, found.tlvs.len(), stats);
    Ok(Handed::Log {
        blocks: translate(&found.tlvs, recovery.tid, block_size)?,
        has_link_counts,
    })
}

/// A log with nothing in it.
fn nothing() -> Handed {
    Handed::Log {
        blocks: KVVec::new(),
        has_link_counts: false,
    }
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
fn translate(tlvs: &[u8], tid: u32, block_size: usize) -> Result<KVVec<u8>> {
    let mut blocks = KVVec::new();
    if tlvs.is_empty() {
        return Ok(blocks);
    }
    // Nearly every block has TLVs up to the one that did not fit.
    blocks.reserve(tlvs.len() + tlvs.len() / 8 + block_size, GFP_KERNEL)?;
    let mut block: KVec<u8> = zeroed::bytes(block_size)?;
    let size = u32::try_from(block_size)?;
    let mut translator = Translator::<KernelCrc32c>::new(tlvs, tid, size).map_err(|_| EINVAL)?;
    while translator
        .next_block(&mut block)
        .map_err(|_| errno::bad_crc())?
    {
        blocks.extend_from_slice(&block, GFP_KERNEL)?;
    }
    Ok(blocks)
}

/// Reads the log with a scratch buffer of so many bytes, for which alone it fails.
fn collect<A: ReadArea<Error = Error>>(
    area: &A,
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

/// Whether the area's first block is ByteLog's, or what is left of such a block.
fn is_bytelog(block: &[u8], size: usize, tid: u32) -> bool {
    let size = u32::try_from(size).map(BlockSize::new);
    let (Some(bytes), Ok(Ok(size))) = (block.first_chunk::<OPENER_LEN>(), size) else {
        return false;
    };
    let prefix = Prefix::new(bytes);
    match prefix.classify::<KernelCrc32c>(size) {
        Block0::Stock => false,
        Block0::Empty => prefix.may_be_of(tid),
        Block0::Whole(_) | Block0::NotWhole(_) => true,
    }
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
