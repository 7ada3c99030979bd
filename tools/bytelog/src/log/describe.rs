// SPDX-License-Identifier: GPL-2.0

//! A TLV's value in words, in the manner of `debugfs logdump`.

use crate::bytes::{join, le16, le32};
use bytelog::tlv::{Tag, Tlv};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// Extents longer than this are unwritten: `EXT_INIT_MAX_LEN`.
const INIT_MAX_LEN: u16 = 1 << 15;
/// Offset of the raw inode in an INODE's value.
const RAW_INODE: usize = 4;
/// Offset of the name in a directory entry's value.
const NAME: usize = 8;

/// What a TLV says. Block numbers and lengths are in filesystem blocks, sizes in
/// bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "tag", rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum Said {
    AddRange {
        ino: u32,
        lblk: u32,
        pblk: u64,
        len: u16,
        unwritten: bool,
    },
    DelRange {
        ino: u32,
        lblk: u32,
        len: u32,
    },
    Creat {
        parent: u32,
        ino: u32,
        name: String,
    },
    Link {
        parent: u32,
        ino: u32,
        name: String,
    },
    Unlink {
        parent: u32,
        ino: u32,
        name: String,
    },
    Inode {
        ino: u32,
        mode: u16,
        uid: u32,
        gid: u32,
        links: u16,
        size: u64,
        flags: u32,
        /// What a mode and flags say of how the inode is replayed.
        kind: Kind,
    },
    Dir {
        ino: u32,
        ctime: Time,
        mtime: Time,
        version: u64,
    },
    /// A tag that no record has.
    Other {
        number: u16,
    },
}

impl Said {
    /// Decodes `tlv`, whose length has been checked.
    pub fn of(tlv: &Tlv<'_>) -> Self {
        let value = tlv.value();
        let ino = le32(value, 0);
        match tlv.tag() {
            Tag::AddRange => {
                let len = le16(value, 8);
                Self::AddRange {
                    ino,
                    lblk: le32(value, 4),
                    pblk: join(le16(value, 10).into(), le32(value, 12)),
                    len: match len {
                        len if len > INIT_MAX_LEN => len - INIT_MAX_LEN,
                        len => len,
                    },
                    unwritten: len > INIT_MAX_LEN,
                }
            }
            Tag::DelRange => Self::DelRange {
                ino,
                lblk: le32(value, 4),
                len: le32(value, 8),
            },
            Tag::Creat => {
                let (parent, ino, name) = entry(value);
                Self::Creat { parent, ino, name }
            }
            Tag::Link => {
                let (parent, ino, name) = entry(value);
                Self::Link { parent, ino, name }
            }
            Tag::Unlink => {
                let (parent, ino, name) = entry(value);
                Self::Unlink { parent, ino, name }
            }
            Tag::Inode => {
                let raw = value.get(RAW_INODE..).unwrap_or_default();
                let (mode, flags) = (le16(raw, 0x00), le32(raw, 0x20));
                Self::Inode {
                    ino,
                    mode,
                    uid: halves(le16(raw, 0x78), le16(raw, 0x02)),
                    gid: halves(le16(raw, 0x7a), le16(raw, 0x18)),
                    links: le16(raw, 0x1a),
                    size: join(le32(raw, 0x6c), le32(raw, 0x04)),
                    flags,
                    kind: Kind::of(mode, raw),
                }
            }
            Tag::Dir => Self::Dir {
                ino,
                ctime: Time::of(le32(value, 4), le32(value, 12)),
                mtime: Time::of(le32(value, 8), le32(value, 16)),
                version: join(le32(value, 24), le32(value, 20)),
            },
            other => Self::Other {
                number: other.raw(),
            },
        }
    }
}

/// What an inode is, apart from regular files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Kind {
    File,
    /// Its size, blocks and extents are not replayed.
    Directory,
    /// The target, if it is in the inode.
    Symlink(Option<String>),
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
    Socket,
    /// No type that ext4 knows.
    Unknown,
}

impl Kind {
    /// Of an inode with this mode.
    fn of(mode: u16, raw: &[u8]) -> Self {
        /// `i_block`, and the flags with which it has no target.
        const BLOCK: usize = 0x28;
        const BLOCK_LEN: usize = 60;
        const ELSEWHERE: u32 = 0x1008_0000;
        match mode >> 12 {
            0o10 => Self::File,
            0o04 => Self::Directory,
            0o12 => {
                let len = usize::try_from(le32(raw, 0x04)).unwrap_or(usize::MAX);
                let target = raw.get(BLOCK..BLOCK + BLOCK_LEN.min(len));
                let is_here = le32(raw, 0x20) & ELSEWHERE == 0 && len < BLOCK_LEN;
                let target = target.filter(|_| is_here);
                Self::Symlink(target.map(|target| target.escape_ascii().to_string()))
            }
            0o02 | 0o06 => {
                // The old form, or a new one behind a zero.
                let (old, new) = (le32(raw, BLOCK), le32(raw, BLOCK + 4));
                let (major, minor) = match old {
                    0 => ((new >> 8) & 0xfff, (new & 0xff) | ((new >> 12) & 0xf_ff00)),
                    old => ((old >> 8) & 0xff, old & 0xff),
                };
                match mode >> 12 {
                    0o02 => Self::CharDevice { major, minor },
                    _ => Self::BlockDevice { major, minor },
                }
            }
            0o01 => Self::Fifo,
            0o14 => Self::Socket,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Directory => f.write_str("directory, "),
            Self::Symlink(None) => f.write_str("symlink, "),
            Self::Symlink(Some(target)) => write!(f, "symlink to \"{target}\", "),
            Self::CharDevice { major, minor } => {
                write!(f, "character device {major}:{minor}, ")
            }
            Self::BlockDevice { major, minor } => write!(f, "block device {major}:{minor}, "),
            Self::Fifo => f.write_str("FIFO, "),
            Self::Socket => f.write_str("socket, "),
            Self::Unknown => f.write_str("of no known type, "),
        }
    }
}

