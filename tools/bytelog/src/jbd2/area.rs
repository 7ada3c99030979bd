// SPDX-License-Identifier: GPL-2.0

//! The fast-commit area: the journal's last blocks.

use super::journal::Journal;
use crate::error::{Error, Result};
use bytelog::reader::ReadArea;
use schemars::JsonSchema;
use serde::Serialize;

/// A run of blocks that follow one another on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Segment {
    /// Bytes from the start of the area.
    pub offset: u64,
    /// Bytes from the start of the device or image.
    pub device_offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// The area of a journal: its blocks `first..end`, bytes from the opener on.
pub struct Area<'a> {
    journal: &'a Journal,
    first: u32,
    end: u32,
}

impl<'a> Area<'a> {
    /// The area that `fc_blocks` blocks set aside give, which is one less.
    pub fn new(journal: &'a Journal, fc_blocks: u32) -> Result<Self> {
        let end = journal.sb.maxlen();
        match end.checked_sub(fc_blocks) {
            Some(before) if before > 0 && fc_blocks > 0 => Ok(Self {
                journal,
                first: before + 1,
                end,
            }),
            _ => Err(Error::refused(
                journal.store.name(),
                format_args!("{fc_blocks} blocks of fast commits are more than the journal has"),
            )
            .remedy("the journal's superblock is damaged: see e2fsck")),
        }
    }

    /// First block of the area, counted in the journal.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// Blocks in it.
    pub fn blocks(&self) -> u32 {
        self.end - self.first
    }

    /// Where byte `offset` of the area is on its device.
    pub fn place(&self, offset: u64) -> Result<u64> {
        let size = self.journal.block_size();
        let block = u32::try_from(offset / size).ok();
        let block = block.and_then(|block| self.first.checked_add(block));
        let at = self.journal.place(block.unwrap_or(u32::MAX))?;
        Ok(at + offset % size)
    }

    /// Where byte `offset` of the area is in the file, if it is in the area.
    pub fn file_offset(&self, offset: u64) -> Option<u64> {
        let at = self.place(offset).ok()?;
        self.journal.store.base().checked_add(at)
    }

    /// The pieces of the area on its device.
    pub fn segments(&self) -> Result<Vec<Segment>> {
        let size = self.journal.block_size();
        let mut segments: Vec<Segment> = Vec::new();
        for block in self.first..self.end {
            let device_offset = self.journal.place(block)?;
            match segments.last_mut() {
                Some(last) if last.device_offset + last.len == device_offset => last.len += size,
                _ => segments.push(Segment {
                    offset: u64::from(block - self.first) * size,
                    device_offset,
                    len: size,
                }),
            }
        }
        Ok(segments)
    }
}

impl ReadArea for Area<'_> {
    type Error = Error;

    fn len(&self) -> u64 {
        u64::from(self.blocks()) * self.journal.block_size()
    }

    fn copy_out(&self, mut off: u64, mut buf: &mut [u8]) -> Result<()> {
        let size = self.journal.block_size();
        while !buf.is_empty() {
            let in_block = usize::try_from(size - off % size).unwrap_or(buf.len());
            let (now, later) = buf.split_at_mut(in_block.min(buf.len()));
            self.journal.store.read_at(self.place(off)?, now)?;
            off += now.len() as u64;
            buf = later;
        }
        Ok(())
    }
}
