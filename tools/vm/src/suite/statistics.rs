// SPDX-License-Identifier: GPL-2.0
//! What the module says about itself: its counters against its tracepoints, and
//! both against what was done and what is in the image.

use super::Test;
use crate::events::Event;
use crate::image::{Image, BLOCK};
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{Cmd, DeviceKind};
use bytelog_guest::workload::{Kind, Spec};
use std::collections::BTreeMap;

pub const TESTS: &[Test] = &[Test {
    name: "counters-agree-with-tracepoints",
    run: agree,
}];

const OPTS: &str = "dax=always,commit=600,dax_fc_bytelog=on";

/// A log that is full after some hundred fsyncs.
const SMALL_LOG: &str = "-J size=8,fast_commit_size=64";

const REASONS: [&str; 6] = [
    "log_full",
    "log_features",
    "log_closed",
    "device_errors",
    "other_refusals",
    "dropped_by_ext4",
];

fn file(lab: &mut Lab, dev: &Dev, name: &str) -> Result<String> {
    lab.call(Cmd::Read {
        path: format!("/sys/kernel/debug/ext4_bytelog/{}/{name}", dev.name),
    })
}

fn counter(lab: &mut Lab, dev: &Dev, name: &str) -> Result<u64> {
    let text = file(lab, dev, name)?;
    text.trim()
        .parse()
        .with_context(|| format!("{name}: {text}"))
}

/// The device's number, as traces have it.
fn number(lab: &mut Lab, dev: &Dev) -> Result<String> {
    let text: String = lab.call(Cmd::Read {
        path: format!("/sys/block/{}/dev", dev.name),
    })?;
    Ok(text.trim().replace(':', ","))
}

fn named<'a>(events: &'a [Event], name: &'a str) -> impl Iterator<Item = &'a Event> {
    events.iter().filter(move |event| event.name == name)
}

fn sum<'a>(mut events: impl Iterator<Item = &'a Event>, field: &str) -> Result<u64> {
    events.try_fold(0, |sum, event| Ok(sum + event.number(field)?))
}

/// How many values fall into each bucket, by its least value.
fn buckets(values: impl Iterator<Item = Result<u64>>) -> Result<BTreeMap<u64, u64>> {
    let mut buckets = BTreeMap::new();
    for value in values {
        let lower = value?.checked_ilog2().map_or(0, |bits| 1 << bits.min(30));
        *buckets.entry(lower).or_default() += 1;
    }
    Ok(buckets)
}

/// The buckets of a histogram file that are not empty.
fn histogram(text: &str) -> Result<BTreeMap<u64, u64>> {
    let mut buckets = BTreeMap::new();
    for line in text.lines() {
        let (lower, count) = line.split_once(": ").context(line.to_owned())?;
        let (lower, count) = (lower.parse()?, count.parse()?);
        if count > 0 {
            buckets.insert(lower, count);
        }
    }
    Ok(buckets)
}

/// The ordinals of each transaction's commits, without gaps from 1 on; 0 is a
/// commit that had nothing to log.
fn check_ordinals(events: &[Event]) -> Result<()> {
    let (mut tid, mut last) = (0, 0);
    for event in named(events, "commit") {
        let ordinal = event.number("ordinal")?;
        if event.number("tid")? != tid {
            (tid, last) = (event.number("tid")?, 0);
        }
        if ordinal != 0 {
            ensure!(ordinal == last + 1, "after commit {last}: {event:?}");
            last = ordinal;
        }
    }
    Ok(())
}

fn check_commits(lab: &mut Lab, dev: &Dev, events: &[Event]) -> Result<()> {
    let commits = counter(lab, dev, "commits")?;
    ensure!(
        commits == named(events, "commit").count() as u64 && commits == lab.stats(dev)?.fast,
        "{commits} commits, ext4 says {:?}",
        lab.stats(dev)?
    );
    for field in ["records", "payload_bytes", "log_bytes"] {
        let (counted, traced) = (
            counter(lab, dev, field)?,
            sum(named(events, "commit"), field)?,
        );
        ensure!(
            counted == traced && counted > 0,
            "{field}: {counted} counted, {traced} traced"
        );
    }
    check_ordinals(events)?;
    let used: Result<Vec<u64>> = named(events, "commit").map(|e| e.number("used")).collect();
    let used = used?;
    ensure!(
        counter(lab, dev, "log_used")? == *used.last().context("no commit")?,
        "log_used is not that of the last commit"
    );
    ensure!(
        counter(lab, dev, "log_high_water")? == used.into_iter().max().unwrap_or(0),
        "log_high_water is not the highest"
    );
    let shown = histogram(&file(lab, dev, "commit_latency_ns")?)?;
    let traced = buckets(named(events, "commit").map(|event| event.number("nanos")))?;
    ensure!(
        shown == traced && !shown.contains_key(&0),
        "histogram {shown:?}, traced {traced:?}"
    );
    Ok(())
}

