// SPDX-License-Identifier: GPL-2.0

//! A TLV's value in words, in the manner of `debugfs logdump`.

use crate::bytes::{join, le16, le32};
use bytelog::tlv::{Tag, Tlv};
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
                Self::Inode {
                    ino,
                    mode: le16(raw, 0x00),
                    uid: halves(le16(raw, 0x78), le16(raw, 0x02)),
                    gid: halves(le16(raw, 0x7a), le16(raw, 0x18)),
                    links: le16(raw, 0x1a),
                    size: join(le32(raw, 0x6c), le32(raw, 0x04)),
                    flags: le32(raw, 0x20),
                }
            }
            other => Self::Other {
                number: other.raw(),
            },
        }
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
            } => write!(
                f,
                "tag INODE, inode {ino}, mode {mode:06o}, uid {uid}, gid {gid}, links {links}, \
                 size {size}, flags {flags:#x}"
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
    }
}
