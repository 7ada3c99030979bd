// SPDX-License-Identifier: GPL-2.0
//! `bytelog stat` and `bytelog top` against what a workload did and what ext4 and jbd2
//! say of it.

use super::Test;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{DeviceKind, FcStats};
use bytelog_guest::workload::{Kind, Spec};
use serde_json::Value;

pub const TESTS: &[Test] = &[Test {
    name: "stat-tells-what-a-workload-did",
    run: tells,
}];

/// A log that is full after some hundred fsyncs.
const SMALL_LOG: &str = "-J size=8,fast_commit_size=64";

const FSYNCS: u64 = 300;

/// What the command says of a mount.
fn stat(lab: &mut Lab, which: &str) -> Result<Value> {
    let text = lab.must_run(&format!("bytelog --json stat {which}"))?;
    let told: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let one = told["filesystems"].as_array().filter(|all| all.len() == 1);
    Ok(one.context(text)?[0].clone())
}

fn number(value: &Value, path: &str) -> Result<u64> {
    let found = value.pointer(path).and_then(Value::as_u64);
    found.with_context(|| format!("no {path} in {value}"))
}

/// The command's counts are those of /proc, exactly.
fn agrees(told: &Value, stats: &FcStats) -> Result<()> {
    for (path, count) in [
        ("/counters/commits", stats.fast),
        ("/ext4/commits", stats.fast),
        ("/ext4/ineligible", stats.ineligible),
        ("/full_commits", stats.full),
    ] {
        ensure!(
            number(told, path)? == count,
            "{path}: not {count} in {told}"
        );
    }
    Ok(())
}

fn tells(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let none = lab.must_run("bytelog stat")?;
    ensure!(none.contains("no filesystem is mounted"), "{none}");
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, SMALL_LOG, "64M")?;
    lab.mount(&dev, "dax=always,commit=600,dax_fc_bytelog=on")?;
    lab.must_run("sync")?;
    let before = stat(lab, &dev.path())?;
    agrees(&before, &lab.stats(&dev)?)?;
    lab.work(&dev, &Spec::new(Kind::Append, lab.seed, FSYNCS))?;
    // What ext4 rules out, with its reason.
    let target = "t".repeat(100);
    lab.must_run(&format!("ln -s {target} {}/link", dev.dir()))?;
    lab.must_run(&format!("sync {}", dev.dir()))?;
    let after = stat(lab, &dev.dir())?;
    agrees(&after, &lab.stats(&dev)?)?;
    the_workload(&before, &after)?;
    ensure!(
        after["ext4"]["reasons"]
            .as_object()
            .is_some_and(|reasons| reasons.contains_key("Symbolic link in a block")),
        "no reason in {after}"
    );
    let text = lab.must_run(&format!("bytelog stat {}", dev.name))?;
    let count = number(&after, "/counters/commits")?;
    ensure!(
        text.contains(&dev.dir()) && text.contains(&format!(" {count}, ")),
        "{text}"
    );
    live(lab, &dev)?;
    let absent = lab.run("bytelog stat /dev/absent")?;
    ensure!(absent.status == 8, "{absent:?}");
    lab.umount(&dev.dir())
}

fn the_workload(before: &Value, after: &Value) -> Result<()> {
    let grew = |path: &str| Ok::<_, anyhow::Error>(number(after, path)? - number(before, path)?);
    let (fast, full) = (grew("/counters/commits")?, grew("/full_commits")?);
    ensure!(
        fast + full >= FSYNCS && fast > full,
        "{fast} fast and {full} full commits for {FSYNCS} fsyncs"
    );
    ensure!(
        grew("/counters/log_full")? > 0 && grew("/counters/log_full")? <= full,
        "a log of 64 KiB has not been full: {after}"
    );
    ensure!(
        grew("/counters/data_commits")? > 0,
        "no file data in {after}"
    );
    // Every one that was counted has been timed.
    let buckets = after["commit_latency_ns"]["buckets"].as_array();
    let timed = buckets.context("no histogram")?.iter();
    let timed: u64 = timed.filter_map(|bucket| bucket["count"].as_u64()).sum();
    ensure!(
        timed == number(after, "/counters/commits")?,
        "{timed} timed: {after}"
    );
    ensure!(
        number(after, "/log/log_used")? <= number(after, "/log/log_capacity")?,
        "{after}"
    );
    Ok(())
}

/// An interval in which nothing is done; lines, for the output is no terminal.
fn live(lab: &mut Lab, dev: &Dev) -> Result<()> {
    let lines = lab.must_run("bytelog top --interval 0.2 --count 2")?;
    let shown = lines.lines().filter(|line| line.starts_with(&dev.name));
    ensure!(lines.starts_with("DEVICE") && shown.count() == 2, "{lines}");
    Ok(())
}
