// SPDX-License-Identifier: GPL-2.0
//! Openers whose window, numbers or parts are wrong.

use crate::cases::{Case, Expect, Kind};
use crate::log::{Log, BLOCK, KNOWN, LINE};
use fastrand::Rng;

/// Kinds for both versions.
pub(crate) const BOTH: &[Kind] = &[tail, head, seq, crc, features, stale];

/// Kinds that a version 1 log answers in another way: of it, an opener that is not
/// whole leaves nothing.
pub(crate) const V2: &[Kind] = &[tids, lengths, nonce, may_contain];

fn pick<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

fn tail(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    let start = BLOCK as u64;
    let tail = pick(
        rng,
        &[
            0,
            64,
            start - 64,
            start + 1,
            start + 32,
            1 << 40,
            u64::MAX,
            u64::MAX - 63,
        ],
    );
    log.opener.tail = Some(tail);
    Case::new(format!("window from {tail:#x}"), Expect::Refused, log)
}

fn head(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    let start = BLOCK as u64;
    let head = pick(
        rng,
        &[
            0,
            start - 64,
            start,
            start + 64,
            start + 65,
            1 << 40,
            u64::MAX,
            u64::MAX - 63,
        ],
    );
    log.opener.head = Some(head);
    Case::new(format!("window to {head:#x}"), Expect::Refused, log)
}

fn seq(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    let seq = pick(rng, &[0, 1 << 20, u64::MAX]);
    log.opener.seq = Some(seq);
    Case::new(
        format!("{seq:#x} records in the window"),
        Expect::Refused,
        log,
    )
}

fn crc(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    log.opener.crc = Some(rng.u32(..));
    Case::new("CRC of the window", Expect::Refused, log)
}

fn features(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    log.opener.features |= 1 << rng.u32(2..32);
    let bits = log.opener.features;
    Case::new(format!("features {bits:#x}"), Expect::Refused, log)
}

/// Features that the log says that it may contain, whether it does or not.
fn may_contain(log: &Log, _: &mut Rng) -> Case {
    let mut log = log.clone();
    log.opener.features |= KNOWN;
    let commits = log.commits();
    Case::new("all features that are known", Expect::Commits(commits), log)
}

/// A log of another transaction, right in itself.
fn stale(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    log.opener.tid = log
        .opener
        .tid
        .wrapping_add(pick(rng, &[1, 2, u32::MAX, 1 << 31]));
    let tid = log.opener.tid;
    log.records.iter_mut().for_each(|rec| rec.tid = tid);
    Case::new("a log of another transaction", Expect::Commits(0), log)
}

/// HEAD, anchor and TAIL disagree: no whole opener, but the log went on.
fn tids(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    // Not the anchor's own: where it names another one, the TAIL's CRC tells the log,
    // and that is of the changed opener here.
    log.opener.skew[pick(rng, &[0, 2])] = rng.u32(1..);
    Case::new("transactions of HEAD and TAIL", Expect::Refused, log)
}

fn lengths(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    let part = rng.usize(..3);
    let len = &mut log.opener.tl[part][1];
    *len = match part {
        2 => pick(rng, &[0, 8, u16::MAX, *len - 1]),
        _ => pick(rng, &[0, *len - 1, *len + LINE as u16, u16::MAX]),
    };
    Case::new(
        format!("length of part {part} of the opener"),
        Expect::Refused,
        log,
    )
}

fn nonce(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    log.opener.nonce ^= rng.u32(1..);
    Case::new("nonce of the opener", Expect::Refused, log)
}