/// A time of an inode: seconds since 1970, and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

impl Time {
    /// Of the field and its extra word, which adds two bits of seconds.
    fn of(field: u32, extra: u32) -> Self {
        Self {
            seconds: i64::from(field as i32) + (i64::from(extra & 3) << 32),
            nanoseconds: extra >> 2,
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.seconds, self.nanoseconds)
    }
}

/// A user or group number.
fn halves(high: u16, low: u16) -> u32 {
    (u32::from(high) << 16) | u32::from(low)
}

/// Parent, inode and name of a directory entry; bytes that are no printable ASCII
/// escaped.
fn entry(value: &[u8]) -> (u32, u32, String) {
    let name = value.get(NAME..).unwrap_or_default();
    (
        le32(value, 0),
        le32(value, 4),
        name.escape_ascii().to_string(),
    )
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddRange {
                ino,
                lblk,
                pblk,
                len,
                unwritten,
            } => {
                let state = if *unwritten { ", unwritten" } else { "" };
                write!(
                    f,
                    "tag ADD_RANGE, inode {ino}, lblk {lblk}, pblk {pblk}, len {len}{state}"
                )
            }
            Self::DelRange { ino, lblk, len } => {
                write!(f, "tag DEL_RANGE, inode {ino}, lblk {lblk}, len {len}")
            }
            Self::Creat { parent, ino, name } => {
                write!(
                    f,
                    "tag CREAT, parent {parent}, inode {ino}, name \"{name}\""
                )
            }
            Self::Link { parent, ino, name } => {
                write!(f, "tag LINK, parent {parent}, inode {ino}, name \"{name}\"")
            }
            Self::Unlink { parent, ino, name } => {
                write!(
                    f,
                    "tag UNLINK, parent {parent}, inode {ino}, name \"{name}\""
                )
            }
            Self::Inode {
                ino,
                mode,
                uid,
                gid,
                links,
                size,
                flags,
                kind,
            } => write!(
                f,
                "tag INODE, inode {ino}, {kind}mode {mode:06o}, uid {uid}, gid {gid}, \
                 links {links}, size {size}, flags {flags:#x}"
            ),
            Self::Dir {
                ino,
                ctime,
                mtime,
                version,
            } => write!(
                f,
                "tag DIR, inode {ino}, ctime {ctime}, mtime {mtime}, version {version}"
            ),
            Self::Other { number } => write!(f, "tag {number:#06x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytelog::tlv::Tlvs;

    fn said(tag: u16, value: &[u8]) -> String {
        let mut bytes = tag.to_le_bytes().to_vec();
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(value);
        let tlv = Tlvs::new(&bytes, 4092).next();
        match tlv {
            Some(Ok(tlv)) => Said::of(&tlv).to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_tag() {
        let range = [12, 0, 0, 0, 3, 0, 0, 0, 2, 0x80, 1, 0, 7, 0, 0, 0];
        assert_eq!(
            said(1, &range),
            "tag ADD_RANGE, inode 12, lblk 3, pblk 4294967303, len 2, unwritten"
        );
        let range = [12, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0];
        assert_eq!(said(2, &range), "tag DEL_RANGE, inode 12, lblk 3, len 9");
        let entry = [2, 0, 0, 0, 13, 0, 0, 0, b'a', b'\n', 0xff];
        for (tag, name) in [(3, "CREAT"), (4, "LINK"), (5, "UNLINK")] {
            assert_eq!(
                said(tag, &entry),
                format!("tag {name}, parent 2, inode 13, name \"a\\n\\xff\"")
            );
        }
        let mut inode = vec![0; 4 + 128];
        inode[0] = 13;
        inode[4..6].copy_from_slice(&0o100_644u16.to_le_bytes());
        inode[4 + 0x1a] = 1;
        inode[4 + 4] = 5;
        assert_eq!(
            said(6, &inode),
            "tag INODE, inode 13, mode 100644, uid 0, gid 0, links 1, size 5, flags 0x0"
        );
        let mut kind = |mode: u16, block: &[u8]| {
            inode[4..6].copy_from_slice(&mode.to_le_bytes());
            inode[44..44 + block.len()].copy_from_slice(block);
            let said = said(6, &inode);
            let words = said.split_once("inode 13, ").unwrap_or_default().1;
            words.split_once("mode").unwrap_or_default().0.to_owned()
        };
        assert_eq!(kind(0o040_755, &[]), "directory, ");
        assert_eq!(kind(0o120_777, b"../a\n"), "symlink to \"../a\\n\", ");
        assert_eq!(kind(0o020_600, &[3, 1, 0, 0]), "character device 1:3, ");
        let new = [0, 0, 0, 0, 0x01, 0x03, 0x11, 0x00];
        assert_eq!(kind(0o060_600, &new), "block device 259:257, ");
        assert_eq!(kind(0o010_600, &[]), "FIFO, ");
        assert_eq!(kind(0o140_600, &[]), "socket, ");
        assert_eq!(kind(0o000_600, &[]), "of no known type, ");
        let mut dir = vec![0; 28];
        for (place, word) in dir.chunks_mut(4).zip([2u32, u32::MAX, 7, 5, 36, 3, 1]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        assert_eq!(
            said(11, &dir),
            "tag DIR, inode 2, ctime 4294967295.000000001, mtime 7.000000009, version 4294967299"
        );
    }
}