fn check_aborts(lab: &mut Lab, dev: &Dev, events: &[Event]) -> Result<()> {
    let aborted = counter(lab, dev, "aborted_commits")?;
    ensure!(
        aborted == named(events, "abort").count() as u64,
        "{aborted} aborted commits, not as many traced"
    );
    let mut reasons = BTreeMap::new();
    for reason in REASONS {
        let counted = counter(lab, dev, reason)?;
        let traced = named(events, "abort")
            .filter(|event| event.text("reason").is_ok_and(|text| text == reason))
            .count() as u64;
        ensure!(
            counted == traced,
            "{reason}: {counted} counted, {traced} traced"
        );
        reasons.insert(reason, counted);
    }
    ensure!(
        reasons.values().sum::<u64>() == aborted,
        "{reasons:?} do not add up to {aborted}"
    );
    ensure!(reasons["log_full"] > 0, "nothing was given up: {reasons:?}");
    let full = named(events, "full").count() as u64;
    ensure!(
        full == reasons["log_full"],
        "{full} times full, {reasons:?}"
    );
    let capacity = counter(lab, dev, "log_capacity")?;
    for event in named(events, "full") {
        let used = event.number("used")?;
        ensure!(
            event.number("capacity")? == capacity && used <= capacity && 2 * used > capacity,
            "capacity {capacity}: {event:?}"
        );
    }
    Ok(())
}

fn agree(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, SMALL_LOG, "64M")?;
    let on = number(lab, &dev)?;
    lab.start_tracing()?;
    lab.mount(&dev, OPTS)?;
    let area = Image::open(&dev)?.fc_area(lab.journal(&dev)?)?.len() as u64 * BLOCK;
    lab.work(&dev, &Spec::new(Kind::Append, lab.seed, 700))?;
    lab.work(
        &dev,
        &Spec::new(Kind::UnlinkOpen, lab.seed, 10).prefix("gone"),
    )?;
    lab.work(&dev, &Spec::new(Kind::Create, lab.seed, 20).prefix("more"))?;
    let events = lab.stop_tracing(&on)?;

    let attached: Vec<_> = named(&events, "attach").collect();
    ensure!(
        attached.len() == 1
            && attached[0].number("area_bytes")? == area
            && attached[0].number("synchronous")? == 1,
        "area of {area} bytes: {attached:?}"
    );
    ensure!(counter(lab, &dev, "area_bytes")? == area, "area_bytes");
    ensure!(
        counter(lab, &dev, "log_capacity")? == area - BLOCK,
        "log_capacity"
    );
    check_commits(lab, &dev, &events)?;
    check_aborts(lab, &dev, &events)?;
    lab.cut()?;
    check_replay(lab, &dev, &on, &events)
}

/// What is replayed after a cut is what the last transaction's commits logged.
fn check_replay(lab: &mut Lab, dev: &Dev, on: &str, before: &[Event]) -> Result<()> {
    let last = named(before, "commit").last().context("no commit")?;
    let tid = last.number("tid")?;
    let logged: Vec<&Event> = named(before, "commit")
        .filter(|event| event.number("tid").is_ok_and(|of| of == tid))
        .filter(|event| event.number("ordinal").is_ok_and(|n| n != 0))
        .collect();
    ensure!(logged.len() > 10, "only {} fast commits", logged.len());

    lab.with(Ext4::ByteLog)?;
    lab.start_tracing()?;
    lab.mount(dev, OPTS)?;
    let after = lab.stop_tracing(on)?;
    let replay: Vec<_> = named(&after, "replay").collect();
    ensure!(replay.len() == 1, "not one replay: {after:?}");
    let logged = logged.into_iter();
    for (field, counted, expected) in [
        ("commits", "replayed_commits", logged.clone().count() as u64),
        (
            "records",
            "replayed_records",
            sum(logged.clone(), "records")?,
        ),
        (
            "payload_bytes",
            "replayed_bytes",
            sum(logged, "payload_bytes")?,
        ),
    ] {
        ensure!(
            replay[0].number(field)? == expected && counter(lab, dev, counted)? == expected,
            "{field}: {expected} logged, {counted} {}, {replay:?}",
            counter(lab, dev, counted)?
        );
    }
    ensure!(replay[0].number("tid")? == tid, "tid {tid}: {replay:?}");
    lab.umount(&dev.dir())
}
