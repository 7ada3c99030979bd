// SPDX-License-Identifier: GPL-2.0

//! TLVs such as ext4 writes, and runs of them of any length.

use bytelog::tlv::{Tag, TL_LEN};
use fastrand::Rng;

/// The kinds that a fast commit can hold.
pub const KINDS: [Tag; 6] = [
    Tag::AddRange,
    Tag::DelRange,
    Tag::Creat,
    Tag::Link,
    Tag::Unlink,
    Tag::Inode,
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
    }
    out
}

/// A TLV of `tag` of a usual size.
pub fn one(tag: Tag, rng: &mut Rng) -> Vec<u8> {
    let len = match tag {
        Tag::AddRange => 16,
        Tag::DelRange => 12,
        Tag::Inode => 4 + 160,
        _ => 8 + rng.usize(3..16),
    };
    tlv(tag, len, rng)
}

/// Any TLV of any size that fits a block of 1024 bytes.
pub fn any(rng: &mut Rng) -> Vec<u8> {
    let tag = KINDS[rng.usize(..KINDS.len())];
    let len = match tag {
        Tag::AddRange => 16,
        Tag::DelRange => 12,
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
