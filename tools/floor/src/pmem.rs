// SPDX-License-Identifier: GPL-2.0

//! A mapped file, and the instructions that make stores to persistent memory
//! durable. All unsafe code but the calls of PMDK is here.

use anyhow::{Context, Result};
use memmap2::MmapMut;
use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _mm_sfence};
use std::fs::File;
use std::path::Path;

/// Bytes of a cache line.
pub const LINE: usize = 64;

/// How stores leave the caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// Ordinary stores, then `clwb` of each line.
    WriteBack,
    /// Stores past the caches, eight bytes at a time.
    NonTemporal,
}

/// What writes a line back here, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instruction {
    Clwb,
    Clflushopt,
    Clflush,
}

impl Instruction {
    fn of_this_cpu() -> Self {
        // SAFETY: Every x86-64 CPU has this leaf's number, or answers with zeros.
        let features = unsafe { __cpuid_count(7, 0) }.ebx;
        match features {
            f if f & (1 << 24) != 0 => Self::Clwb,
            f if f & (1 << 23) != 0 => Self::Clflushopt,
            _ => Self::Clflush,
        }
    }
}

/// A file, mapped.
pub struct Area {
    map: MmapMut,
    instruction: Instruction,
}

impl Area {
    /// Makes a file of `len` bytes, whose pages are all there, and maps it.
    pub fn new(path: &Path, len: usize) -> Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .with_context(|| path.display().to_string())?;
        file.set_len(len as u64)?;
        // SAFETY: The file is ours; nobody else changes it.
        let mut map = unsafe { MmapMut::map_mut(&file) }.context("mmap")?;
        map.fill(0);
        Ok(Self {
            map,
            instruction: Instruction::of_this_cpu(),
        })
    }

    /// The name of what writes a line back.
    pub fn instruction(&self) -> String {
        format!("{:?}", self.instruction).to_lowercase()
    }

    /// Stores bytes at an offset. Beyond the end there is nothing to store to.
    #[inline]
    pub fn copy_in(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        let end = at.checked_add(bytes.len())?;
        self.map.get_mut(at..end)?.copy_from_slice(bytes);
        Some(())
    }

    /// The same past the caches; whole words.
    #[inline]
    pub fn stream_in(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        let end = at.checked_add(bytes.len())?;
        let to = self.map.get_mut(at..end)?;
        let words = to.chunks_exact_mut(8).zip(bytes.chunks_exact(8));
        for (to, from) in words {
            let value = u64::from_le_bytes(from.try_into().ok()?);
            // SAFETY: `to` is eight bytes that may be written.
            unsafe {
                asm!("movnti [{to}], {value}", to = in(reg) to.as_mut_ptr(), value = in(reg) value,
                     options(nostack, preserves_flags));
            }
        }
        Some(())
    }

    /// Writes back the lines that a range touches.
    #[inline]
    pub fn write_back(&self, at: usize, len: usize) {
        let first = at & !(LINE - 1);
        let end = at.saturating_add(len).min(self.map.len());
        for line in (first..end).step_by(LINE) {
            // SAFETY: Within the mapping; writing a line back changes nothing.
            unsafe {
                let line = self.map.as_ptr().add(line);
                match self.instruction {
                    Instruction::Clwb => {
                        asm!("clwb [{}]", in(reg) line, options(nostack, preserves_flags))
                    }
                    Instruction::Clflushopt => {
                        asm!("clflushopt [{}]", in(reg) line, options(nostack, preserves_flags))
                    }
                    Instruction::Clflush => {
                        asm!("clflush [{}]", in(reg) line, options(nostack, preserves_flags))
                    }
                }
            }
        }
    }
}

/// Orders write-backs against what follows.
#[inline]
pub fn fence() {
    // SAFETY: Every x86-64 CPU has the instruction.
    unsafe { _mm_sfence() };
}
