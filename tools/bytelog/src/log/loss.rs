// SPDX-License-Identifier: GPL-2.0

//! What is lost with fast commits that are given up: names and sizes.

use super::describe::Said;
use super::inspect::{Inspection, State};
use bytelog::tlv::Tlvs;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// Most directories above a name that the log itself makes.
const DEPTH: usize = 32;

/// What is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Loss {
    /// What cannot be read, so that nobody knows what it said.
    pub unreadable: Vec<String>,
    /// Whole fast commits that are given up.
    pub commits: u32,
    /// What is known of the contents.
    pub files: Vec<LostFile>,
}

/// What a file loses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LostFile {
    /// Its inode.
    pub ino: u32,
    /// Where it is, printable; `None` if no name is known.
    pub path: Option<String>,
    /// Bytes that it had, if the log says so.
    pub size: Option<u64>,
    /// What the log says of it.
    pub fate: Fate,
}

/// What the log says of a file, and is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It got this name.
    Named,
    /// Its contents or attributes changed.
    Changed,
    /// This name was removed.
    Removed,
}

/// What the TLVs say of an inode.
#[derive(Default)]
struct Told {
    size: Option<u64>,
    /// Parent and name, and whether it was removed last.
    names: BTreeMap<(u32, String), bool>,
}

/// What is given up, collected.
pub struct Given {
    inodes: BTreeMap<u32, Told>,
    loss: Loss,
}

impl Given {
    /// What is lost of what was `found`: all of it, or what is behind the damage.
    pub fn of(found: &Inspection<'_>, all: bool, max_tlv: usize) -> Self {
        let mut given = Self {
            inodes: BTreeMap::new(),
            loss: Loss::default(),
        };
        let is_damaged = found.damage.is_some();
        if all {
            given.loss.commits = match &found.stock {
                Some(stock) => stock.commits,
                None => found.commits(),
            };
            let stock = found.stock.iter().map(|stock| stock.tlvs.as_slice());
            let sealed = found.sealed().map(|entry| entry.payload.as_slice());
            stock.chain(sealed).for_each(|run| given.take(run, max_tlv));
        }
        if let Some(fault) = found.journal_fault() {
            let cause = format!("full commits from transaction {}", found.end());
            given
                .loss
                .unreadable
                .push(format!("{cause}: {}", fault.cause));
        }
        if let Some(damage) = found
            .damage
            .as_ref()
            .filter(|_| matches!(found.state, State::Damaged | State::Later))
        {
            let place = format!("the log at offset {}", damage.offset);
            given
                .loss
                .unreadable
                .push(format!("{place}: {}", damage.reason));
            // Of what was cut off by a power cut nobody had been told.
            let unsealed = found.entries.iter().filter(|entry| !entry.sealed);
            unsealed.for_each(|entry| given.take(&entry.payload, max_tlv));
        }
        for record in found.survivors.iter().filter(|_| is_damaged) {
            match &record.payload {
                Some(payload) => given.take(payload, max_tlv),
                None => given.loss.unreadable.push(format!(
                    "the record at offset {}: {}",
                    record.offset, record.reason
                )),
            }
        }
        given
    }

    fn take(&mut self, run: &[u8], max_tlv: usize) {
        for tlv in Tlvs::new(run, max_tlv.max(run.len())).flatten() {
            let (number, name) = match Said::of(&tlv) {
                Said::Creat { parent, ino, name } | Said::Link { parent, ino, name } => {
                    (ino, Some((parent, name, false)))
                }
                Said::Unlink { parent, ino, name } => (ino, Some((parent, name, true))),
                Said::Inode { ino, size, .. } => {
                    self.inodes.entry(ino).or_default().size = Some(size);
                    continue;
                }
                Said::AddRange { ino, .. } | Said::DelRange { ino, .. } | Said::Dir { ino, .. } => {
                    (ino, None)
                }
                Said::Other { .. } => continue,
            };
            let told = self.inodes.entry(number).or_default();
            if let Some((parent, name, removed)) = name {
                told.names.insert((parent, name), removed);
            }
        }
    }

    /// The inodes whose names are to be looked up in the filesystem.
    pub fn wanted(&self) -> HashSet<u32> {
        let mut wanted = HashSet::new();
        for (number, told) in &self.inodes {
            wanted.extend(told.names.keys().map(|(parent, _)| *parent));
            if told.names.is_empty() {
                wanted.insert(*number);
            }
        }
        wanted
    }

    /// The loss, with `paths` of what the filesystem has.
    pub fn told(mut self, paths: &HashMap<u32, String>) -> Loss {
        let mut files = Vec::new();
        for (number, told) in &self.inodes {
            let file = |path, fate| LostFile {
                ino: *number,
                path,
                size: told.size.filter(|_| fate != Fate::Removed),
                fate,
            };
            for ((parent, name), removed) in &told.names {
                let path = Some(self.path(paths, *parent, name, DEPTH));
                let fate = match removed {
                    true => Fate::Removed,
                    false => Fate::Named,
                };
                files.push(file(path, fate));
            }
            if told.names.is_empty() {
                files.push(file(paths.get(number).cloned(), Fate::Changed));
            }
        }
        self.loss.files = files;
        self.loss
    }

    /// The path of `name` in directory `parent`, which the log itself may have made.
    fn path(&self, paths: &HashMap<u32, String>, parent: u32, name: &str, depth: usize) -> String {
        if let Some(above) = paths.get(&parent) {
            return format!("{}/{name}", above.trim_end_matches('/'));
        }
        let told = self.inodes.get(&parent).filter(|_| depth > 0);
        let made = told.and_then(|told| told.names.iter().find(|(_, removed)| !**removed));
        match made {
            Some(((above, own), _)) => {
                format!("{}/{name}", self.path(paths, *above, own, depth - 1))
            }
            None => format!("(directory {parent})/{name}"),
        }
    }
}

impl Loss {
    /// Whether nothing is lost.
    pub fn is_empty(&self) -> bool {
        self.commits == 0 && self.files.is_empty() && self.unreadable.is_empty()
    }
}

impl fmt::Display for LostFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{path} (inode {})", self.ino)?,
            None => write!(f, "inode {}, whose name is not known", self.ino)?,
        }
        match (self.fate, self.size) {
            (Fate::Named, Some(size)) => write!(f, ": the name, of a file of {size} bytes"),
            (Fate::Named, None) => f.write_str(": the name"),
            (Fate::Changed, Some(size)) => write!(f, ": changes, of a file of {size} bytes"),
            (Fate::Changed, None) => f.write_str(": changes"),
            (Fate::Removed, _) => f.write_str(": its removal"),
        }
    }
}
