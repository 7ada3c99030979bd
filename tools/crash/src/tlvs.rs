// SPDX-License-Identifier: GPL-2.0

//! TLVs such as ext4 writes, and runs of them of any length.

use bytelog::tlv::{Tag, TL_LEN};
use fastrand::Rng;

/// The kinds that a fast commit can hold.
pub const KINDS: [Tag; 7] = [
    Tag::AddRange,
    Tag::DelRange,
    Tag::Creat,
    Tag::Link,
    Tag::Unlink,
    Tag::Inode,
    Tag::Dir,
];

/// Longest and shortest TLV with a name, header included.
const NAME_TLV_MAX: usize = TL_LEN + 8 + 255;
const NAME_TLV_MIN: usize = TL_LEN + 8 + 1;

/// A TLV of `tag` with a value of `len` bytes.
fn tlv(tag: Tag, len: usize, rng: &mut Rng) -> Vec<u8> {
    let mut out = tag.raw().to_le_bytes().to_vec();
    out.extend((len as u16).to_le_bytes());
    out.extend((0..len).map(|_| rng.u8(1..)));
    if tag == Tag::Inode {
        // Most of an inode is zero.
        let tail = out.len() - len / 2;
        out[tail..].fill(0);
        set_inode(&mut out, FILE, EXTENTS_FL);
    }
    out
}

/// Modes of a regular file, a directory and a symlink.
const FILE: u16 = 0o100_644;
const DIRECTORY: u16 = 0o040_755;
const SYMLINK: u16 = 0o120_777;
/// `EXT4_EXTENTS_FL`.
const EXTENTS_FL: u32 = 0x8_0000;

/// Gives the INODE `tlv` a mode, flags, and a link.
fn set_inode(tlv: &mut [u8], mode: u16, flags: u32) {
    tlv[MODE..MODE + 2].copy_from_slice(&mode.to_le_bytes());
    tlv[LINKS..LINKS + 2].copy_from_slice(&1u16.to_le_bytes());
    tlv[FLAGS..FLAGS + 4].copy_from_slice(&flags.to_le_bytes());
}

/// Offsets of `i_mode`, `i_links_count` and `i_flags` in an INODE.
const MODE: usize = TL_LEN + 4;
const LINKS: usize = MODE + 26;
const FLAGS: usize = MODE + 32;

/// The INODE of a symlink whose target is in it.
pub fn symlink(rng: &mut Rng) -> Vec<u8> {
    let mut tlv = tlv(Tag::Inode, 4 + 160, rng);
    set_inode(&mut tlv, SYMLINK, 0);
    tlv
}

/// The INODE of a directory.
fn directory(rng: &mut Rng) -> Vec<u8> {
    let mut tlv = tlv(Tag::Inode, 4 + 160, rng);
    set_inode(&mut tlv, DIRECTORY, EXTENTS_FL);
    tlv
}

/// A TLV of `tag` of a usual size.
pub fn one(tag: Tag, rng: &mut Rng) -> Vec<u8> {
    let len = match tag {
        Tag::AddRange => 16,
        Tag::DelRange => 12,
        Tag::Inode => 4 + 160,
        Tag::Dir => 28,
        _ => 8 + rng.usize(3..16),
    };
    tlv(tag, len, rng)
}

/// Any TLV of any size that fits a block of 1024 bytes.
pub fn any(rng: &mut Rng) -> Vec<u8> {
    // What needs a feature bit is rare, so that some logs begin without.
    let tag = match rng.u8(..16) {
        0 => return symlink(rng),
        1 => return directory(rng),
        2 => Tag::Dir,
        _ => KINDS[rng.usize(..KINDS.len() - 1)],
    };
    let len = match tag {
        Tag::AddRange => 16,
        Tag::DelRange => 12,
        Tag::Dir => 28,
        Tag::Inode => 4 + if rng.bool() { 128 } else { 256 },
        _ => 8 + rng.usize(1..=255),
    };
    tlv(tag, len, rng)
}

/// TLVs of together `len` bytes, none of which describes data. `len` is at least
/// that of the shortest TLV.
pub fn run(len: usize, rng: &mut Rng) -> Vec<Vec<u8>> {
    let count = len.div_ceil(NAME_TLV_MAX).max(1);
    (0..count)
        .map(|number| {
            let share = len / count + usize::from(number < len % count);
            tlv(Tag::Link, share.max(NAME_TLV_MIN) - TL_LEN, rng)
        })
        .collect()
}

/// Whether one of `tlvs` describes file data.
pub fn describe_data(tlvs: &[Vec<u8>]) -> bool {
    let tag = Tag::AddRange.raw().to_le_bytes();
    tlvs.iter().any(|tlv| tlv.starts_with(&tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytelog::tlv::Tlvs;

    #[test]
    fn runs_have_their_length_and_are_tlvs() {
        let mut rng = Rng::with_seed(1);
        for len in [13, 64, 267, 268, 4032, 4096] {
            let run = run(len, &mut rng).concat();
            assert_eq!(run.len(), len);
            assert!(Tlvs::new(&run, 1020).all(|tlv| tlv.is_ok()));
        }
        for _ in 0..100 {
            let tlv = any(&mut rng);
            assert!(Tlvs::new(&tlv, 1020).all(|tlv| tlv.is_ok()));
        }
    }
}
