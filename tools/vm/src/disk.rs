// SPDX-License-Identifier: GPL-2.0
//! A disk with a volatile cache that a power cut really discards.
//!
//! QEMU's `blklogwrites` notes every write and every flush of the guest, in the
//! order in which they were made. After a cut the disk is put together anew:
//! what a flush came after is there, of the rest each sector is or is not, as the
//! seed has it.
//!
//! The format is that of the kernel's dm-log-writes: a superblock, then for each
//! request a sector with sector, length, flags and length of the data (64 bits
//! each, little endian), and the data.

use anyhow::{ensure, Context, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

const SECTOR: u64 = 512;
/// Of dm-log-writes.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLAG_FLUSH: u64 = 1;
const FLAG_FUA: u64 = 2;
const FLAG_DISCARD: u64 = 4;

/// A write that the guest made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Write {
    sector: u64,
    sectors: u64,
    /// Where its data is in the log.
    data: u64,
    /// On the disk for certain: a flush came after it, or it was one by itself.
    durable: bool,
}

/// What became of the writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    pub durable: u64,
    /// Sectors of writes that no flush came after, and how many of them are gone.
    pub loose: u64,
    pub dropped: u64,
}

fn u64_at(bytes: &[u8; SECTOR as usize], field: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[field * 8..field * 8 + 8]);
    u64::from_le_bytes(word)
}

fn sector_at(log: &File, at: u64) -> Result<Option<[u8; SECTOR as usize]>> {
    if at + SECTOR > log.metadata()?.len() {
        return Ok(None);
    }
    let mut bytes = [0; SECTOR as usize];
    log.read_exact_at(&mut bytes, at)?;
    Ok(Some(bytes))
}

/// The writes in a log.
fn parse(log: &File) -> Result<Vec<Write>> {
    let mut writes: Vec<Write> = Vec::new();
    // A guest that never wrote leaves an empty log.
    let Some(head) = sector_at(log, 0)?.filter(|head| head.iter().any(|&b| b != 0)) else {
        return Ok(writes);
    };
    ensure!(u64_at(&head, 0) == MAGIC, "no superblock");
    let mut at = SECTOR;
    // The count in the superblock is written now and then only: the log ends
    // where nothing has been written.
    while let Some(entry) = sector_at(log, at)?.filter(|e| e.iter().any(|&b| b != 0)) {
        let [sector, sectors, flags, _] = [0, 1, 2, 3].map(|field| u64_at(&entry, field));
        at += SECTOR;
        if flags & FLAG_FLUSH != 0 {
            writes.iter_mut().for_each(|write| write.durable = true);
        }
        if flags & FLAG_DISCARD != 0 || sectors == 0 {
            continue;
        }
        writes.push(Write {
            sector,
            sectors,
            data: at,
            durable: flags & FLAG_FUA != 0,
        });
        at += sectors * SECTOR;
    }
    Ok(writes)
}

/// Copies an image, and leaves out what is zero: most of it is.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut cp = Command::new("cp");
    let status = cp.arg("--sparse=always").args([from, to]).status();
    let status = status.context("cp")?;
    ensure!(status.success(), "cp {}: {status}", from.display());
    Ok(())
}

/// Puts the disk together as a cut leaves it: `base` is what it held when the
/// machine was started, `log` what happened since.
pub fn discard(disk: &Path, base: &Path, log: &Path, seed: u64) -> Result<Outcome> {
    copy(base, disk)?;
    let log = File::open(log).with_context(|| log.display().to_string())?;
    let disk = File::options().write(true).open(disk)?;
    let mut rng = fastrand::Rng::with_seed(seed);
    // Mostly all or nothing: a cache is written out now and then, and whole.
    let kept = [0, 50, 100][rng.usize(..3)];
    let mut outcome = Outcome::default();
    let mut data = [0; SECTOR as usize];
    for write in parse(&log).context("log of the disk's writes")? {
        for i in 0..write.sectors {
            if !write.durable {
                outcome.loose += 1;
                if rng.u32(..100) >= kept {
                    outcome.dropped += 1;
                    continue;
                }
            }
            outcome.durable += u64::from(write.durable);
            // The last entry may have been cut short with the machine.
            let from = write.data + i * SECTOR;
            if sector_at(&log, from)?.is_some() {
                log.read_exact_at(&mut data, from)?;
                disk.write_all_at(&data, (write.sector + i) * SECTOR)?;
            }
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sector: u64, sectors: u64, flags: u64, byte: u8) -> Vec<u8> {
        let mut bytes = vec![0; SECTOR as usize];
        for (field, value) in [sector, sectors, flags, 0].into_iter().enumerate() {
            bytes[field * 8..field * 8 + 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes.extend(vec![byte; (sectors * SECTOR) as usize]);
        bytes
    }

    fn log(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0; SECTOR as usize];
        bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes.extend(entries.concat());
        bytes
    }

    /// The disk's sectors, one byte for each, and what became of the writes.
    fn cut(name: &str, entries: &[Vec<u8>], seed: u64) -> (Vec<u8>, Outcome) {
        let dir = std::env::temp_dir().join(format!("disk-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let [disk, base, file] = ["disk", "base", "log"].map(|name| dir.join(name));
        std::fs::write(&base, vec![b'.'; 8 * SECTOR as usize]).unwrap();
        std::fs::write(&file, log(entries)).unwrap();
        let outcome = discard(&disk, &base, &file, seed).unwrap();
        let bytes = std::fs::read(&disk).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        let sectors = bytes.chunks(SECTOR as usize).map(|s| s[0]).collect();
        (sectors, outcome)
    }

    #[test]
    fn what_a_flush_came_after_stays_and_the_rest_may_go() {
        let entries = [
            entry(0, 2, 0, b'a'),
            entry(0, 0, FLAG_FLUSH, 0),
            entry(1, 2, 0, b'b'),
            entry(5, 1, FLAG_FUA, b'c'),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let (disk, outcome) = cut("mixed", &entries, seed);
            assert_eq!((outcome.durable, outcome.loose), (3, 2));
            seen.insert(String::from_utf8(disk).unwrap());
        }
        let expected = ["aa...c..", "aab..c..", "ab...c..", "abb..c.."];
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected.each_ref());
    }

    #[test]
    fn a_log_that_was_cut_short_is_read_to_its_end() {
        let mut short = entry(3, 2, FLAG_FUA, b'x');
        short.truncate(SECTOR as usize + 100);
        let (disk, _) = cut("short", &[short], 1);
        assert_eq!(disk, b"........");
        let (disk, outcome) = cut("none", &[], 1);
        assert_eq!(
            (disk.as_slice(), outcome),
            (b"........".as_slice(), Outcome::default())
        );
    }
}
