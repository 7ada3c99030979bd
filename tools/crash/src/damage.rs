// SPDX-License-Identifier: GPL-2.0

//! The other side of "a torn commit is not damage": a log that no power cut made.
//!
//! One byte of an acknowledged log is changed. If a commit follows the one it hits,
//! that one must have been acknowledged, and the reader has to say that the log is
//! damaged. The last commit cannot be told from one in flight; it may be dropped,
//! never changed.

use crate::checker::Shown;
use crate::memory::Memory;
use crate::oracle::{Area, Broken, Check, Crc, Oracle};
use crate::trace::Trace;
use bytelog::opener::USED_LEN;
use bytelog::reader::{read_log, Expected, Sink, SCRATCH_LEN};
use bytelog::record::{Record, HEADER_LEN};
use fastrand::Rng;
use std::convert::Infallible;

/// Bytes of the opener that another kind of area could have as well, so that the
/// reader has to believe them: the anchor's tag, which tells ByteLog's area from a
/// stock one.
const ANCHOR_TAG: std::ops::Range<usize> = 12..14;

/// Length and commit of each record.
#[derive(Default)]
struct Records(Vec<(usize, usize)>);

impl Sink for Records {
    type Error = Infallible;

    fn record(&mut self, record: &Record, _: &[u8]) -> Result<(), Infallible> {
        self.0.push((record.record_len(), record.commit() as usize));
        Ok(())
    }

    fn sealed(&mut self, _: u32) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Damages the log as it is now, all acknowledged, in a header and a body of every
/// record and in the opener. Counts in `tried`.
pub fn check(
    memory: &Memory,
    oracle: &mut Oracle,
    trace: &Trace,
    rng: &mut Rng,
    tried: &mut u64,
) -> Result<(), Shown> {
    let commits = oracle.acknowledged().len();
    if commits == 0 {
        return Ok(());
    }
    let mut image = memory.visible().to_vec();
    let expected = Expected {
        tid: oracle.tid(),
        uuid: &trace.uuid,
        block_size: trace.block_size,
    };
    let mut records = Records::default();
    let mut scratch = vec![0; SCRATCH_LEN];
    // It has just been read without an error.
    let _ = read_log::<Crc, _, _>(&Area(&image), &expected, &mut scratch, &mut records);
    let mut hits = vec![(opener_byte(rng), 1)];
    let mut at = trace.block_size as usize;
    for (len, commit) in records.0 {
        if commit <= commits {
            hits.push((at + rng.usize(..HEADER_LEN), commit));
            hits.push((at + rng.usize(HEADER_LEN..len), commit));
        }
        at += len;
    }
    for (byte, commit) in hits {
        *tried += 1;
        let bit = 1 << rng.u8(..8);
        image[byte] ^= bit;
        if let Err(what) = told(oracle, &image, commit, commits) {
            let what = format!("byte {byte}, commit {commit} of {commits}: {what}");
            return Err((Broken::new(Check::Damage, what), Some(image)));
        }
        image[byte] ^= bit;
    }
    Ok(())
}

/// A byte of the opener whose change must be noticed.
fn opener_byte(rng: &mut Rng) -> usize {
    loop {
        let byte = rng.usize(..USED_LEN);
        if !ANCHOR_TAG.contains(&byte) {
            return byte;
        }
    }
}

/// Whether the reader copes with an image in which `commit` is damaged.
fn told(oracle: &mut Oracle, image: &[u8], commit: usize, commits: usize) -> Result<(), String> {
    match oracle.read_damaged(image) {
        Err(_) => Ok(()),
        Ok((_, false)) => Err("a changed commit is told as if it were whole".into()),
        Ok((there, true)) if there + 1 == commit && commit == commits => Ok(()),
        Ok((there, true)) => Err(format!("reading ends after {there} and calls that all")),
    }
}
