// SPDX-License-Identifier: GPL-2.0

//! A filesystem with its journal, opened.

use crate::bytes::uuid_text;
use crate::error::{Error, Result, Status};
use crate::ext4::superblock::{Superblock, PRIMARY};
use crate::jbd2::journal::Journal;
use crate::store::{Access, FileStore, Store};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where a filesystem and its journal are.
#[derive(Clone, Debug)]
pub struct Place {
    /// Device or image file.
    pub path: PathBuf,
    /// Bytes from its start to the filesystem.
    pub offset: u64,
    /// Bytes of the filesystem's partition, where it is in one.
    pub len: Option<u64>,
    /// Device or file of an external journal.
    pub journal: Option<PathBuf>,
    /// Block of a backup of the superblock that is to be read instead.
    pub superblock: Option<u64>,
    /// Whether a backup may be read if the superblock is damaged.
    pub falls_back: bool,
}

/// An opened filesystem.
#[derive(Clone)]
pub struct Image {
    /// What the filesystem is on.
    pub store: Rc<dyn Store>,
    /// Its superblock.
    pub sb: Superblock,
    /// Its journal.
    pub journal: Journal,
    /// Where the superblock is a backup: why, and which.
    pub backup: Option<String>,
}

impl Image {
    /// Opens the filesystem at `place`.
    pub fn open(place: &Place, access: Access) -> Result<Self> {
        Self::open_through(place, access, Rc::new)
    }

    /// The same, with `wrap` around the filesystem's store and that of its journal.
    pub fn open_through<S: Store + 'static>(
        place: &Place,
        access: Access,
        mut wrap: impl FnMut(FileStore) -> Rc<S>,
    ) -> Result<Self> {
        let store = wrap(FileStore::open(
            &place.path,
            access,
            place.offset,
            place.len,
        )?);
        let (sb, backup) = superblock(store.as_ref(), place)?;
        if let Some(backup) = backup.as_ref().filter(|_| access == Access::Write) {
            return Err(Error::refused(store.name(), backup)
                .remedy("run bytelog export or fsck with -b first, or e2fsck -b"));
        }
        if place.journal.is_some() && sb.has_journal() && sb.journal_inum() != 0 {
            let error = Error::usage(store.name(), "its journal is in the filesystem");
            return Err(error.remedy("leave --journal out"));
        }
        let mut image = Self::with_superblock(store, sb, |sb| {
            let path = journal_path(place, sb)?;
            Ok(wrap(FileStore::open(&path, access, 0, None)?))
        })?;
        image.backup = backup;
        Ok(image)
    }

    /// The filesystem on `store`; `external` is asked for its journal's device if it
    /// is not inside.
    pub fn of(
        store: Rc<dyn Store>,
        external: impl FnOnce(&Superblock) -> Result<Rc<dyn Store>>,
    ) -> Result<Self> {
        let sb = Superblock::read(store.as_ref(), PRIMARY)?;
        Self::with_superblock(store, sb, external)
    }

    fn with_superblock(
        store: Rc<dyn Store>,
        sb: Superblock,
        external: impl FnOnce(&Superblock) -> Result<Rc<dyn Store>>,
    ) -> Result<Self> {
        if sb.is_journal_device() {
            return Err(
                Error::refused(store.name(), "this is a journal's own device")
                    .remedy("name the filesystem's device, and this one with --journal"),
            );
        }
        if !sb.has_journal() {
            return Err(
                Error::refused(store.name(), "the filesystem has no journal")
                    .remedy("make one with tune2fs -j -O fast_commit"),
            );
        }
        let journal = match sb.journal_inum() {
            0 => external(&sb).and_then(|store| Journal::external(store, &sb)),
            _ => Journal::internal(&store, &sb),
        };
        let journal = journal.map_err(|error| way_out(error, store.as_ref(), &sb))?;
        Ok(Self {
            store,
            sb,
            journal,
            backup: None,
        })
    }

    /// The same filesystem, read again.
    pub fn reopen(&self) -> Result<Self> {
        let journal = self.journal.store.clone();
        Self::of(self.store.clone(), |_| Ok(journal))
    }

    /// Whether recovery has anything to look at. A backup of the superblock does not say;
    /// the journal does.
    pub fn is_dirty(&self) -> bool {
        match self.backup {
            None => self.sb.needs_recovery(),
            Some(_) => self.journal.sb.start() != 0,
        }
    }
}

