// SPDX-License-Identifier: GPL-2.0 OR MIT

//! ext4's fast-commit TLVs: tags, lengths, and a checked walk over a run of
//! them.
//!
//! Source of tags and lengths: `fs/ext4/fast_commit.h` and
//! `ext4_fc_value_len_isvalid()`, except [`Tag::Anchor`] and [`Tag::Dir`], which are
//! ByteLog's.

use core::fmt;

use super::features::Features;

/// Bytes of a TLV's header, `struct ext4_fc_tl`: tag le16, value length le16.
pub const TL_LEN: usize = 4;

/// `sizeof(struct ext4_fc_add_range)`.
const ADD_RANGE_LEN: usize = 16;
/// `sizeof(struct ext4_fc_del_range)`.
const DEL_RANGE_LEN: usize = 12;
/// `sizeof(struct ext4_fc_dentry_info)`, the name follows.
const DENTRY_INFO_LEN: usize = 8;
/// `EXT4_NAME_LEN`.
const NAME_MAX: usize = 255;
/// `sizeof(struct ext4_fc_inode)`, the raw inode follows.
const INODE_INFO_LEN: usize = 4;
/// `EXT4_GOOD_OLD_INODE_SIZE`.
const INODE_MIN: usize = 128;
/// `sizeof(struct ext4_fc_head)`.
pub const HEAD_LEN: usize = 8;
/// `sizeof(struct ext4_fc_tail)`; the tag's length reaches to the block's end.
pub const TAIL_LEN: usize = 8;
/// Bytes of ByteLog's anchor value.
pub const ANCHOR_LEN: usize = 40;
/// Bytes of a DIR's value: seven le32, `ino`, `i_ctime`, `i_mtime`, `i_ctime_extra`,
/// `i_mtime_extra`, and the low and high half of `i_version`.
pub const DIR_LEN: usize = 28;

/// Tag of a fast-commit TLV: `EXT4_FC_TAG_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Tag {
    /// An extent was added to an inode; describes file data.
    AddRange = 0x0001,
    /// A range was removed from an inode.
    DelRange = 0x0002,
    /// A directory entry and its inode were created.
    Creat = 0x0003,
    /// A directory entry was added.
    Link = 0x0004,
    /// A directory entry was removed.
    Unlink = 0x0005,
    /// A raw inode.
    Inode = 0x0006,
    /// Filler to the end of a block.
    Pad = 0x0007,
    /// End of a conventional fast commit.
    Tail = 0x0008,
    /// Start of a fast-commit area.
    Head = 0x0009,
    /// ByteLog's opener: where the log is. Unknown to a stock kernel, which
    /// therefore refuses the area.
    Anchor = 0x000a,
    /// A directory in which only names changed: its times and its version.
    Dir = 0x000b,
}

impl Tag {
    /// The tag with the on-media number `raw`.
    pub const fn from_raw(raw: u16) -> Option<Self> {
        Some(match raw {
            0x0001 => Self::AddRange,
            0x0002 => Self::DelRange,
            0x0003 => Self::Creat,
            0x0004 => Self::Link,
            0x0005 => Self::Unlink,
            0x0006 => Self::Inode,
            0x0007 => Self::Pad,
            0x0008 => Self::Tail,
            0x0009 => Self::Head,
            0x000a => Self::Anchor,
            0x000b => Self::Dir,
            _ => return None,
        })
    }

    /// The on-media number.
    pub const fn raw(self) -> u16 {
        self as u16
    }

    /// Whether a record's payload may hold this tag: what ext4 replays, as
    /// against what frames a conventional area.
    pub const fn in_payload(self) -> bool {
        matches!(
            self,
            Self::AddRange
                | Self::DelRange
                | Self::Creat
                | Self::Link
                | Self::Unlink
                | Self::Inode
                | Self::Dir
        )
    }

