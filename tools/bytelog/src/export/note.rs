// SPDX-License-Identifier: GPL-2.0

//! What an unfinished export leaves behind the conventional blocks: how large the area
//! has to be again. Its first bytes are no TLV that ext4 knows, so that it ends the log.

use crate::bytes::le32;
use crate::crc::crc32c;

/// "FCBX".
const MAGIC: u32 = 0x5842_4346;
/// Bytes of it; the rest of its block is zero.
const LEN: usize = 16;

/// The note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// `s_num_fc_blks` as it was.
    pub stored_fc_blocks: u32,
    /// Transaction of the log.
    pub tid: u32,
}

impl Note {
    /// The start of its block.
    pub fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let words = [MAGIC, self.stored_fc_blocks, self.tid];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let (front, rest) = bytes.split_at_mut(LEN - 4);
        rest.copy_from_slice(&crc32c(!0, front).to_le_bytes());
        bytes
    }

    /// The note that a block starts with.
    pub fn decode(block: &[u8]) -> Option<Self> {
        let note = Self {
            stored_fc_blocks: le32(block, 4),
            tid: le32(block, 8),
        };
        block.starts_with(&note.encode()).then_some(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back() {
        let note = Note {
            stored_fc_blocks: 16,
            tid: 9,
        };
        let mut block = [0; 64];
        block[..LEN].copy_from_slice(&note.encode());
        assert_eq!(Note::decode(&block), Some(note));
        for at in 0..LEN {
            let mut other = block;
            other[at] ^= 4;
            assert_eq!(Note::decode(&other), None, "{at}");
        }
        assert_eq!(Note::decode(&[0; 64]), None);
    }
}
