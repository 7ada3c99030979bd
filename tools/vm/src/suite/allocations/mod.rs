// SPDX-License-Identifier: GPL-2.0
//! Allocations that fail: of each call the first one, then the second, and so on,
//! until the call makes no more. A call works or returns an error that can be read;
//! what was acknowledged stays; and without a failure everything works again.
//!
//! It takes a kernel with fault injection, which only the debugging kernel is.

mod fsync;
mod mount;
mod state;

use super::Test;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{bail, ensure, Context, Result};
use bytelog_guest::ops::Op;
use bytelog_guest::proto::{Attempt, Call, DeviceKind, MountArgs};

pub const TESTS: &[Test] = &[
    Test {
        name: "allocations-fail-at-the-mount",
        run: mount::of_clean,
    },
    Test {
        name: "allocations-fail-in-replay",
        run: mount::of_crashed,
    },
    Test {
        name: "allocations-fail-in-fsync",
        run: fsync::each_operation,
    },
    Test {
        name: "allocations-fail-at-the-unmount",
        run: state::unmount,
    },
    Test {
        name: "allocations-fail-at-the-remount",
        run: state::remount,
    },
    Test {
        name: "allocations-fail-in-freeze-and-thaw",
        run: state::freeze,
    },
];

/// More allocations than any of the calls makes.
const MANY: u32 = 10_000;

/// How often a call works in a row before it is tried with each [`STEP`]th allocation
/// only.
const ROW: u32 = 16;
const STEP: u32 = 7;

/// Which allocations of a call fail, one after the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Each; where the call works again and again, every [`STEP`]th until it does not.
    Each,
    /// Every [`STEP`]th, of a call like one of which each has failed.
    Some,
}

/// Mount options, and which allocations fail: what `force` does otherwise is no
/// allocation's.
const MOUNTS: [(&str, Which); 2] = [(ON, Which::Each), (FORCE, Which::Some)];

const ON: &str = "dax=always,commit=600,dax_fc_bytelog=on";
const FORCE: &str = "dax=always,commit=600,dax_fc_bytelog=force";

/// A machine and a device with a small filesystem, which is not mounted.
fn prepared(lab: &mut Lab, kind: DeviceKind) -> Result<Dev> {
    lab.with(Ext4::ByteLog)?;
    lab.let_allocations_fail()?;
    let dev = lab.dev(kind)?;
    lab.mkfs(&dev, "-J size=4,fast_commit_size=256", "24M")?;
    Ok(dev)
}

/// Calls `attempt` with 1, 2, ... until its call does not come to so many
/// allocations, and says how often the call worked although one failed. What is left
/// out is up to the seed.
fn each(
    what: &str,
    which: Which,
    seed: u64,
    mut attempt: impl FnMut(u32) -> Result<Attempt>,
) -> Result<()> {
    // Less than a step.
    let shift = (seed % u64::from(STEP)) as u32;
    let (mut worked, mut failed, mut in_a_row) = (0, 0, 0);
    let mut nth = match which {
        Which::Each => 1,
        Which::Some => 1 + shift,
    };
    while nth < MANY {
        let outcome = attempt(nth).with_context(|| format!("{what}: allocation {nth} fails"))?;
        if !outcome.met {
            ensure!(worked + failed > 0, "{what}: no allocation");
            println!("   {what}: {nth} allocations; worked {worked} times, failed {failed} times");
            return Ok(());
        }
        if outcome.error.is_some() {
            (failed, in_a_row) = (failed + 1, 0);
        } else {
            (worked, in_a_row) = (worked + 1, in_a_row + 1);
        }
        nth += match (which, in_a_row) {
            (Which::Each, 0..ROW) => 1,
            (Which::Each, ROW) => STEP + shift,
            _ => STEP,
        };
    }
    bail!("{what}: a call with {MANY} allocations")
}

fn mount_args(dev: &Dev, opts: &str) -> MountArgs {
    MountArgs {
        dev: dev.path(),
        dir: dev.dir(),
        opts: opts.into(),
        ..MountArgs::default()
    }
}

/// An operation and its fsync, of which no allocation fails.
fn synced(lab: &mut Lab, dev: &Dev, op: Op) -> Result<()> {
    let call = Call::Synced { op, dir: dev.dir() };
    match lab.attempt(0, call)?.error {
        None => Ok(()),
        Some(error) => bail!("{error}"),
    }
}

fn create(path: String) -> Op {
    Op::Create {
        path,
        sync_dir: false,
    }
}
