// SPDX-License-Identifier: GPL-2.0

//! Records beyond the end of a log: what the reader did not go on to, and why each
//! does not count.
//!
//! A header's checksum is seeded with that of the header in front of it. So a header can
//! be checked as long as the four bytes of the checksum in front are there, whatever else
//! of that record is lost. What a header says counts only if its checksum is right.

use crate::bytes::le32;
use crate::crc::{crc32c, Crc};
use bytelog::crc::{chain_seed, SEED};
use bytelog::error::Fault;
use bytelog::reader::ReadArea;
use bytelog::record::{record_len, Record, ALIGN, HEADER_LEN, MAGIC};
use bytelog::tlv::Tlvs;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// Bytes of the area looked through at a time. Where they cannot be read, the next ones
/// are.
const CHUNK: usize = 4096;

/// Offsets of the header's fields.
mod field {
    pub const TID: usize = 8;
    pub const PAYLOAD_LEN: usize = 16;
    pub const PAYLOAD_CRC: usize = 20;
    pub const RECORD_LEN: usize = 24;
    pub const HEADER_CRC: usize = 28;
    pub const NONCE: usize = 44;
}

/// Checksums of earlier headers that a record is tried with.
const SEEDS: usize = 4;

/// A record header beyond the log's end, of its transaction and nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Survivor {
    /// Bytes from the start of the area.
    pub offset: u64,
    /// Bytes that it takes; those of its header if a checksum does not vouch for more.
    pub len: u64,
    /// Ordinal of the fast commit, if the header's checksum is right.
    pub commit: Option<u32>,
    /// Number of the record, if the header's checksum is right.
    pub seq: Option<u64>,
    /// Why it does not continue what is in front of it.
    pub reason: String,
    /// Its TLVs, if their checksum is right.
    #[serde(skip)]
    pub payload: Option<Vec<u8>>,
}

impl fmt::Display for Survivor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.seq, self.commit) {
            (Some(seq), Some(commit)) => write!(f, "record {seq} of commit {commit}")?,
            _ => f.write_str("a record")?,
        }
        write!(f, " at offset {}: {}", self.offset, self.reason)
    }
}

/// What the records of a log have in common, and how its chain goes on at its end.
pub struct LogId<'a> {
    /// Transaction.
    pub tid: u32,
    /// UUID of the filesystem.
    pub uuid: &'a [u8; 16],
    /// Nonce of its opener; `None` if that is not whole.
    pub nonce: Option<u32>,
    /// Header CRC of the record in front of the end.
    pub chain: Option<u32>,
}

/// The headers of the log's records from `from`, its end, on.
pub fn find<A>(area: &A, from: u64, log: &LogId<'_>, max_tlv: usize) -> Vec<Survivor>
where
    A: ReadArea<Error = crate::error::Error>,
{
    let mut search = Search {
        area,
        log,
        max_tlv,
        next: Some(from),
        seeds: log.chain.into_iter().collect(),
        found: Vec::new(),
    };
    let mut at = from;
    let mut chunk = vec![0; CHUNK];
    while at < area.len() {
        let left = usize::try_from(area.len() - at).unwrap_or(CHUNK);
        let now = chunk.get_mut(..left.min(CHUNK)).unwrap_or_default();
        if area.copy_out(at, now).is_ok() {
            for (slot, place) in now.chunks_exact(ALIGN).zip((at..).step_by(ALIGN)) {
                search.slot(slot, place);
            }
        }
        at += now.len() as u64;
    }
    search.found
}

/// A look through the area.
struct Search<'a, A> {
    area: &'a A,
    log: &'a LogId<'a>,
    max_tlv: usize,
    /// Where the next record has to stand, if that is known.
    next: Option<u64>,
    /// Checksums that the next header may be seeded with.
    seeds: Vec<u32>,
    found: Vec<Survivor>,
}

