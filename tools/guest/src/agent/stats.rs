// SPDX-License-Identifier: GPL-2.0
//! Commit counts from /proc, and ByteLog's own from debugfs.

use anyhow::{Context, Result};
use bytelog_guest::proto::{FcStats, LogStats};
use std::fs;
use std::path::Path;

/// The number in front of a word, as in "12 commits".
fn before(text: &str, word: &str) -> Option<u64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|w| *w == word)?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

/// jbd2 names a journal after its device and its inode, an external one after its
/// device alone. Only one of those is in use at a time.
fn journal_info(dev: &str) -> Result<String> {
    let own = format!("/proc/fs/jbd2/{dev}-8/info");
    if fs::exists(&own)? {
        return Ok(own);
    }
    let names = fs::read_dir("/proc/fs/jbd2").context("/proc/fs/jbd2")?;
    let names = names.flatten().map(|item| item.file_name());
    let external = names
        .filter_map(|name| name.into_string().ok())
        .find(|name| !name.contains('-'));
    let name = external.with_context(|| format!("{dev} has no journal"))?;
    Ok(format!("/proc/fs/jbd2/{name}/info"))
}

/// Counters of the filesystem on a block device ("pmem0") that is mounted.
pub fn read(dev: &str) -> Result<FcStats> {
    let fc_path = format!("/proc/fs/ext4/{dev}/fc_info");
    let fc = fs::read_to_string(&fc_path).context(fc_path)?;
    let info_path = journal_info(dev)?;
    let info = fs::read_to_string(&info_path).context(info_path)?;
    Ok(FcStats {
        fast: before(&fc, "commits").context("fc_info")?,
        ineligible: before(&fc, "ineligible").context("fc_info")?,
        full: before(&info, "transactions").context("jbd2 info")?,
    })
}

/// ByteLog's counters for a mounted device, if it is in use there.
pub fn read_log(dev: &str) -> Result<Option<LogStats>> {
    let dir = Path::new("/sys/kernel/debug/ext4_bytelog").join(dev);
    if !dir.exists() {
        return Ok(None);
    }
    let counter = |name: &str| -> Result<u64> {
        let path = dir.join(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(text.trim().parse()?)
    };
    Ok(Some(LogStats {
        commits: counter("commits")?,
        records: counter("records")?,
        log_bytes: counter("log_bytes")?,
        used: counter("log_used")?,
        capacity: counter("log_capacity")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let fc = "fc stats:\n41 commits\n2 ineligible\n77 numblks\n";
        assert_eq!(before(fc, "commits"), Some(41));
        assert_eq!(before(fc, "ineligible"), Some(2));
        assert_eq!(
            before("3 transactions (3 requested)", "transactions"),
            Some(3)
        );
        assert_eq!(before("", "commits"), None);
    }
}
