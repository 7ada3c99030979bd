// SPDX-License-Identifier: GPL-2.0
//! Records that say what is not so.

use crate::cases::{cut_at, Case, Expect, Kind};
use crate::log::{Log, Rec, COMMITTED, LINE, SEAL};
use fastrand::Rng;

/// Kinds that make sense in both versions: in either, an intact header that breaks
/// a rule is damage, wherever it stands.
pub(crate) const BOTH: &[Kind] = &[
    intact,
    tid,
    seq,
    payload_len,
    record_len,
    flags,
    tag,
    reserved,
    swapped,
    doubled,
    left_out,
    too_long,
    magic,
    version,
    hdr_len,
    gap,
];

/// Kinds about what only version 2 has.
pub(crate) const V2: &[Kind] = &[
    nonce,
    ordinal,
    no_seal,
    second_seal,
    torn_end,
    stray_ordinal,
    stray_nonce,
    empty_payload,
];

/// One of the records with something wrong in it: damage.
fn broken(log: &Log, rng: &mut Rng, name: &str, change: impl Fn(&mut Rec, &mut Rng)) -> Case {
    let mut log = log.clone();
    let at = rng.usize(..log.records.len());
    change(&mut log.records[at], rng);
    Case::new(format!("{name} of record {at}"), Expect::Refused, log)
}

/// One that no longer looks like a record: a version 2 log ends there.
fn unlike(log: &Log, rng: &mut Rng, name: &str, change: impl Fn(&mut Rec, &mut Rng)) -> Case {
    let mut case = broken(log, rng, name, |_, _| ());
    let last = rng.bool();
    let at = match last {
        true => first_of_last(log),
        false => rng.usize(..log.records.len()),
    };
    change(&mut case.log.records[at], rng);
    case.name = format!("{name} of record {at}");
    if !log.is_v1() {
        case.expect = cut_at(log.records[at].commit, log);
    }
    case
}

/// The first record of the last fast commit.
fn first_of_last(log: &Log) -> usize {
    let last = log.commits();
    log.records
        .iter()
        .position(|rec| rec.commit == last)
        .unwrap_or(0)
}

fn other<T: PartialEq + Copy>(rng: &mut Rng, now: T, choices: &[T]) -> T {
    let fitting: Vec<T> = choices
        .iter()
        .copied()
        .filter(|value| *value != now)
        .collect();
    fitting[rng.usize(..fitting.len())]
}

fn intact(log: &Log, _: &mut Rng) -> Case {
    let commits = if log.is_v1() { 1 } else { log.commits() };
    Case::new("nothing wrong", Expect::Commits(commits), log.clone())
}

fn tid(log: &Log, rng: &mut Rng) -> Case {
    broken(log, rng, "transaction", |rec, rng| {
        rec.tid = other(
            rng,
            rec.tid,
            &[
                0,
                rec.tid.wrapping_add(1),
                rec.tid.wrapping_sub(1),
                u32::MAX,
            ],
        );
    })
}

fn seq(log: &Log, rng: &mut Rng) -> Case {
    broken(log, rng, "number", |rec, rng| {
        let near = [
            rec.seq.wrapping_add(1),
            rec.seq.wrapping_sub(1),
            1 << 32,
            u64::MAX,
        ];
        rec.seq = other(rng, rec.seq, &near);
    })
}

fn payload_len(log: &Log, rng: &mut Rng) -> Case {
    broken(log, rng, "payload length", |rec, rng| {
        rec.payload_len = [0, 65_537, 1 << 31, u32::MAX, u32::MAX - 63][rng.usize(..5)];
        if rng.bool() {
            // Lengths that agree with each other.
            rec.record_len = rec.payload_len.wrapping_add(127) & !63;
        }
    })
}

fn record_len(log: &Log, rng: &mut Rng) -> Case {
    broken(log, rng, "length", |rec, rng| {
        let real = rec.record_len;
        let wrong = [
            0,
            1,
            63,
            64,
            real - 64,
            real + 64,
            real + 1,
            u32::MAX,
            u32::MAX - 63,
            1 << 31,
        ];
        rec.record_len = other(rng, real, &wrong);
    })
}

fn flags(log: &Log, rng: &mut Rng) -> Case {
    broken(log, rng, "flags", |rec, rng| {
        rec.flags = [0, SEAL, COMMITTED | 4, 0xffff][rng.usize(..4)];
    })
}

fn tag(log: &Log, rng: &mut Rng) -> Case {
    // A single TLV's tag is wrong in both: version 2 has runs only, and here none
    // is a single TLV of such a tag.
    broken(log, rng, "tag", |rec, rng| {
        rec.tag = [0, 2, 7, 8, 9, 10, 0xfffe][rng.usize(..7)];
    })
}

fn reserved(log: &Log, rng: &mut Rng) -> Case {
    broken(log, rng, "reserved byte", |rec, rng| {
        rec.reserved = rng.u8(1..)
    })
}

fn swapped(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    let at = rng.usize(1..log.records.len());
    log.records.swap(at - 1, at);
    Case::new(
        format!("record {at} before the one before it"),
        Expect::Refused,
        log,
    )
}

