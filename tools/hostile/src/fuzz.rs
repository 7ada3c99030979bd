// SPDX-License-Identifier: GPL-2.0
//! What the fuzzers run, and the tests with the committed corpus. A target panics
//! where a promise of the format crate is broken.

use crate::Crc;
use bytelog::crc::{chain_seed, Crc32c, SEED};
use bytelog::geometry::BlockSize;
use bytelog::opener::{Block0, Prefix, OPENER_LEN, USED_LEN};
use bytelog::reader::{read_log, Expected, Log, ReadArea, Sink, SCRATCH_LEN};
use bytelog::record::{Record, HEADER_LEN};
use bytelog::tlv::Tlvs;
use bytelog::translate::Translator;
use std::cell::Cell;

/// Small blocks, so that a short input is an area.
pub const BLOCK: usize = 1024;
const BLOCKS: usize = 16;
/// Of the logs in the corpus.
pub const TID: u32 = 5;
/// See [`TID`].
pub const UUID: [u8; 16] = *b"hostile to media";

/// A target of the fuzzers.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: [(&str, Target); 3] = [
    ("reader", reader),
    ("opener", opener),
    ("translate", translate),
];

struct Area<'a> {
    bytes: &'a [u8],
    copied: Cell<usize>,
}

impl ReadArea for Area<'_> {
    type Error = ();

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn copy_out(&self, off: u64, buf: &mut [u8]) -> Result<(), ()> {
        self.copied.set(self.copied.get() + buf.len());
        buf.copy_from_slice(&self.bytes[off as usize..][..buf.len()]);
        Ok(())
    }
}

#[derive(Default)]
struct Checked {
    open: Vec<u8>,
    sealed: Vec<u8>,
    commits: u32,
}

impl Sink for Checked {
    type Error = ();

    fn record(&mut self, record: &Record, payload: &[u8]) -> Result<(), ()> {
        assert_eq!(record.tid(), TID);
        assert_eq!(record.payload_len(), payload.len());
        assert_eq!(record.payload_crc(), Crc::update(SEED, payload));
        let max = BLOCK - 4;
        assert!(
            Tlvs::new(payload, max).all(|tlv| tlv.is_ok()),
            "not a run of TLVs"
        );
        self.open.extend(payload);
        Ok(())
    }

    fn sealed(&mut self, commit: u32) -> Result<(), ()> {
        self.commits += 1;
        assert_eq!(commit, self.commits);
        self.sealed.append(&mut self.open);
        Ok(())
    }
}

/// Puts right the checksums that a fuzzer cannot: the opener's, and of the records
/// from block 1 on, as far as their lengths lead.
fn seal(area: &mut [u8]) {
    let word = |area: &[u8], at: usize| {
        let bytes = area.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    };
    let crc = Crc::update(0, &area[..64]);
    area[64..68].copy_from_slice(&crc.to_le_bytes());
    let mut chain = chain_seed::<Crc>(&UUID, word(area, 16), word(area, 20));
    let mut at = BLOCK;
    while at + HEADER_LEN <= area.len() {
        let body = at + HEADER_LEN;
        let payload = word(area, at + 16) as usize;
        if let Some(payload) = body
            .checked_add(payload)
            .and_then(|end| area.get(body..end))
        {
            let crc = Crc::update(SEED, payload);
            area[at + 20..at + 24].copy_from_slice(&crc.to_le_bytes());
        }
        let v1 = area[at + 4] == 1;
        area[at + 28..at + 32].fill(0);
        chain = Crc::update(if v1 { SEED } else { chain }, &area[at..body]);
        area[at + 28..at + 32].copy_from_slice(&chain.to_le_bytes());
        let len = word(area, at + 24) as usize & !63;
        at = at.saturating_add(len.max(HEADER_LEN));
    }
}

