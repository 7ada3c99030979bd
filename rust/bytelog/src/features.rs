// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Feature bits of a log: kinds of contents that a reader of an earlier version
//! would replay wrongly. They are in the opener's HEAD.
//!
//! A bit says what the log's commits may contain. The opener is durable before
//! the second commit of a log is gathered, so that a later commit can need no bit
//! that the first one has not set.

use core::fmt;

use super::tlv::{split_first, Tag, Tlv, TL_LEN};

/// A set of feature bits, known and unknown ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u32);

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

impl Features {
    /// No bit: what every version reads.
    pub const NONE: Self = Self(0);
    /// DIR, and the INODE of a directory. CREAT, LINK and UNLINK of a directory come
    /// with one of them in the same commit.
    pub const DIRECTORIES: Self = Self(0x1);
    /// The INODE of what has neither extents nor inline data and is no directory: fast
    /// symlinks, devices, FIFOs and sockets, whose `i_block` is in the TLV.
    pub const SPECIAL: Self = Self(0x2);
    /// All that this version reads.
    pub const KNOWN: Self = Self(Self::DIRECTORIES.0 | Self::SPECIAL.0);

    /// The bits of HEAD's feature word.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// HEAD's feature word.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether there is no bit.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bits of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bits that `other` does not have.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What a reader must know to replay `tlv`.
    #[inline(always)]
    pub fn needed_by(tlv: &Tlv<'_>) -> Self {
        match tlv.tag() {
            Tag::Inode => Self::needed_by_inode(tlv.bytes()),
            Tag::Dir => Self::DIRECTORIES,
            _ => Self::NONE,
        }
    }

    /// The same of a whole INODE TLV.
    #[inline(always)]
    fn needed_by_inode(tlv: &[u8]) -> Self {
        let Some(inode) = tlv.first_chunk::<LOOKED_AT>() else {
            return Self::NONE;
        };
        match u16::from_le_bytes([inode[MODE], inode[MODE + 1]]) & TYPE_MASK {
            REGULAR => Self::NONE,
            DIRECTORY => Self::DIRECTORIES,
            _ => {
                let [.., f0, f1, f2, f3] = *inode;
                match u32::from_le_bytes([f0, f1, f2, f3]) & BLOCKS_ELSEWHERE {
                    0 => Self::SPECIAL,
                    _ => Self::NONE,
                }
            }
        }
    }

    /// What a reader must know to replay a run of whole TLVs.
    pub fn needed_by_run(mut run: &[u8]) -> Self {
        let mut needed = Self::NONE;
        while let Ok((tlv, rest)) = split_first(run, usize::MAX) {
            needed = needed.with(Self::needed_by(&tlv));
            run = rest;
        }
        needed
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut between = "";
        for (bit, name) in [
            (Self::DIRECTORIES, "directories"),
            (Self::SPECIAL, "special"),
        ] {
            if bit.without(*self).is_empty() {
                write!(f, "{between}{name}")?;
                between = ", ";
            }
        }
        let unknown = self.without(Self::KNOWN);
        if !unknown.is_empty() {
            write!(f, "{between}{:#x}", unknown.bits())?;
        }
        Ok(())
    }
}
