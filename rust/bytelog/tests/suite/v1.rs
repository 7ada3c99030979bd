// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A writer of version 1 images, for tests: the format as the RFC left it, with
//! garbage in the anchor's gaps.

use super::common::*;
use bytelog::crc::Crc32c;

/// One record of a version 1 log.
pub struct V1Record {
    /// The TLV's tag, or 0xffff for a run.
    pub tag: u16,
    pub payload: Vec<u8>,
}

impl V1Record {
    pub fn single(tlv: Vec<u8>) -> Self {
        Self {
            tag: u16::from_le_bytes([tlv[0], tlv[1]]),
            payload: tlv,
        }
    }

    pub fn run(tlvs: &[Vec<u8>]) -> Self {
        Self {
            tag: 0xffff,
            payload: tlvs.concat(),
        }
    }

    fn encode(&self, tid: u32, seq: u64) -> Vec<u8> {
        let padded = self.payload.len().next_multiple_of(64);
        let mut out = Vec::new();
        out.extend(0x4c42_4346u32.to_le_bytes());
        out.extend(1u16.to_le_bytes());
        out.extend(64u16.to_le_bytes());
        out.extend(tid.to_le_bytes());
        out.extend(self.tag.to_le_bytes());
        out.extend(1u16.to_le_bytes());
        out.extend((self.payload.len() as u32).to_le_bytes());
        out.extend(Crc::update(!0, &self.payload).to_le_bytes());
        out.extend((64 + padded as u32).to_le_bytes());
        out.extend(0u32.to_le_bytes());
        out.extend(seq.to_le_bytes());
        out.resize(64, 0);
        seal_v1(&mut out);
        out.extend(&self.payload);
        out.resize(64 + padded, 0);
        out
    }
}

/// Puts the right CRC into a version 1 header.
pub fn seal_v1(header: &mut [u8]) {
    header[28..32].fill(0);
    let crc = Crc::update(!0, &header[..64]);
    header[28..32].copy_from_slice(&crc.to_le_bytes());
}

/// Puts the right CRC into an opener's TAIL.
pub fn seal_opener(block: &mut [u8]) {
    let crc = Crc::update(0, &block[..64]);
    block[64..68].copy_from_slice(&crc.to_le_bytes());
}

/// Writes a version 1 log for `tid` into `area`, its window starting at `tail`.
pub fn write_v1(area: &mut [u8], tid: u32, tail: usize, records: &[V1Record]) {
    let mut at = tail;
    for (seq, record) in records.iter().enumerate() {
        let bytes = record.encode(tid, seq as u64);
        area[at..at + bytes.len()].copy_from_slice(&bytes);
        at += bytes.len();
    }
    let payloads: Vec<u8> = records.iter().flat_map(|r| r.payload.clone()).collect();
    let mut opener = Vec::new();
    opener.extend([9, 0, 8, 0, 0, 0, 0, 0]);
    opener.extend(tid.to_le_bytes());
    opener.extend([0x0a, 0, 40, 0]);
    opener.extend(tid.to_le_bytes());
    opener.extend(0xdead_beefu32.to_le_bytes());
    opener.extend((at as u64).to_le_bytes());
    opener.extend((tail as u64).to_le_bytes());
    opener.extend((records.len() as u64).to_le_bytes());
    opener.extend(Crc::update(!0, &payloads).to_le_bytes());
    opener.extend(0x5555_5555u32.to_le_bytes());
    opener.extend([8, 0]);
    opener.extend((BLOCK as u16 - 60).to_le_bytes());
    opener.extend(tid.to_le_bytes());
    opener.extend([0; 4]);
    seal_opener(&mut opener);
    area[..68].copy_from_slice(&opener);
}
