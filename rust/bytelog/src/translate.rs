// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Translation of a run of TLVs to conventional fast-commit blocks, for ext4's
//! own replay callback.
//!
//! The blocks are laid out as `ext4_fc_reserve_space()` and
//! `ext4_fc_write_tail()` do it, and CRCed as `ext4_fc_replay_scan()` checks it:
//! one fast commit of HEAD, the TLVs in order, a PAD at the end of every block
//! but the last, and TAIL.

use core::fmt;
use core::marker::PhantomData;

use super::crc::Crc32c;
use super::geometry::{BlockSize, GeometryError};
use super::tlv::{self, Tag, TlvError, Tlvs, HEAD_LEN, TAIL_LEN, TL_LEN};

/// Bytes of a TAIL without what fills the block.
const TAIL_TLV: usize = TL_LEN + TAIL_LEN;

/// Makes conventional blocks of TLVs, one block at a time.
pub struct Translator<'a, C: Crc32c> {
    tlvs: Tlvs<'a>,
    /// A TLV that did not fit the block before.
    held: Option<&'a [u8]>,
    tid: u32,
    block_size: BlockSize,
    crc: u32,
    state: State,
    implementation: PhantomData<fn() -> C>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Going,
    Done,
}

/// Why there is no next block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TranslateError {
    /// Not a run of whole TLVs, or one of them is too long for a block.
    Tlv(TlvError),
    /// The buffer does not have the size of a block.
    Buffer,
}

impl fmt::Display for TranslateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tlv(error) => write!(f, "{error}"),
            Self::Buffer => f.write_str("buffer is not of a block's size"),
        }
    }
}

impl core::error::Error for TranslateError {}

/// A block being filled.
struct Block<'b> {
    bytes: &'b mut [u8],
    used: usize,
}

impl Block<'_> {
    /// Room for `len` bytes if a PAD's header still fits behind them.
    fn fits(&self, len: usize) -> bool {
        let end = self
            .used
            .checked_add(len)
            .and_then(|end| end.checked_add(TL_LEN));
        end.is_some_and(|end| end <= self.bytes.len())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), TranslateError> {
        let rest = self.bytes.get_mut(self.used..);
        match rest.and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(room) => room.copy_from_slice(bytes),
            None => return Err(TranslateError::Buffer),
        }
        self.used = self.used.saturating_add(bytes.len());
        Ok(())
    }

    /// Header of a TLV whose value fills the block.
    fn filler(&self, tag: Tag) -> Result<[u8; TL_LEN], TranslateError> {
        let left = self.bytes.len().checked_sub(self.used);
        let value = left.and_then(|left| left.checked_sub(TL_LEN));
        match value.and_then(|len| u16::try_from(len).ok()) {
            Some(len) => Ok(tlv::header(tag, len)),
            None => Err(TranslateError::Buffer),
        }
    }

    /// Zeroes what has not been written.
    fn clear_rest(&mut self) {
        self.bytes.get_mut(self.used..).unwrap_or_default().fill(0);
    }

    fn written(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

impl<'a, C: Crc32c> Translator<'a, C> {
    /// Translates `tlvs`, whole TLVs in log order, as one fast commit of `tid`.
    pub fn new(tlvs: &'a [u8], tid: u32, block_size: u32) -> Result<Self, GeometryError> {
        let block_size = BlockSize::new(block_size)?;
        Ok(Self {
            tlvs: Tlvs::new(tlvs, block_size.max_tlv()),
            held: None,
            tid,
            block_size,
            crc: 0,
            state: State::Start,
            implementation: PhantomData,
        })
    }

    /// Fills `out`, which must have the block size, with the next block. False if
    /// there is none left, or after an error; `out` is then as it was. An error leaves
    /// a part of a block in it.
    pub fn next_block(&mut self, out: &mut [u8]) -> Result<bool, TranslateError> {
        if out.len() != self.block_size.bytes() {
            return Err(TranslateError::Buffer);
        }
        if self.state == State::Done {
            return Ok(false);
        }
        let result = self.fill(out);
        if result.is_err() {
            self.state = State::Done;
        }
        result
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<bool, TranslateError> {
        let mut block = Block {
            bytes: out,
            used: 0,
        };
        if self.state == State::Start {
            block.put(&tlv::header(Tag::Head, HEAD_LEN as u16))?;
            block.put(&0u32.to_le_bytes())?;
            block.put(&self.tid.to_le_bytes())?;
            self.state = State::Going;
        }
        while let Some(bytes) = self.next_tlv()? {
            if !block.fits(bytes.len()) {
                self.held = Some(bytes);
                return self.pad(&mut block);
            }
            block.put(bytes)?;
        }
        if !block.fits(TAIL_TLV) {
            return self.pad(&mut block);
        }
        let tail = block.filler(Tag::Tail)?;
        block.put(&tail)?;
        block.put(&self.tid.to_le_bytes())?;
        self.crc = C::update(self.crc, block.written());
        block.put(&self.crc.to_le_bytes())?;
        block.clear_rest();
        self.state = State::Done;
        Ok(true)
    }

    fn next_tlv(&mut self) -> Result<Option<&'a [u8]>, TranslateError> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        match self.tlvs.next() {
            Some(Ok(tlv)) => Ok(Some(tlv.bytes())),
            Some(Err(error)) => Err(TranslateError::Tlv(error)),
            None => Ok(None),
        }
    }

    /// Ends a block that is not the last.
    fn pad(&mut self, block: &mut Block<'_>) -> Result<bool, TranslateError> {
        let pad = block.filler(Tag::Pad)?;
        block.put(&pad)?;
        block.clear_rest();
        self.crc = C::update(self.crc, block.bytes);
        Ok(true)
    }
}