/// The superblock to go by, and a word where it is a backup.
fn superblock(store: &dyn Store, place: &Place) -> Result<(Superblock, Option<String>)> {
    if let Some(block) = place.superblock {
        let sb = Superblock::read_backup(store, block)?;
        return Ok((
            sb,
            Some(format!("the superblock is the backup at block {block}")),
        ));
    }
    let error = match Superblock::read(store, PRIMARY) {
        Ok(sb) => return Ok((sb, None)),
        Err(error) => error,
    };
    match Superblock::find_backup(store) {
        None => Err(error),
        Some((block, sb)) if place.falls_back => {
            let told = format!(
                "{}: the backup at block {block} is read instead",
                error.cause
            );
            Ok((sb, Some(told)))
        }
        Some((block, _)) => Err(Error::refused(store.name(), error.cause)
            .remedy(format_args!("there is a backup: name it with -b {block}"))),
    }
}

/// What to do about a journal that cannot be read: with the feature bit, or the journal's
/// mark, e2fsck does nothing about it.
fn way_out(error: Error, store: &dyn Store, sb: &Superblock) -> Error {
    let what = match sb.has_bytelog() {
        true => "the feature bit",
        false => "the journal's mark",
    };
    let is_marked = || Journal::clear_damaged_mark(store, sb, true).unwrap_or(false);
    if error.status != Status::Refused || !(sb.has_bytelog() || is_marked()) {
        return error;
    }
    error.remedy(format_args!(
        "keep a copy; e2fsck refuses {what}, and bytelog export --discard-log clears it and \
         gives the journal up (first with --dry-run)",
    ))
}

/// The device of an external journal: the one named, or by its UUID, or by the number
/// that it had when the filesystem was last mounted.
fn journal_path(place: &Place, sb: &Superblock) -> Result<PathBuf> {
    if let Some(path) = &place.journal {
        return Ok(path.clone());
    }
    let uuid = uuid_text(&sb.journal_uuid());
    // As new_decode_dev() has it.
    let raw = sb.journal_dev();
    let (major, minor) = (
        (raw & 0xf_ff00) >> 8,
        (raw & 0xff) | ((raw >> 12) & 0xf_ff00),
    );
    let uevent = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/uevent"));
    let by_number = uevent.unwrap_or_default();
    let by_number = by_number
        .lines()
        .find_map(|line| line.strip_prefix("DEVNAME="));
    let by_uuid = PathBuf::from(format!("/dev/disk/by-uuid/{uuid}"));
    let by_number = by_number.map(|name| Path::new("/dev").join(name));
    let mut candidates = [by_uuid].into_iter().chain(by_number);
    let found = candidates.find(|path| is_journal(path, &sb.journal_uuid()));
    found.ok_or_else(|| {
        let name = place.path.display().to_string();
        Error::failed(
            &name,
            format_args!("its journal {uuid} is on another device"),
        )
        .remedy("name that with --journal")
    })
}

/// Whether the journal of that UUID is at `path`. Numbers of devices change from one start
/// to the next.
fn is_journal(path: &Path, uuid: &[u8; 16]) -> bool {
    let opened = path
        .exists()
        .then(|| FileStore::open(path, Access::Read, 0, None));
    let Some(Ok(store)) = opened else {
        return false;
    };
    Superblock::read(&store, PRIMARY).is_ok_and(|sb| sb.is_journal_device() && sb.uuid() == *uuid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A superblock with what is looked at.
    fn device(name: &str, incompat: u32, uuid: &[u8; 16]) -> std::io::Result<PathBuf> {
        let mut bytes = vec![0; 8192];
        for (at, value) in [
            (0x38, &0xef53u16.to_le_bytes()[..]),
            (0x18, &2u32.to_le_bytes()),
            (0x4c, &1u32.to_le_bytes()),
            (0x58, &256u16.to_le_bytes()),
            (0x60, &incompat.to_le_bytes()),
            (0x68, uuid),
        ] {
            if let Some(place) = bytes.get_mut(1024 + at..1024 + at + value.len()) {
                place.copy_from_slice(value);
            }
        }
        let path = std::env::temp_dir().join(format!("bytelog-{name}-{}", std::process::id()));
        fs::write(&path, bytes)?;
        Ok(path)
    }

    #[test]
    fn a_journal_is_told_by_its_uuid() -> std::io::Result<()> {
        let (ours, other) = ([7; 16], [9; 16]);
        for (incompat, uuid, right) in [(8, ours, true), (8, other, false), (0, ours, false)] {
            let path = device("journal", incompat, &uuid)?;
            assert_eq!(is_journal(&path, &ours), right, "{incompat}");
            fs::remove_file(&path)?;
            assert!(!is_journal(&path, &ours));
        }
        Ok(())
    }
}