    /// Shortest and longest value, as `ext4_fc_value_len_isvalid()` has them. The
    /// filesystem's inode size is not known here; ext4 checks that bound again at
    /// replay.
    const fn value_lens(self) -> (usize, usize) {
        const MAX: usize = u16::MAX as usize;
        match self {
            Self::AddRange => (ADD_RANGE_LEN, ADD_RANGE_LEN),
            Self::DelRange => (DEL_RANGE_LEN, DEL_RANGE_LEN),
            Self::Creat | Self::Link | Self::Unlink => {
                (DENTRY_INFO_LEN + 1, DENTRY_INFO_LEN + NAME_MAX)
            }
            Self::Inode => (INODE_INFO_LEN + INODE_MIN, MAX),
            Self::Pad => (0, MAX),
            Self::Tail => (TAIL_LEN, MAX),
            Self::Head => (HEAD_LEN, HEAD_LEN),
            Self::Anchor => (ANCHOR_LEN, ANCHOR_LEN),
            Self::Dir => (DIR_LEN, DIR_LEN),
        }
    }

    /// What a TLV of this tag says whatever its value: [`DESCRIBES_DATA`], or bits of
    /// [`Features`]. Of an INODE it depends on the value.
    pub(super) const fn says(self) -> u16 {
        match self {
            Self::AddRange => DESCRIBES_DATA,
            Self::Dir => Features::DIRECTORIES.bits() as u16,
            _ => 0,
        }
    }

    /// What is to be known of the tag of a payload with the on-media number `raw`. A table:
    /// this is asked for every TLV logged.
    #[inline(always)]
    fn of_payload(raw: u16) -> Option<&'static Row> {
        const fn row(tag: Tag) -> Row {
            let (shortest, longest) = match tag.in_payload() {
                true => tag.value_lens(),
                // No value of so many bytes fits any payload.
                false => (u16::MAX as usize, u16::MAX as usize),
            };
            Row {
                tag,
                shortest: shortest as u16,
                more: longest.saturating_sub(shortest) as u16,
                says: tag.says(),
            }
        }
        const TABLE: [Row; 11] = [
            row(Tag::AddRange),
            row(Tag::DelRange),
            row(Tag::Creat),
            row(Tag::Link),
            row(Tag::Unlink),
            row(Tag::Inode),
            row(Tag::Pad),
            row(Tag::Tail),
            row(Tag::Head),
            row(Tag::Anchor),
            row(Tag::Dir),
        ];
        TABLE.get(usize::from(raw.wrapping_sub(1)))
    }

    /// Whether a value of `len` bytes is possible, as far as the filesystem's inode
    /// size has no part in it.
    pub const fn value_len_is_valid(self, len: usize) -> bool {
        let (shortest, longest) = self.value_lens();
        shortest <= len && len <= longest
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddRange => "ADD_RANGE",
            Self::DelRange => "DEL_RANGE",
            Self::Creat => "CREAT",
            Self::Link => "LINK",
            Self::Unlink => "UNLINK",
            Self::Inode => "INODE",
            Self::Pad => "PAD",
            Self::Tail => "TAIL",
            Self::Head => "HEAD",
            Self::Anchor => "ANCHOR",
            Self::Dir => "DIR",
        })
    }
}

/// The four header bytes of a TLV.
pub(super) fn header(tag: Tag, value_len: u16) -> [u8; TL_LEN] {
    let [t0, t1] = tag.raw().to_le_bytes();
    let [l0, l1] = value_len.to_le_bytes();
    [t0, t1, l0, l1]
}

/// Bytes of the TLV with which a run begins, as its header says; 0 if there is no header.
#[inline]
pub(super) fn len_of_first(run: &[u8]) -> usize {
    match run.first_chunk::<TL_LEN>() {
        Some(&[_, _, l0, l1]) => usize::from(u16::from_le_bytes([l0, l1])).saturating_add(TL_LEN),
        None => 0,
    }
}

/// Longest TLV of any payload, bytes: what a record's payload can have.
pub(super) const MAX_TLV: usize = 1 << 16;

/// A tag of the table: the shortest value it can have, and how much longer one may be.
pub(super) struct Row {
    pub(super) tag: Tag,
    shortest: u16,
    more: u16,
    /// See [`Tag::says`].
    pub(super) says: u16,
}

/// Beside the bits of [`Features`]: the TLV describes file data.
pub(super) const DESCRIBES_DATA: u16 = 1 << 15;

const _: () = assert!(Features::KNOWN.bits() < DESCRIBES_DATA as u32);

/// A TLV at the start of a run: what is known of its tag, its bytes, and what is behind.
type Split<'a> = (&'static Row, &'a [u8], &'a [u8]);

