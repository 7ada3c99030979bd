// SPDX-License-Identifier: GPL-2.0

//! The feature bit, in the superblock and in its backups.

use super::superblock::{Superblock, PRIMARY};
use crate::error::Result;
use crate::store::Store;

/// The superblock that counts.
pub fn primary(store: &dyn Store) -> Result<Superblock> {
    Superblock::read(store, PRIMARY)
}

/// Sets or clears the bit in the superblock that counts and in its backups, and waits
/// until that is durable. Those that have it as asked are not written. Returns how many
/// backups could not be read.
///
/// While the superblock is written, no backup has the bit: should a cut tear it, e2fsck
/// can put one of those in its place.
pub fn write(store: &dyn Store, on: bool) -> Result<usize> {
    if on {
        write_primary(store, on)?;
        return write_backups(store, on);
    }
    let unreadable = write_backups(store, on)?;
    write_primary(store, on)?;
    Ok(unreadable)
}

/// Clears the bit everywhere, before a recovery that brings the superblock back from
/// the journal without it: a cut leaves it set or cleared, and nothing torn.
pub fn clear_before_recovery(store: &dyn Store) -> Result<()> {
    write_backups(store, false)?;
    let mut primary = Superblock::read(store, PRIMARY)?;
    if primary.is_torn() {
        // It cannot get worse.
        return write_primary(store, false);
    }
    if primary.has_bytelog() {
        primary.clear_bytelog_before_recovery(store, PRIMARY)?;
        store.sync()?;
    }
    Ok(())
}

fn write_backups(store: &dyn Store, on: bool) -> Result<usize> {
    let primary = Superblock::read(store, PRIMARY)?;
    let mut unreadable = 0;
    let mut written = false;
    for at in primary.backups() {
        match primary.backup(store, at) {
            Ok(mut backup) => written |= put(store, &mut backup, at, on)?,
            Err(_) => unreadable += 1,
        }
    }
    if written {
        store.sync()?;
    }
    Ok(unreadable)
}

/// Sets or clears the bit in the superblock that counts, and waits until that is
/// durable.
pub fn write_primary(store: &dyn Store, on: bool) -> Result<()> {
    let mut primary = Superblock::read(store, PRIMARY)?;
    if put(store, &mut primary, PRIMARY, on)? {
        store.sync()?;
    }
    Ok(())
}

/// Writes `sb` if it is not as it should be.
fn put(store: &dyn Store, sb: &mut Superblock, at: u64, on: bool) -> Result<bool> {
    if sb.has_bytelog() == on && !sb.is_torn() {
        return Ok(false);
    }
    sb.set_bytelog(on);
    sb.write(store, at)?;
    Ok(true)
}
