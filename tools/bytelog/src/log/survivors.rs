// SPDX-License-Identifier: GPL-2.0

//! Records beyond the end of a log: what the reader did not go on to, and why each
//! does not count.

use crate::bytes::{le16, le32};
use crate::crc::Crc;
use crate::error::Result;
use bytelog::error::Fault;
use bytelog::reader::ReadArea;
use bytelog::record::{Record, ALIGN, HEADER_LEN, MAGIC};
use serde::Serialize;

/// Bytes of the area looked through at a time.
const CHUNK: usize = 1 << 16;

/// A record header beyond the log's end, of its transaction and nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Survivor {
    /// Bytes from the start of the area.
    pub offset: u64,
    /// Bytes that it takes, as it says.
    pub len: u64,
    /// Ordinal of the fast commit, as it says.
    pub commit: u32,
    /// Number of the record, as it says.
    pub seq: u32,
    /// Why it does not continue what is in front of it.
    pub reason: String,
}

/// What the records of a log have in common, and how its chain goes on at its end.
pub struct LogId {
    /// Transaction.
    pub tid: u32,
    /// Nonce of its opener.
    pub nonce: u32,
    /// Seed of the header CRC of the record that should stand at the end.
    pub chain: u32,
}

/// The headers of the log's records from `from`, its end, on.
pub fn find<A>(area: &A, from: u64, log: &LogId, max_tlv: usize) -> Result<Vec<Survivor>>
where
    A: ReadArea<Error = crate::error::Error>,
{
    let mut found = Vec::new();
    let mut at = from;
    let mut chunk = vec![0; CHUNK];
    // Where the next record has to stand, and the seed of its header CRC.
    let mut next = (from, log.chain);
    while at < area.len() {
        let left = usize::try_from(area.len() - at).unwrap_or(CHUNK);
        let now = chunk.get_mut(..left.min(CHUNK)).unwrap_or_default();
        area.copy_out(at, now)?;
        for slot in now.chunks_exact(ALIGN) {
            let is_ours = le32(slot, 8) == log.tid && le32(slot, 44) == log.nonce;
            if le32(slot, 0) == MAGIC && is_ours {
                let reason = match next {
                    (end, seed) if end == at => check(area, at, slot, seed, max_tlv)?,
                    _ => "what is in front of it is missing".to_owned(),
                };
                found.push(Survivor {
                    offset: at,
                    len: u64::from(le32(slot, 24)).min(area.len() - at),
                    commit: le32(slot, 40),
                    seq: le32(slot, 32),
                    reason,
                });
                next = (at + u64::from(le32(slot, 24)), le32(slot, 28));
            }
            at += ALIGN as u64;
        }
    }
    Ok(found)
}

/// Why the record at `at` is not one that continues the chain.
fn check<A>(area: &A, at: u64, header: &[u8], seed: u32, max_tlv: usize) -> Result<String>
where
    A: ReadArea<Error = crate::error::Error>,
{
    let parsed = match header.first_chunk::<HEADER_LEN>() {
        Some(header) => Record::parse_v2::<Crc>(header, seed),
        None => Err(Fault::HeaderLen(le16(header, 6))),
    };
    let record = match parsed {
        Ok(record) => record,
        Err(fault) => return Ok(fault.to_string()),
    };
    let body_at = at + HEADER_LEN as u64;
    let body_len = record.record_len() - HEADER_LEN;
    if body_at + body_len as u64 > area.len() {
        return Ok(Fault::Bounds.to_string());
    }
    let mut body = vec![0; body_len];
    area.copy_out(body_at, &mut body)?;
    Ok(match record.check_body::<Crc>(&body, max_tlv) {
        Ok(_) => "whole, but what is in front of it is missing".to_owned(),
        Err(fault) => fault.to_string(),
    })
}
