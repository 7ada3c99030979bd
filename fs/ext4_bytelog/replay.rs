// SPDX-License-Identifier: GPL-2.0

//! Replay: the log is copied out of the area once, checked, translated to
//! conventional fast-commit blocks in DRAM, and handed to ext4's own replay.

use crate::{
    area::FcArea,
    bytelog::{
        error::ReadError,
        opener::{Block0, Prefix, OPENER_LEN},
        reader::{read_log, Expected, Found, Log as LogSummary, Sink, MIN_SCRATCH, SCRATCH_LEN},
        record::Record,
        tlv::TL_LEN,
        translate::Translator,
    },
    checksum::KernelCrc32c,
    kapi::{
        buffer_head::{BorrowedBlock, DramBlock},
        errno,
        fc_backend::{Next, Recovery},
        jbd2::Journal,
        super_block::SuperBlock,
        zeroed,
    },
    refusal::Refusal,
    stats::Stats,
    trace,
};
use kernel::{ffi::c_int, fmt, page::PAGE_SIZE, prelude::*};

/// Bytes of TLVs that there is room for from the start. A log that has more of them is
/// copied now and then as it grows.
const FEW_TLVS: usize = 16384;

/// What there is to replay.
pub(crate) enum Plan {
    /// Nobody has looked yet, or what was found has been replayed.
    Unread,
    /// Nothing of ours: ext4 gets the blocks as jbd2 reads them.
    PassOn,
    /// TLVs of sealed commits of a transaction, in log order.
    Log(KVVec<u8>),
}

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

impl Plan {
    /// Reads the area. `block` is the area's first block as jbd2 read it, which
    /// tells what is there where the area cannot be mapped.
    pub(crate) fn read(
        sb: SuperBlock,
        journal: Journal,
        recovery: &Recovery,
        block: &BorrowedBlock,
        stats: &Stats,
    ) -> Result<Self> {
        let unreadable = |refusal: Refusal| {
            pr_err!(
                "{}: ByteLog records cannot be replayed: {refusal}\n",
                sb.id()
            );
            refusal.errno()
        };
        let area = match FcArea::map(journal) {
            Ok(area) => area,
            Err(_) if !is_bytelog(block) => return Ok(Plan::PassOn),
            Err(refusal) => return Err(unreadable(refusal)),
        };
        let uuid = sb.uuid();
        let expected = Expected {
            tid: recovery.expected_tid,
            uuid: &uuid,
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
        Ok(Self::of(sb, recovery, &log, found.tlvs, stats))
    }

    fn of(
        sb: SuperBlock,
        recovery: &Recovery,
        log: &LogSummary,
        tlvs: KVVec<u8>,
        stats: &Stats,
    ) -> Self {
        match log.found {
            Found::Stock => return Plan::PassOn,
            Found::V1 => (),
            Found::V2 => recovery.log_is_exact(sb),
            Found::Empty | Found::Torn | Found::Stale { .. } => {
                return Plan::Log(KVVec::new());
            }
        }
        stats.replayed_commits.add(log.commits.into());
        stats.replayed_records.add(log.records);
        stats.replayed_bytes.add(tlvs.len() as u64);
        trace::replay(sb, recovery.expected_tid, log, tlvs.len() as u64);
        pr_info!(
            "{}: replaying {} fast commits of transaction {}, {} bytes in {} records\n",
            sb.id(),
            log.commits,
            recovery.expected_tid,
            tlvs.len(),
            log.records,
        );
        Plan::Log(tlvs)
    }

    /// Takes jbd2's callback for block `off` of the area.
    pub(crate) fn step(
        &self,
        recovery: &Recovery,
        block: &BorrowedBlock,
        off: c_int,
    ) -> Result<Next> {
        match self {
            Plan::Unread => Err(EIO),
            Plan::PassOn => recovery.pass_on(block, off),
            Plan::Log(tlvs) => feed(recovery, tlvs),
        }
    }
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

/// Hands the log to ext4, block by block, in one of jbd2's passes.
fn feed(recovery: &Recovery, tlvs: &[u8]) -> Result<Next> {
    let mut block = DramBlock::new(PAGE_SIZE)?;
    let mut off = 0;
    if !tlvs.is_empty() {
        let mut blocks =
            Translator::<KernelCrc32c>::new(tlvs, recovery.expected_tid, PAGE_SIZE as u32)
                .map_err(|_| EINVAL)?;
        while blocks
            .next_block(block.bytes_mut())
            .map_err(|_| errno::bad_crc())?
        {
            if recovery.feed(&mut block, off)? == Next::Stop {
                return Ok(Next::Stop);
            }
            off += 1;
        }
    }
    // Asked for a block beyond the last tag, of which it looks at the first, ext4
    // finishes its scan, or its bitmaps. An empty area is just that block.
    if let Some(first) = block.bytes_mut().first_chunk_mut::<TL_LEN>() {
        *first = [0; TL_LEN];
    }
    recovery.feed(&mut block, off)?;
    Ok(Next::Stop)
}

/// Whether the area's first block, as jbd2 read it, is ByteLog's.
fn is_bytelog(block: &BorrowedBlock) -> bool {
    let mut bytes = [0; OPENER_LEN];
    block.copy_prefix(&mut bytes);
    let Ok(size) = crate::bytelog::geometry::BlockSize::new(PAGE_SIZE as u32) else {
        return false;
    };
    !matches!(
        Prefix::new(&bytes).classify::<KernelCrc32c>(size),
        Block0::Stock | Block0::Empty
    )
}

/// Says why the log is not replayed, and what to do.
fn refuse(sb: SuperBlock, error: &ReadError<Error, Error>) -> Error {
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