/// Takes the first TLV off a run of them, refusing one of more than `max_tlv` bytes, which
/// are [`MAX_TLV`] at most.
#[inline(always)]
pub(super) fn split(run: &[u8], max_tlv: usize) -> Result<Split<'_>, TlvFault> {
    let Some(header) = run.first_chunk::<TL_LEN>() else {
        return Err(TlvFault::Cut);
    };
    let header = u32::from_le_bytes(*header);
    let (raw, value_len) = (header as u16, (header >> 16) as u16);
    let Some(row) = Tag::of_payload(raw) else {
        return Err(TlvFault::Tag(raw));
    };
    let len = usize::from(value_len).saturating_add(TL_LEN);
    // Both ends in one comparison: what is too short wraps beyond every `more`.
    if value_len.wrapping_sub(row.shortest) > row.more || len > max_tlv {
        return Err(TlvFault::of_length(row.tag, value_len));
    }
    match run.split_at_checked(len) {
        Some((bytes, rest)) => Ok((row, bytes, rest)),
        None => Err(TlvFault::Cut),
    }
}

/// The same, as a TLV.
#[inline(always)]
pub(super) fn split_first(run: &[u8], max_tlv: usize) -> Result<(Tlv<'_>, &[u8]), TlvFault> {
    let (row, bytes, rest) = split(run, max_tlv)?;
    Ok((
        Tlv {
            tag: row.tag,
            bytes,
        },
        rest,
    ))
}

/// One TLV of a record's payload, length checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    tag: Tag,
    bytes: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// What it says; always a tag of [`Tag::in_payload`].
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// The whole TLV, header included.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The value, without the header.
    pub fn value(&self) -> &'a [u8] {
        self.bytes.get(TL_LEN..).unwrap_or_default()
    }
}

/// Walk over a run of whole TLVs, such as a record's payload. Yields each TLV,
/// or the first error and then nothing more.
#[derive(Clone, Debug)]
pub struct Tlvs<'a> {
    rest: &'a [u8],
    offset: usize,
    max_tlv: usize,
}

impl<'a> Tlvs<'a> {
    /// Walks `run`, refusing any TLV of more than `max_tlv` bytes (header
    /// included): one that no conventional block can hold.
    pub const fn new(run: &'a [u8], max_tlv: usize) -> Self {
        Self {
            rest: run,
            offset: 0,
            max_tlv: match max_tlv > MAX_TLV {
                true => MAX_TLV,
                false => max_tlv,
            },
        }
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<Tlv<'a>, TlvError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match split_first(self.rest, self.max_tlv) {
            Ok((tlv, rest)) => {
                self.rest = rest;
                self.offset = self.offset.saturating_add(tlv.bytes.len());
                Some(Ok(tlv))
            }
            Err(fault) => {
                self.rest = &[];
                Some(Err(TlvError {
                    offset: self.offset,
                    fault,
                }))
            }
        }
    }
}

/// Where and why a run of TLVs is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlvError {
    /// Bytes from the start of the run to the TLV at fault.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: TlvFault,
}

impl TlvError {
    /// A fault of the TLV with which `rest` begins, the end of `run`.
    #[cold]
    pub(super) fn at(run: &[u8], rest: &[u8], fault: TlvFault) -> Self {
        Self {
            offset: run.len().saturating_sub(rest.len()),
            fault,
        }
    }
}

/// What is wrong with a TLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvFault {
    /// The run ends inside the TLV.
    Cut,
    /// No tag, or one that a payload must not hold.
    Tag(u16),
    /// The tag cannot have a value of this length.
    Length(Tag, u16),
}

impl TlvFault {
    /// Of a value of `len` bytes: what frames a conventional area has no right length.
    #[cold]
    fn of_length(tag: Tag, len: u16) -> Self {
        match tag.in_payload() {
            true => Self::Length(tag, len),
            false => Self::Tag(tag.raw()),
        }
    }
}

impl fmt::Display for TlvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            TlvFault::Cut => write!(f, "TLV at {} is cut short", self.offset),
            TlvFault::Tag(raw) => write!(f, "TLV at {} has tag {raw:#06x}", self.offset),
            TlvFault::Length(tag, len) => {
                write!(f, "{tag} TLV at {} has length {len}", self.offset)
            }
        }
    }
}

impl core::error::Error for TlvError {}
