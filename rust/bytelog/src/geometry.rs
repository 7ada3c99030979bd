// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Size of a fast-commit area, checked once.

use core::fmt;

/// Smallest block size, bytes: ext4's `EXT4_MIN_BLOCK_SIZE`.
pub const MIN_BLOCK_SIZE: u32 = 1024;

/// Largest block size, bytes: ext4's `EXT4_MAX_BLOCK_SIZE`.
pub const MAX_BLOCK_SIZE: u32 = 65536;

/// A block size that ext4 can have: a power of two from [`MIN_BLOCK_SIZE`] to
/// [`MAX_BLOCK_SIZE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSize(u32);

impl BlockSize {
    /// Checks `bytes`.
    pub const fn new(bytes: u32) -> Result<Self, GeometryError> {
        if bytes.is_power_of_two() && bytes >= MIN_BLOCK_SIZE && bytes <= MAX_BLOCK_SIZE {
            Ok(Self(bytes))
        } else {
            Err(GeometryError::BlockSize(bytes))
        }
    }

    /// The size in bytes.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The size in bytes, as a buffer length.
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }

    /// Largest whole TLV (header included) that a conventional fast-commit
    /// block can hold beside a PAD's header: `ext4_fc_reserve_space()`.
    pub const fn max_tlv(self) -> usize {
        self.bytes().saturating_sub(super::tlv::TL_LEN)
    }
}

/// Size of an area: at least an opener block and a log block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    block_size: BlockSize,
    area_len: u64,
}

impl Geometry {
    /// An area of `blocks` blocks of `block_size` bytes.
    pub const fn new(block_size: u32, blocks: u32) -> Result<Self, GeometryError> {
        let block_size = match BlockSize::new(block_size) {
            Ok(size) => size,
            Err(error) => return Err(error),
        };
        if blocks < 2 {
            return Err(GeometryError::Blocks(blocks as u64));
        }
        match (blocks as u64).checked_mul(block_size.get() as u64) {
            Some(area_len) => Ok(Self {
                block_size,
                area_len,
            }),
            None => Err(GeometryError::Blocks(blocks as u64)),
        }
    }

    /// An area of `area_len` bytes, which must be whole blocks.
    pub fn of_area(block_size: u32, area_len: u64) -> Result<Self, GeometryError> {
        let size = u64::from(BlockSize::new(block_size)?.get());
        let blocks = match (area_len.checked_rem(size), area_len.checked_div(size)) {
            (Some(0), Some(blocks)) => blocks,
            _ => return Err(GeometryError::AreaLen(area_len)),
        };
        match u32::try_from(blocks) {
            Ok(blocks) => Self::new(block_size, blocks),
            Err(_) => Err(GeometryError::Blocks(blocks)),
        }
    }

    /// The block size.
    pub const fn block_size(&self) -> BlockSize {
        self.block_size
    }

    /// Length of the whole area in bytes, opener block included.
    pub const fn area_len(&self) -> u64 {
        self.area_len
    }

    /// Offset of the log from the start of the area: right behind block 0.
    pub const fn log_start(&self) -> u64 {
        self.block_size.get() as u64
    }

    /// Length of the log in bytes.
    pub const fn log_len(&self) -> u64 {
        self.area_len.saturating_sub(self.log_start())
    }
}

/// Why an area's size is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryError {
    /// Not a block size of ext4.
    BlockSize(u32),
    /// Fewer than 2 blocks, or more than a 32-bit number of them.
    Blocks(u64),
    /// Not whole blocks.
    AreaLen(u64),
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlockSize(bytes) => write!(f, "block size {bytes} is not one of ext4's"),
            Self::Blocks(blocks) => {
                write!(f, "a fast-commit area of {blocks} blocks cannot be used")
            }
            Self::AreaLen(len) => write!(f, "fast-commit area of {len} bytes is not whole blocks"),
        }
    }
}

impl core::error::Error for GeometryError {}
