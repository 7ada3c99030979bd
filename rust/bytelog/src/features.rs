// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Feature bits of a log: kinds of contents that a reader of an earlier version
//! would replay wrongly. They are in the opener's HEAD.
//!
//! A bit says what the log's commits may contain. The opener is durable before
//! the second commit of a log is gathered, so that a later commit can need no bit
//! that the first one has not set.

use core::fmt;

/// A set of feature bits, known and unknown ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u32);

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
