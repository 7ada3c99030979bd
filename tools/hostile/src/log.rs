// SPDX-License-Identifier: GPL-2.0
//! A log as its fields, each of which can be anything. Written down, it has all
//! checksums that the fields leave room for.

use crate::Crc;
use bytelog::crc::{chain_seed, Crc32c, SEED};
use bytelog::reader::{read_log, Expected, ReadArea, Sink, SCRATCH_LEN};
use bytelog::record::Record;
use bytelog::tlv::{Tag, Tlvs};
use std::convert::Infallible;

/// "FCBL".
pub const MAGIC: u32 = 0x4c42_4346;
/// Bytes of a record's header, and its alignment.
pub const LINE: usize = 64;
/// Block size in bytes.
pub const BLOCK: usize = 4096;
/// Flags of a record: it is complete; it is the last of its fast commit.
pub const COMMITTED: u16 = 1;
/// See [`COMMITTED`].
pub const SEAL: u16 = 2;
/// Feature bits that readers know.
pub const KNOWN: u32 = bytelog::features::Features::KNOWN.bits();
/// Tag of a record that holds a run of TLVs.
pub const RUN: u16 = 0xffff;

/// A record: its header's fields, and what stands behind the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rec {
    /// The fields, in their order.
    pub magic: u32,
    /// 1 or 2.
    pub version: u16,
    /// Bytes of the header.
    pub hdr_len: u16,
    /// Transaction.
    pub tid: u32,
    /// Tag of the payload's TLV, or [`RUN`].
    pub tag: u16,
    /// [`COMMITTED`], [`SEAL`].
    pub flags: u16,
    /// Bytes of payload, as the header has it.
    pub payload_len: u32,
    /// Header, payload and padding in bytes, as the header has it.
    pub record_len: u32,
    /// Number within the transaction.
    pub seq: u64,
    /// Ordinal of the fast commit.
    pub commit: u32,
    /// Of the opener.
    pub nonce: u32,
    /// First of the reserved bytes.
    pub reserved: u8,
    /// What really stands there.
    pub payload: Vec<u8>,
    /// Zeros in front of the record, in bytes.
    pub gap: usize,
}

impl Rec {
    /// A record as it should be.
    pub fn new(log: &Opener, seq: u64, commit: u32, payload: Vec<u8>) -> Self {
        let mut rec = Self {
            magic: MAGIC,
            version: 2,
            hdr_len: LINE as u16,
            tid: log.tid,
            tag: RUN,
            flags: COMMITTED | SEAL,
            payload_len: 0,
            record_len: 0,
            seq,
            commit,
            nonce: log.nonce,
            reserved: 0,
            payload,
            gap: 0,
        };
        rec.measure();
        rec
    }

    /// Puts the lengths right.
    pub fn measure(&mut self) {
        self.payload_len = self.payload.len() as u32;
        self.record_len = (LINE + self.payload.len().next_multiple_of(LINE)) as u32;
    }

    /// The header with its CRC, from `seed` on; and that CRC.
    fn header(&self, seed: u32) -> ([u8; LINE], u32) {
        // What the payload's length covers, if that much is there.
        let covered = self.payload.get(..self.payload_len as usize);
        let payload_crc = Crc::update(SEED, covered.unwrap_or(&self.payload));
        let mut bytes = [0; LINE];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&self.magic.to_le_bytes());
        put(&self.version.to_le_bytes());
        put(&self.hdr_len.to_le_bytes());
        put(&self.tid.to_le_bytes());
        put(&self.tag.to_le_bytes());
        put(&self.flags.to_le_bytes());
        put(&self.payload_len.to_le_bytes());
        put(&payload_crc.to_le_bytes());
        put(&self.record_len.to_le_bytes());
        put(&[0; 4]);
        put(&self.seq.to_le_bytes());
        put(&self.commit.to_le_bytes());
        put(&self.nonce.to_le_bytes());
        put(&[self.reserved]);
        let crc = Crc::update(seed, &bytes);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }
}

/// The opener's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opener {
    /// HEAD's feature word.
    pub features: u32,
    /// Transaction: HEAD's, the anchor's and TAIL's.
    pub tid: u32,
    /// What is added to each of them, to make them differ.
    pub skew: [u32; 3],
    /// Of this life of the log.
    pub nonce: u32,
    /// End and start of the first fast commit; `None`: as they are.
    pub head: Option<u64>,
    /// See `head`.
    pub tail: Option<u64>,
    /// Its records; `None`: as many as there are.
    pub seq: Option<u64>,
    /// CRC over its payloads; `None`: the right one.
    pub crc: Option<u32>,
    /// Tags and lengths of HEAD, anchor and TAIL.
    pub tl: [[u16; 2]; 3],
}

impl Opener {
    /// An opener as it should be.
    pub fn new(tid: u32, nonce: u32) -> Self {
        Self {
            features: 0,
            tid,
            skew: [0; 3],
            nonce,
            head: None,
            tail: None,
            seq: None,
            crc: None,
            tl: [[9, 8], [10, 40], [8, BLOCK as u16 - 60]],
        }
    }
}

/// A log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Block 0.
    pub opener: Opener,
    /// The rest, one after another.
    pub records: Vec<Rec>,
    /// The filesystem's UUID.
    pub uuid: [u8; 16],
}

struct Bytes<'a>(&'a [u8]);

impl ReadArea for Bytes<'_> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn copy_out(&self, off: u64, buf: &mut [u8]) -> Result<(), Infallible> {
        buf.copy_from_slice(&self.0[off as usize..][..buf.len()]);
        Ok(())
    }
}

#[derive(Default)]
struct Collect(Vec<Rec>);

