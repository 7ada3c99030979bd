// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Block 0 of an area: HEAD, ANCHOR and TAIL as conventional fast-commit TLVs.
//!
//! The TAIL's length reaches to the end of the block and its CRC is the stock
//! one: seed 0, from the block's start up to and including the TAIL's tid.

use core::fmt;

use zerocopy::little_endian::{U32, U64};
use zerocopy::IntoBytes;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::crc::Crc32c;
use super::features::Features;
use super::geometry::BlockSize;
use super::tlv::{self, Tag, ANCHOR_LEN, HEAD_LEN, TAIL_LEN, TL_LEN};

/// Bytes of block 0 that are read and written: two cache lines.
pub const OPENER_LEN: usize = 128;

/// Bytes of them that mean something; the rest is written as zeros and not
/// looked at.
pub const USED_LEN: usize = 68;

/// Offset in the block where the TAIL's value starts.
const TAIL_VALUE: usize = USED_LEN - TAIL_LEN;

/// Bytes that the TAIL's CRC covers: all in front of it.
const COVERED: usize = USED_LEN - size_of::<U32>();

/// The opener as it is on the media.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct RawOpener {
    head_tl: [u8; TL_LEN],
    features: U32,
    head_tid: U32,
    anchor_tl: [u8; TL_LEN],
    anchor_tid: U32,
    nonce: U32,
    head: U64,
    tail: U64,
    seq: U64,
    crc: U32,
    gap: U32,
    tail_tl: [u8; TL_LEN],
    tail_tid: U32,
    tail_crc: U32,
}

const _: () = assert!(size_of::<RawOpener>() == USED_LEN);

/// Header of the opener's TAIL: its value reaches to the end of the block.
fn tail_tl(block_size: BlockSize) -> [u8; TL_LEN] {
    let value_len = block_size.bytes().saturating_sub(TAIL_VALUE);
    // A block has at most 65536 bytes and 60 of them are in front.
    tlv::header(Tag::Tail, u16::try_from(value_len).unwrap_or(u16::MAX))
}

fn head_tl() -> [u8; TL_LEN] {
    tlv::header(Tag::Head, HEAD_LEN as u16)
}

fn anchor_tl() -> [u8; TL_LEN] {
    tlv::header(Tag::Anchor, ANCHOR_LEN as u16)
}

impl RawOpener {
    fn crc<C: Crc32c>(&self) -> u32 {
        let covered = self.as_bytes().get(..COVERED);
        C::update(0, covered.unwrap_or_default())
    }
}

/// What the opener of a log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opener {
    /// HEAD's feature word: what the commits may contain. Version 1: 0.
    pub features: Features,
    /// Transaction that the log belongs to.
    pub tid: u32,
    /// Random number of this life of the log. Version 1: garbage.
    pub nonce: u32,
    /// End of the first fast commit, bytes from the start of the area.
    pub head: u64,
    /// Start of the first fast commit, bytes from the start of the area.
    pub tail: u64,
    /// Number of records of the first fast commit.
    pub seq: u64,
    /// CRC32C, seed [`SEED`](super::crc::SEED), of its payloads put together.
    pub crc: u32,
}

impl Opener {
    /// The bytes for the start of block 0.
    pub fn encode<C: Crc32c>(&self, block_size: BlockSize) -> [u8; OPENER_LEN] {
        let mut raw = RawOpener {
            head_tl: head_tl(),
            features: U32::new(self.features.bits()),
            head_tid: U32::new(self.tid),
            anchor_tl: anchor_tl(),
            anchor_tid: U32::new(self.tid),
            nonce: U32::new(self.nonce),
            head: U64::new(self.head),
            tail: U64::new(self.tail),
            seq: U64::new(self.seq),
            crc: U32::new(self.crc),
            gap: U32::ZERO,
            tail_tl: tail_tl(block_size),
            tail_tid: U32::new(self.tid),
            tail_crc: U32::ZERO,
        };
        raw.tail_crc = U32::new(raw.crc::<C>());
        let mut out = [0; OPENER_LEN];
        if let Some(used) = out.first_chunk_mut::<USED_LEN>() {
            *used = zerocopy::transmute!(raw);
        }
        out
    }
}

/// What block 0 turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block0 {
    /// Neither a HEAD nor an anchor where they belong: no fast commit, as stock
    /// ext4 sees it too.
    Empty,
    /// A HEAD and then something else than an anchor: a log in stock format.
    Stock,
    /// An opener in which everything agrees.
    Whole(Opener),
    /// An opener was written here, but not all of it is there.
    NotWhole(OpenerFault),
}

