// SPDX-License-Identifier: GPL-2.0
//! Allocations that fail in an operation or in its fsync.

use super::{create, each, prepared, synced, Which, ON};
use crate::lab::{Dev, Lab};
use anyhow::{ensure, Result};
use bytelog_guest::ops::Op;
use bytelog_guest::proto::{Attempt, Call, Cmd, DeviceKind, Shutdown};
use bytelog_guest::tree::Tree;

/// A file that is there from the beginning.
const FILE: &str = "file";

/// An operation for each number, on files of its own.
struct Case {
    name: &'static str,
    /// Whether it needs the file `before{nth}`.
    before: bool,
    /// Whether another file is synced than the one that the operation is about. ext4
    /// forgets a time that it has no memory for (`ext4_dirty_inode()`), and has nothing
    /// to commit then: the fsync says nothing of the operation.
    other: bool,
    op: fn(u32) -> Op,
}

const CASES: &[Case] = &[
    Case {
        name: "create",
        before: false,
        other: false,
        op: |nth| create(format!("create{nth}")),
    },
    Case {
        name: "append",
        before: false,
        other: false,
        op: |nth| Op::Append {
            path: FILE.into(),
            len: 3000,
            tag: nth.into(),
        },
    },
    Case {
        name: "rename",
        before: true,
        other: false,
        op: |nth| Op::Rename {
            from: format!("before{nth}"),
            to: format!("rename{nth}"),
        },
    },
    Case {
        name: "link",
        before: true,
        other: false,
        op: |nth| Op::Link {
            from: format!("before{nth}"),
            to: format!("link{nth}"),
        },
    },
    Case {
        name: "unlink",
        before: true,
        other: true,
        op: |nth| Op::Unlink {
            path: format!("before{nth}"),
            touch: FILE.into(),
        },
    },
    Case {
        name: "mkdir",
        before: false,
        other: false,
        op: |nth| Op::Mkdir {
            path: format!("mkdir{nth}"),
            file: Some(format!("mkdir{nth}/file")),
        },
    },
];

/// Those that say what a flush of virtio-pmem allocates, of metadata and of data.
const FLUSHED: &[Case] = CASES.split_at(2).0;

/// What an fsync acknowledged is there after a crash, and so is everything that the
/// operation had nothing to do with.
fn compare(acked: bool, before: &Tree, after: &Tree, found: &Tree) -> Result<()> {
    if acked {
        for (path, entry) in after {
            let now = found.get(path);
            ensure!(now == Some(entry), "{path}: {entry:?} became {now:?}");
        }
        let new = found.keys().find(|path| !after.contains_key(*path));
        ensure!(new.is_none(), "{new:?} is back");
    }
    for (path, entry) in before {
        let now = found.get(path);
        ensure!(
            now == Some(entry) || after.get(path) != Some(entry),
            "{path}: {entry:?} became {now:?}"
        );
    }
    Ok(())
}

/// Shuts the filesystem down with what was not committed lost, and mounts it again.
fn crash(lab: &mut Lab, dev: &Dev) -> Result<()> {
    let (dir, how) = (dev.dir(), Shutdown::NoFlush);
    lab.call::<()>(Cmd::Shutdown { dir, how })?;
    lab.umount(&dev.dir())?;
    lab.mount(dev, ON)?;
    Ok(())
}

/// Lets an allocation of an operation and its fsync fail, and crashes then. Also
/// returns whether there was a fast commit.
fn one(lab: &mut Lab, dev: &Dev, case: &Case, nth: u32) -> Result<(Attempt, bool)> {
    let dir = dev.dir();
    if case.before {
        synced(lab, dev, create(format!("before{nth}")))?;
    }
    // The first commit of a mount is a full one.
    lab.must_run("sync")?;
    let before = lab.tree(&dir)?;
    let stats = lab.stats(dev)?;
    let op = (case.op)(nth);
    let attempt = lab.attempt(
        nth,
        Call::Synced {
            op,
            dir: dir.clone(),
        },
    )?;
    let now = lab.stats(dev)?;
    let fast = now.fast > stats.fast;
    let committed = fast || now.full > stats.full;
    let after = lab.tree(&dir)?;
    crash(lab, dev)?;
    let found = lab.tree(&dir)?;
    let acked = attempt.error.is_none() && (committed || !case.other);
    compare(acked, &before, &after, &found)?;
    Ok((attempt, fast))
}

fn on(lab: &mut Lab, kind: DeviceKind, cases: &[Case]) -> Result<()> {
    for case in cases {
        let dev = prepared(lab, kind)?;
        lab.mount(&dev, ON)?;
        synced(lab, &dev, create(FILE.into()))?;
        let what = format!("{}: {}", dev.label(), case.name);
        let mut fast_commits = 0;
        each(&what, Which::Each, lab.seed, |nth| {
            let (attempt, fast) = one(lab, &dev, case, nth)?;
            fast_commits += u32::from(fast && attempt.error.is_none());
            Ok(attempt)
        })?;
        lab.umount(&dev.dir())?;
        if case.other {
            // An inode that is deleted without memory stays an orphan. ext4 notes the
            // error, and leaves the rest to e2fsck.
            let repair = lab.run(&format!("e2fsck -fy {}", dev.path()))?;
            ensure!(repair.status <= 1, "e2fsck -fy: {repair:?}");
        }
        lab.fsck_clean(&dev)?;
        ensure!(fast_commits > 0, "{what}: {fast_commits} fast commits");
    }
    Ok(())
}

pub fn each_operation(lab: &mut Lab) -> Result<()> {
    on(lab, DeviceKind::Sync, CASES)?;
    on(lab, DeviceKind::Virtio, FLUSHED)?;
    lab.power_off()
}