fn doubled(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    let at = rng.usize(..log.records.len());
    let again = log.records[at].clone();
    log.records.insert(at, again);
    Case::new(format!("record {at} twice"), Expect::Refused, log)
}

fn left_out(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    let at = rng.usize(..log.records.len() - 1);
    log.records.remove(at);
    Case::new(format!("record {at} left out"), Expect::Refused, log)
}

/// A payload longer than the one that is there, by its CRC a torn one.
fn too_long(log: &Log, rng: &mut Rng) -> Case {
    unlike(log, rng, "longest payload", |rec, rng| {
        rec.payload_len = [65_536, 65_535][rng.usize(..2)];
        rec.record_len = (LINE + 65_536) as u32;
    })
}

fn magic(log: &Log, rng: &mut Rng) -> Case {
    unlike(log, rng, "magic", |rec, rng| {
        rec.magic = rng.u32(..0x4c00_0000)
    })
}

fn version(log: &Log, rng: &mut Rng) -> Case {
    unlike(log, rng, "version", |rec, rng| {
        rec.version = [0, 3, 0xffff][rng.usize(..3)]
    })
}

fn hdr_len(log: &Log, rng: &mut Rng) -> Case {
    unlike(log, rng, "header length", |rec, rng| {
        rec.hdr_len = [0, 63, 128, 0xffff][rng.usize(..4)];
    })
}

fn gap(log: &Log, rng: &mut Rng) -> Case {
    unlike(log, rng, "a gap in front", |rec, rng| {
        rec.gap = LINE * rng.usize(1..80)
    })
}

fn nonce(log: &Log, rng: &mut Rng) -> Case {
    broken(log, rng, "nonce", |rec, rng| {
        rec.nonce = other(rng, rec.nonce, &[0, rec.nonce ^ 1, u32::MAX]);
    })
}

fn ordinal(log: &Log, rng: &mut Rng) -> Case {
    broken(log, rng, "ordinal", |rec, rng| {
        rec.commit = other(
            rng,
            rec.commit,
            &[0, rec.commit - 1, rec.commit + 1, u32::MAX],
        );
    })
}

/// A fast commit without its seal: the next one's ordinal cannot stand there.
fn no_seal(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    let sealed: Vec<usize> = (0..log.records.len())
        .filter(|&at| log.records[at].flags & SEAL != 0)
        .collect();
    let at = match rng.bool() {
        true => log.records.len() - 1,
        false => sealed[rng.usize(..sealed.len())],
    };
    log.records[at].flags = COMMITTED;
    let expect = cut_at(log.records[at].commit, &log);
    Case::new(format!("record {at} without its seal"), expect, log)
}

/// A record more, and a seal, in a fast commit: what follows has its ordinal, too.
fn second_seal(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    let at = rng.usize(..log.records.len());
    let rec = &log.records[at];
    let again = Rec::new(&log.opener, rec.seq + 1, rec.commit, rec.payload.clone());
    for later in &mut log.records[at + 1..] {
        later.seq += 1;
    }
    log.records.insert(at + 1, again);
    Case::new(format!("record {at} sealed twice"), Expect::Refused, log)
}

/// A last fast commit of which only the header is there: a power cut's work.
fn torn_end(log: &Log, rng: &mut Rng) -> Case {
    let mut log = log.clone();
    let at = log.records.len() - 1;
    let rec = &mut log.records[at];
    let last = rec.commit;
    // The header still has the lengths.
    rec.payload
        .truncate(rng.usize(..rec.payload.len().min(LINE)));
    rec.payload.push(0xee);
    Case::new(
        "payload of the last record gone",
        Expect::Commits(last - 1),
        log,
    )
}

/// A stray record, whole, behind the log's end.
fn stray(log: &Log, rng: &mut Rng, above: u32, nonce: u32) -> Log {
    let mut log = log.clone();
    let commit = log.commits() + above;
    let payload = log.records[rng.usize(..log.records.len())].payload.clone();
    let mut rec = Rec::new(&log.opener, rng.u64(..), commit, payload);
    rec.nonce ^= nonce;
    rec.gap = LINE * rng.usize(1..64);
    log.records.push(rec);
    log
}

fn stray_ordinal(log: &Log, rng: &mut Rng) -> Case {
    let above = rng.u32(1..4);
    let expect = match above {
        1 => Expect::Commits(log.commits()),
        _ => Expect::Refused,
    };
    let stray = stray(log, rng, above, 0);
    Case::new(
        format!("a record {above} fast commits later"),
        expect,
        stray,
    )
}

fn stray_nonce(log: &Log, rng: &mut Rng) -> Case {
    let nonce = rng.u32(1..);
    let stray = stray(log, rng, 9, nonce);
    let expect = Expect::Commits(log.commits());
    Case::new("a record of another life behind the end", expect, stray)
}

fn empty_payload(log: &Log, rng: &mut Rng) -> Case {
    broken(log, rng, "no payload", |rec, _| {
        rec.payload.clear();
        rec.measure();
    })
}
