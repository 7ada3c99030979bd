// SPDX-License-Identifier: GPL-2.0

//! What is done to a log, by name.

use anyhow::{bail, Context, Result};
use bytelog::medium::Persistence;
use bytelog::tlv::Tag;
use std::fmt;
use std::str::FromStr;

/// A fast commit, or something else that can happen to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A commit without TLVs: a barrier only.
    Empty,
    /// A commit of one TLV.
    One(Tag),
    /// A commit of the INODE of a symlink.
    Symlink,
    /// A commit that fills a record to the last byte.
    Full,
    /// One TLV more than that.
    FullAndOne,
    /// Three records.
    Many,
    /// Several records of which the first describes data.
    ManyData,
    /// As much as the log still has room for.
    Fill,
    /// More than that: a full commit follows, and a new transaction.
    Overflow,
    /// Several records, gathered and given up.
    Aborted,
    /// The transaction is committed in full, another one begins.
    NewTid,
    /// A commit whose medium fails after this many operations.
    Fails(u8),
    /// So many TLVs of any kind and size.
    Random(u8),
}

impl Action {
    /// Those of which all short sequences are tried.
    pub const ALL: [Self; 18] = [
        Self::Empty,
        Self::One(Tag::AddRange),
        Self::One(Tag::DelRange),
        Self::One(Tag::Creat),
        Self::One(Tag::Link),
        Self::One(Tag::Unlink),
        Self::One(Tag::Inode),
        Self::One(Tag::Dir),
        Self::Symlink,
        Self::Full,
        Self::FullAndOne,
        Self::Many,
        Self::ManyData,
        Self::Fill,
        Self::Overflow,
        Self::Aborted,
        Self::NewTid,
        Self::Fails(2),
    ];
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::One(tag) => write!(f, "{}", tag.to_string().to_lowercase()),
            Self::Symlink => f.write_str("symlink"),
            Self::Full => f.write_str("full"),
            Self::FullAndOne => f.write_str("full+1"),
            Self::Many => f.write_str("many"),
            Self::ManyData => f.write_str("many-data"),
            Self::Fill => f.write_str("fill"),
            Self::Overflow => f.write_str("overflow"),
            Self::Aborted => f.write_str("aborted"),
            Self::NewTid => f.write_str("new-tid"),
            Self::Fails(after) => write!(f, "fails:{after}"),
            Self::Random(tlvs) => write!(f, "random:{tlvs}"),
        }
    }
}

impl FromStr for Action {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(number) = text.strip_prefix("fails:") {
            return Ok(Self::Fails(number.parse()?));
        }
        if let Some(number) = text.strip_prefix("random:") {
            return Ok(Self::Random(number.parse()?));
        }
        let known = Self::ALL.into_iter().find(|a| a.to_string() == text);
        known.with_context(|| format!("no action is called {text}"))
    }
}

/// What is in the area before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// Zeros.
    Blank,
    /// The log of an earlier transaction of the same filesystem.
    OlderTid,
    /// A log of a filesystem with the same UUID that had the same transactions
    /// with the same commits, and then more of them.
    OlderLife,
}

impl Under {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Blank, Self::OlderTid, Self::OlderLife];
}

impl fmt::Display for Under {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blank => "blank",
            Self::OlderTid => "older-tid",
            Self::OlderLife => "older-life",
        })
    }
}

/// A life of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The kind of device.
    pub device: Persistence,
    /// File data is on a device of its own.
    pub apart: bool,
    /// What is in the area before.
    pub under: Under,
    /// Bytes of a block, and blocks of the area.
    pub block_size: u32,
    /// See [`block_size`](Self::block_size).
    pub blocks: u32,
    /// What happens.
    pub actions: Vec<Action>,
}

/// Both kinds of device.
const DEVICES: [Persistence; 2] = [Persistence::Synchronous, Persistence::NeedsFlush];

/// The kinds of device, each with file data there and on another one.
pub const KINDS: [(Persistence, bool); 4] = [
    (Persistence::Synchronous, false),
    (Persistence::NeedsFlush, false),
    (Persistence::Synchronous, true),
    (Persistence::NeedsFlush, true),
];

/// Behind a device's name: file data is on another one.
const APART: &str = "+data-apart";

/// How the kind is called.
pub fn device_name(device: Persistence) -> &'static str {
    match device {
        Persistence::Synchronous => "synchronous",
        Persistence::NeedsFlush => "needs-flush",
    }
}

/// The kind that is called so.
pub fn device_named(name: &str) -> Result<Persistence> {
    let known = DEVICES.into_iter().find(|&d| device_name(d) == name);
    known.with_context(|| format!("no device is called {name}"))
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = device_name(self.device);
        let apart = if self.apart { APART } else { "" };
        let (under, size, blocks) = (self.under, self.block_size, self.blocks);
        write!(f, "{device}{apart}/{under}/{blocks}x{size}/")?;
        for (number, action) in self.actions.iter().enumerate() {
            write!(f, "{}{action}", if number == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Workload {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<_> = text.split('/').collect();
        let [device, under, size, actions] = parts[..] else {
            bail!("a workload is DEVICE/UNDER/BLOCKSxSIZE/ACTION,ACTION...");
        };
        let (blocks, block_size) = size.split_once('x').context("not BLOCKSxSIZE")?;
        let known = Under::ALL.into_iter().find(|u| u.to_string() == under);
        let (device, apart) = match device.strip_suffix(APART) {
            Some(device) => (device, true),
            None => (device, false),
        };
        Ok(Self {
            device: device_named(device)?,
            apart,
            under: known.with_context(|| format!("nothing is called {under}"))?,
            block_size: block_size.parse()?,
            blocks: blocks.parse()?,
            actions: actions.split(',').map(str::parse).collect::<Result<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for (under, (device, apart)) in Under::ALL.into_iter().zip(KINDS.into_iter().skip(1)) {
            let mut actions = Action::ALL.to_vec();
            actions.push(Action::Random(7));
            let workload = Workload {
                device,
                apart,
                under,
                block_size: 1024,
                blocks: 9,
                actions,
            };
            assert_eq!(workload.to_string().parse::<Workload>().unwrap(), workload);
        }
        assert!("synchronous/blank/8x4096/nonsense"
            .parse::<Workload>()
            .is_err());
    }
}