impl<A: ReadArea<Error = crate::error::Error>> Search<'_, A> {
    fn slot(&mut self, slot: &[u8], at: u64) {
        let is_expected = self.next == Some(at);
        let nonce = le32(slot, field::NONCE);
        let is_ours = le32(slot, 0) == MAGIC
            && le32(slot, field::TID) == self.log.tid
            && self.log.nonce.is_none_or(|ours| ours == nonce);
        if is_ours {
            let survivor = self.survivor(slot, at, nonce, is_expected);
            self.next = (survivor.len > HEADER_LEN as u64).then(|| at.saturating_add(survivor.len));
            self.found.push(survivor);
        }
        // The header that should stand here may have lost its other bytes.
        if is_ours || is_expected {
            self.seeds.push(le32(slot, field::HEADER_CRC));
            let old = self.seeds.len().saturating_sub(SEEDS);
            self.seeds.drain(..old);
        }
    }

    fn survivor(&self, slot: &[u8], at: u64, nonce: u32, is_expected: bool) -> Survivor {
        let first = chain_seed::<Crc>(self.log.uuid, self.log.tid, nonce);
        let parsed = slot.first_chunk::<HEADER_LEN>().and_then(|header| {
            let seeds = self.seeds.iter().rev().chain([&first]);
            let parsed = seeds.map(|seed| Record::parse_v2::<Crc>(header, *seed));
            // The first that does not fail by the checksum tells.
            let mut parsed = parsed.filter(|record| *record != Err(Fault::HeaderCrc));
            parsed.next()
        });
        let mut survivor = Survivor {
            offset: at,
            len: HEADER_LEN as u64,
            commit: None,
            seq: None,
            reason: String::new(),
            payload: None,
        };
        let record = match parsed {
            Some(Ok(record)) => record,
            Some(Err(fault)) => {
                survivor.reason = fault.to_string();
                return survivor;
            }
            None => {
                self.by_payload(slot, &mut survivor);
                let has = match survivor.payload {
                    Some(_) => "payload whole, but ",
                    None => "",
                };
                survivor.reason = match is_expected {
                    true => format!("{has}{}", Fault::HeaderCrc),
                    false => format!("{has}no header in front of it to check its own by"),
                };
                return survivor;
            }
        };
        survivor.commit = Some(record.commit());
        survivor.seq = Some(record.seq());
        survivor.len = (record.record_len() as u64).min(self.area.len() - at);
        let body = match self.body(at, record.record_len()) {
            Ok(body) => body,
            Err(reason) => {
                survivor.reason = reason;
                return survivor;
            }
        };
        survivor.reason = match record.check_body::<Crc>(&body, self.max_tlv) {
            Ok(payload) => {
                survivor.payload = Some(payload.to_vec());
                "whole, but what is in front of it is missing".to_owned()
            }
            Err(fault) => fault.to_string(),
        };
        survivor
    }

    /// Takes what the payload's checksum vouches for, where that of the header does not.
    fn by_payload(&self, slot: &[u8], survivor: &mut Survivor) {
        let len = le32(slot, field::PAYLOAD_LEN) as usize;
        let Some(whole) = record_len(len).filter(|_| len > 0) else {
            return;
        };
        if le32(slot, field::RECORD_LEN) as usize != whole {
            return;
        }
        let Ok(mut body) = self.body(survivor.offset, whole) else {
            return;
        };
        body.truncate(len);
        let is_right = crc32c(SEED, &body) == le32(slot, field::PAYLOAD_CRC);
        if is_right && Tlvs::new(&body, self.max_tlv).all(|tlv| tlv.is_ok()) {
            survivor.len = whole as u64;
            survivor.payload = Some(body);
        }
    }

    /// Payload and padding of the record of `len` bytes at `at`.
    fn body(&self, at: u64, len: usize) -> std::result::Result<Vec<u8>, String> {
        if at.saturating_add(len as u64) > self.area.len() {
            return Err(Fault::Bounds.to_string());
        }
        let mut body = vec![0; len.saturating_sub(HEADER_LEN)];
        let read = self.area.copy_out(at + HEADER_LEN as u64, &mut body);
        read.map_err(|error| error.cause)?;
        Ok(body)
    }
}