fn read(bytes: &[u8]) -> Option<(Log, Vec<u8>)> {
    let area = Area {
        bytes,
        copied: Cell::new(0),
    };
    let expected = Expected {
        tid: TID,
        uuid: &UUID,
        block_size: BLOCK as u32,
    };
    let mut scratch = vec![0xaa; SCRATCH_LEN];
    let mut sink = Checked::default();
    let log = read_log::<Crc, _, _>(&area, &expected, &mut scratch, &mut sink);
    assert!(
        area.copied.get() <= 8 * bytes.len(),
        "{} bytes copied",
        area.copied.get()
    );
    let log = log.ok()?;
    assert_eq!(
        (log.commits, log.bytes),
        (sink.commits, sink.sealed.len() as u64)
    );
    assert!(log.head <= bytes.len() as u64);
    Some((log, sink.sealed))
}

/// The reader: the first byte says whether the checksums are put right first, the
/// rest is the area.
pub fn reader(input: &[u8]) {
    let Some((how, area)) = input.split_first() else {
        return;
    };
    let mut area = area.to_vec();
    area.truncate(BLOCKS * BLOCK);
    area.resize(area.len().next_multiple_of(BLOCK).max(2 * BLOCK), 0);
    if how & 1 != 0 {
        seal(&mut area);
    }
    let Some((log, tlvs)) = read(&area) else {
        return;
    };
    // What was read can be handed to ext4, and does not change.
    translate(&tlvs);
    assert_eq!(read(&area), Some((log, tlvs)));
}

/// The opener: what is whole is what would be written.
pub fn opener(input: &[u8]) {
    let Some((how, bytes)) = input.split_first() else {
        return;
    };
    let mut prefix = [0; OPENER_LEN];
    let len = bytes.len().min(OPENER_LEN);
    prefix[..len].copy_from_slice(&bytes[..len]);
    if how & 1 != 0 {
        let crc = Crc::update(0, &prefix[..64]);
        prefix[64..68].copy_from_slice(&crc.to_le_bytes());
    }
    let Ok(size) = BlockSize::new(1024 << ((how >> 1) & 7)) else {
        return;
    };
    let parsed = Prefix::new(&prefix);
    if let Block0::Whole(opener) = parsed.classify::<Crc>(size) {
        assert_eq!(parsed.identity(), (opener.tid, opener.nonce));
        // All but the anchor's gap, which nobody looks at.
        let mut written = opener.encode::<Crc>(size);
        written[52..56].copy_from_slice(&prefix[52..56]);
        let crc = Crc::update(0, &written[..64]);
        written[64..68].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(written[..USED_LEN], prefix[..USED_LEN]);
    }
}

/// The block translation: any bytes are an error or blocks that have them all.
pub fn translate(input: &[u8]) {
    for size in [BLOCK, 4096] {
        let Ok(mut blocks) = Translator::<Crc>::new(input, TID, size as u32) else {
            return;
        };
        let mut found = Vec::new();
        let mut block = vec![0; size];
        let mut count = 0;
        let ended = loop {
            match blocks.next_block(&mut block) {
                Ok(true) => {}
                Ok(false) => break true,
                Err(_) => break false,
            }
            count += 1;
            collect(&block, &mut found);
        };
        // Each block but the last is at least half full, or a TLV larger than that
        // follows.
        assert!(count <= 2 + 2 * input.len() / (size / 2), "{count} blocks");
        let whole = Tlvs::new(input, size - 4).all(|tlv| tlv.is_ok());
        assert_eq!(ended, whole, "not what the TLVs are like");
        match ended {
            true => assert_eq!(found, input),
            false => assert!(input.starts_with(&found)),
        }
        assert_eq!(blocks.next_block(&mut block), Ok(false));
    }
}

/// The TLVs of a block that are not its frame.
fn collect(block: &[u8], found: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(tl) = block.get(at..at + 4) {
        let end = at + 4 + usize::from(u16::from_le_bytes([tl[2], tl[3]]));
        assert!(end <= block.len(), "a TLV beyond its block");
        if !matches!(tl[0], 7..=9) {
            found.extend(&block[at..end]);
        }
        at = end;
    }
    assert_eq!(at, block.len(), "the block's end is not covered");
}
