// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What ext4 logs but its replay cannot apply. A commit with such a TLV must not
//! be fast: after a crash its log would fail the mount, or leave link counts
//! wrong.

use super::tlv::{Tag, Tlv};

/// `offsetof(struct ext4_fc_inode, fc_raw_inode)`.
const RAW_INODE: usize = 4;
/// `offsetof(struct ext4_inode, i_mode)`, le16.
const MODE: usize = RAW_INODE;
/// `offsetof(struct ext4_inode, i_links_count)`, le16.
const LINKS_COUNT: usize = RAW_INODE + 26;
/// Bytes of an INODE's value that are looked at; every one has more.
const LOOKED_AT: usize = LINKS_COUNT + 2;
/// `offsetof(struct ext4_fc_dentry_info, fc_ino)`, le32.
const DENTRY_INO: usize = 4;
/// `S_IFMT` and `S_IFDIR`.
const TYPE_MASK: u16 = 0o170_000;
const DIRECTORY: u16 = 0o040_000;

/// Watches the TLVs of one fast commit after another.
///
/// * INODE of an unlinked file: `ext4_fc_replay_inode()` looks the inode up
///   again, which `ext4_iget()` refuses without a link, and the mount fails.
/// * CREAT of a directory: `ext4_fc_replay_create()` sets its link count to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayable {
    /// The directory that the last INODE was of.
    directory: Option<[u8; 4]>,
}

impl Replayable {
    /// Whether ext4's replay can apply `tlv` after those seen before.
    #[inline]
    pub fn allows(&mut self, tlv: &Tlv<'_>) -> bool {
        let value = tlv.value();
        match tlv.tag() {
            Tag::Inode => {
                let Some(inode) = value.first_chunk::<LOOKED_AT>() else {
                    return true;
                };
                let is_directory =
                    le16(inode, MODE).is_some_and(|mode| mode & TYPE_MASK == DIRECTORY);
                self.directory = match is_directory {
                    true => inode.first_chunk().copied(),
                    false => None,
                };
                le16(inode, LINKS_COUNT) != Some(0)
            }
            Tag::Creat if self.directory.is_some() => {
                let ino = value.get(DENTRY_INO..).and_then(<[u8]>::first_chunk::<4>);
                self.directory.as_ref() != ino
            }
            _ => true,
        }
    }
}

#[inline]
fn le16(value: &[u8], at: usize) -> Option<u16> {
    let bytes = value.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_le_bytes(*bytes))
}
