// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Which features a reader must know to replay a TLV.

use super::features::Features;
use super::tlv::{split_first, Tag, Tlv, MAX_TLV, TL_LEN};

/// `offsetof(struct ext4_fc_inode, fc_raw_inode)`, behind the TLV's header.
const RAW_INODE: usize = TL_LEN + 4;
/// `offsetof(struct ext4_inode, i_mode)`, le16.
const MODE: usize = RAW_INODE;
/// `offsetof(struct ext4_inode, i_flags)`, le32.
const FLAGS: usize = RAW_INODE + 32;
/// Bytes of an INODE that are looked at; every one has more.
const LOOKED_AT: usize = FLAGS + 4;
/// `S_IFMT`, `S_IFDIR` and `S_IFREG`.
const TYPE_MASK: u16 = 0o170_000;
const DIRECTORY: u16 = 0o040_000;
const REGULAR: u16 = 0o100_000;
/// `EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL`: `i_block` is not taken from the TLV.
const BLOCKS_ELSEWHERE: u32 = 0x0008_0000 | 0x1000_0000;

/// What a reader must know to replay `tlv`.
pub fn of(tlv: &Tlv<'_>) -> Features {
    match tlv.tag() {
        Tag::Inode => of_inode(tlv.bytes()),
        tag => Features::from_bits(u32::from(tag.says()) & Features::KNOWN.bits()),
    }
}

/// The same of a run of whole TLVs.
pub fn of_run(mut run: &[u8]) -> Features {
    let mut needed = Features::NONE;
    while let Ok((tlv, rest)) = split_first(run, MAX_TLV) {
        needed = needed.with(of(&tlv));
        run = rest;
    }
    needed
}

/// The same of a whole INODE TLV.
#[inline(always)]
pub(super) fn of_inode(tlv: &[u8]) -> Features {
    let Some(inode) = tlv.first_chunk::<LOOKED_AT>() else {
        return Features::NONE;
    };
    match u16::from_le_bytes([inode[MODE], inode[MODE + 1]]) & TYPE_MASK {
        REGULAR => Features::NONE,
        DIRECTORY => Features::DIRECTORIES,
        _ => {
            let [.., f0, f1, f2, f3] = *inode;
            match u32::from_le_bytes([f0, f1, f2, f3]) & BLOCKS_ELSEWHERE {
                0 => Features::SPECIAL,
                _ => Features::NONE,
            }
        }
    }
}