/// Why an opener is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenerFault {
    /// HEAD is not where it belongs.
    Head,
    /// The anchor has another length than the format's.
    AnchorLen,
    /// TAIL is not where it belongs, or does not reach to the block's end.
    Tail,
    /// HEAD, anchor and TAIL name different transactions.
    Tid,
    /// TAIL's CRC.
    Crc,
}

impl fmt::Display for OpenerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "no HEAD in front of the anchor",
            Self::AnchorLen => "the anchor's length is wrong",
            Self::Tail => "no TAIL behind the anchor",
            Self::Tid => "HEAD, anchor and TAIL name different transactions",
            Self::Crc => "the TAIL's CRC does not match",
        })
    }
}

/// A copy of the start of block 0.
#[derive(Clone, Copy)]
pub struct Prefix {
    raw: RawOpener,
}

impl Prefix {
    /// Takes the copy.
    pub fn new(bytes: &[u8; OPENER_LEN]) -> Self {
        let mut used = [0; USED_LEN];
        if let Some(start) = bytes.first_chunk::<USED_LEN>() {
            used = *start;
        }
        Self {
            raw: zerocopy::transmute!(used),
        }
    }

    /// The transaction and the nonce at the anchor's fixed offsets, whether or
    /// not the opener is whole. They share one aligned 8-byte word, so that a
    /// torn write cannot mix two openers' in them.
    pub fn identity(&self) -> (u32, u32) {
        (self.raw.anchor_tid.get(), self.raw.nonce.get())
    }

    /// Whether [`was_of`](Self::was_of) can hold for `tid` and some nonce.
    pub fn may_be_of(&self, tid: u32) -> bool {
        let raw = &self.raw;
        raw.anchor_tid.get() == tid || (raw.head_tid.get() == tid && raw.tail_tid.get() == tid)
    }

    /// Whether the opener of `tid` and `nonce` was here: its identity still is, or
    /// all of it but its identity, which the TAIL's CRC tells.
    ///
    /// The second does not hold for a torn opener and the nonce of an older life
    /// whose records lie underneath, not even if they are of the same tid and the
    /// same to the byte: the CRC is that of the new nonce, or where it is missing
    /// that of what was here before, and the older life's opener was wiped.
    pub fn was_of<C: Crc32c>(&self, tid: u32, nonce: u32, block_size: BlockSize) -> bool {
        let mut mended = *self;
        mended.raw.anchor_tid = U32::new(tid);
        mended.raw.nonce = U32::new(nonce);
        self.identity() == (tid, nonce)
            || matches!(mended.classify::<C>(block_size), Block0::Whole(_))
    }

    /// What the block is. A HEAD's tid and the TLV header after it share one
    /// aligned 8-byte word, so that a torn opener over a stock log is either
    /// told as an opener or has the stock log's tid.
    pub fn classify<C: Crc32c>(&self, block_size: BlockSize) -> Block0 {
        let raw = &self.raw;
        let [h0, h1, ..] = raw.head_tl;
        let [a0, a1, ..] = raw.anchor_tl;
        let has_head = u16::from_le_bytes([h0, h1]) == Tag::Head.raw();
        if u16::from_le_bytes([a0, a1]) != Tag::Anchor.raw() {
            return if has_head {
                Block0::Stock
            } else {
                Block0::Empty
            };
        }
        if raw.head_tl != head_tl() {
            return Block0::NotWhole(OpenerFault::Head);
        }
        if raw.anchor_tl != anchor_tl() {
            return Block0::NotWhole(OpenerFault::AnchorLen);
        }
        if raw.tail_tl != tail_tl(block_size) {
            return Block0::NotWhole(OpenerFault::Tail);
        }
        let tid = raw.head_tid.get();
        if raw.anchor_tid.get() != tid || raw.tail_tid.get() != tid {
            return Block0::NotWhole(OpenerFault::Tid);
        }
        if raw.crc::<C>() != raw.tail_crc.get() {
            return Block0::NotWhole(OpenerFault::Crc);
        }
        Block0::Whole(Opener {
            features: Features::from_bits(raw.features.get()),
            tid,
            nonce: raw.nonce.get(),
            head: raw.head.get(),
            tail: raw.tail.get(),
            seq: raw.seq.get(),
            crc: raw.crc.get(),
        })
    }
}