impl Sink for Collect {
    type Error = Infallible;

    fn record(&mut self, record: &Record, payload: &[u8]) -> Result<(), Infallible> {
        let opener = Opener::new(record.tid(), record.nonce());
        let mut rec = Rec::new(&opener, record.seq(), record.commit(), payload.to_vec());
        if !record.is_sealed() {
            rec.flags = COMMITTED;
        }
        self.0.push(rec);
        Ok(())
    }

    fn sealed(&mut self, _commit: u32) -> Result<(), Infallible> {
        Ok(())
    }
}

/// How a reader takes an area: fast commits found, or why it refuses.
pub fn judge(area: &[u8], tid: u32, uuid: &[u8; 16]) -> Result<u32, String> {
    let expected = Expected {
        tid,
        uuid,
        block_size: BLOCK as u32,
    };
    let mut scratch = vec![0; SCRATCH_LEN];
    read_log::<Crc, _, _>(
        &Bytes(area),
        &expected,
        &mut scratch,
        &mut Collect::default(),
    )
    .map(|log| log.commits)
    .map_err(|error| error.to_string())
}

impl Log {
    /// Takes a version 2 log apart. `None` if there is none of whole fast commits.
    pub fn parse(area: &[u8], uuid: [u8; 16]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(area.get(at..at + 4)?.try_into().ok()?));
        let opener = Opener {
            features: word(4)?,
            ..Opener::new(word(16)?, word(20)?)
        };
        let expected = Expected {
            tid: opener.tid,
            uuid: &uuid,
            block_size: BLOCK as u32,
        };
        let mut found = Collect::default();
        let mut scratch = vec![0; SCRATCH_LEN];
        let log = read_log::<Crc, _, _>(&Bytes(area), &expected, &mut scratch, &mut found).ok()?;
        found.0.truncate(log.records as usize);
        (!found.0.is_empty()).then_some(Self {
            opener,
            records: found.0,
            uuid,
        })
    }

    /// The same TLVs as the RFC would log them: one fast commit. It knows no DIR.
    pub fn to_v1(&self) -> Self {
        let mut log = self.clone();
        log.opener.features = 0;
        for rec in &mut log.records {
            let tlvs = Tlvs::new(&rec.payload, usize::MAX).filter_map(Result::ok);
            let others = tlvs.filter(|tlv| tlv.tag() != Tag::Dir);
            rec.payload = others.flat_map(|tlv| tlv.bytes().to_vec()).collect();
            rec.measure();
        }
        log.records.retain(|rec| !rec.payload.is_empty());
        for (seq, rec) in (0..).zip(&mut log.records) {
            rec.seq = seq;
        }
        for rec in &mut log.records {
            (rec.version, rec.flags, rec.commit, rec.nonce) = (1, COMMITTED, 0, 0);
        }
        log
    }

    /// Whether the records are of version 1.
    pub fn is_v1(&self) -> bool {
        self.records
            .first()
            .is_some_and(|rec| rec.commit == 0 && rec.nonce == 0)
    }

    /// Ordinal of the last fast commit.
    pub fn commits(&self) -> u32 {
        self.records.last().map_or(0, |rec| rec.commit)
    }

    /// Writes the log over an area of `len` bytes.
    pub fn write(&self, len: usize) -> Vec<u8> {
        let v1 = self.is_v1();
        let mut area = vec![0; BLOCK];
        let Opener { tid, nonce, .. } = self.opener;
        let mut chain = chain_seed::<Crc>(&self.uuid, tid, nonce);
        let first = self.records.first().map_or(0, |rec| rec.commit);
        let (mut head, mut seq, mut crc) = (BLOCK, 0, SEED);
        for rec in &self.records {
            area.resize(area.len() + rec.gap, 0);
            let (header, header_crc) = rec.header(if v1 { SEED } else { chain });
            chain = header_crc;
            area.extend(header);
            area.extend(&rec.payload);
            area.resize(area.len().next_multiple_of(LINE), 0);
            if v1 || rec.commit == first {
                head = area.len();
                seq += 1;
                crc = Crc::update(crc, &rec.payload);
            }
        }
        area.resize(len, 0);
        let opener = self.opener_bytes(head as u64, seq, crc);
        area[..opener.len()].copy_from_slice(&opener);
        area
    }

    fn opener_bytes(&self, head: u64, seq: u64, crc: u32) -> Vec<u8> {
        let Opener {
            features,
            tid,
            nonce,
            ..
        } = self.opener;
        let [in_head, in_anchor, in_tail] = self.opener.skew.map(|skew| tid.wrapping_add(skew));
        let mut out = Vec::new();
        let mut tl = self.opener.tl.iter().map(|[tag, len]| {
            let ([a, b], [c, d]) = (tag.to_le_bytes(), len.to_le_bytes());
            [a, b, c, d]
        });
        out.extend(tl.next().unwrap_or_default());
        out.extend(features.to_le_bytes());
        out.extend(in_head.to_le_bytes());
        out.extend(tl.next().unwrap_or_default());
        out.extend(in_anchor.to_le_bytes());
        out.extend(nonce.to_le_bytes());
        out.extend(self.opener.head.unwrap_or(head).to_le_bytes());
        out.extend(self.opener.tail.unwrap_or(BLOCK as u64).to_le_bytes());
        out.extend(self.opener.seq.unwrap_or(seq).to_le_bytes());
        out.extend(self.opener.crc.unwrap_or(crc).to_le_bytes());
        out.extend([0; 4]);
        out.extend(tl.next().unwrap_or_default());
        out.extend(in_tail.to_le_bytes());
        let crc = Crc::update(0, &out);
        out.extend(crc.to_le_bytes());
        out
    }
}
