// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Corrupted logs: never a panic, and never a record that was not written.

use crate::common::*;
use crate::v1::{write_v1, V1Record};
use bytelog::reader::ReadArea;
use std::cell::{Cell, RefCell};

const LOGS: usize = 4000;

/// A log with content underneath and what a reader may make of it.
struct Sample {
    image: Vec<u8>,
    tid: u32,
    /// The commits; what is read must be the first of them.
    commits: Vec<Vec<u8>>,
}

fn sample_v2(rng: &mut Rng) -> Sample {
    let blocks = 8 + rng.below(8) as u32;
    let mut ram = Ram::new(blocks);
    let mut log = idle_writer(blocks);
    let tid = 5 + rng.below(3) as u32;
    let mut commits = Vec::new();
    // An older life of the same tid, an older tid, then the log itself.
    for (tid, most) in [(tid, 60), (tid - 1, 40), (tid, 20)] {
        if log.tid() == Some(tid) {
            continue;
        }
        log.start(tid, rng.next() as u32);
        commits.clear();
        for _ in 0..1 + rng.below(most) {
            let most = if rng.below(8) == 0 { 40 } else { 5 };
            let tlvs = rng.tlvs(most);
            match try_commit(&mut log, &mut ram, &tlvs) {
                Ok(_) => commits.push(tlvs.concat()),
                Err(_) => log.discard(),
            }
        }
    }
    Sample {
        image: ram.bytes,
        tid,
        commits,
    }
}

fn sample_v1(rng: &mut Rng) -> Sample {
    let mut image = vec![0; 16 * BLOCK as usize];
    let records: Vec<_> = (0..1 + rng.below(30))
        .map(|_| match rng.below(2) {
            0 => V1Record::single(rng.tlv_of_v1()),
            _ => V1Record::run(&[rng.tlv_of_v1(), rng.tlv_of_v1()]),
        })
        .collect();
    write_v1(&mut image, 9, BLOCK as usize, &records);
    let commit = records.into_iter().flat_map(|r| r.payload).collect();
    Sample {
        image,
        tid: 9,
        commits: vec![commit],
    }
}

/// The area up to the end of the log, where damage matters.
fn used(sample: &Sample) -> usize {
    let (log, _) = read(&sample.image, sample.tid).unwrap();
    log.head as usize
}

fn place(rng: &mut Rng, used: usize) -> usize {
    match rng.below(4) {
        0 => rng.below(68),
        _ => rng.below(used),
    }
}

/// Changes `image` in one of the ways media go wrong.
fn corrupt(rng: &mut Rng, image: &mut [u8], used: usize) {
    match rng.below(7) {
        // Bits.
        0 | 1 => {
            for _ in 0..1 + rng.below(8) {
                let at = place(rng, used);
                image[at] ^= 1 << rng.below(8);
            }
        }
        // A tail that is lost.
        2 => {
            let at = place(rng, used);
            image[at..].fill(0);
        }
        // Random bytes where records were.
        3 => {
            let at = place(rng, used) & !63;
            let len = (64 << rng.below(6)).min(image.len() - at);
            for byte in &mut image[at..at + len] {
                *byte = rng.next() as u8;
            }
        }
        // Lines that are lost, or stand in another's place.
        4 => {
            for _ in 0..1 + rng.below(4) {
                let at = place(rng, used) & !63;
                image[at..at + 64].fill(0);
            }
        }
        5 => {
            let from = rng.below(used) & !63;
            let to = rng.below(used) & !63;
            image.copy_within(from..from + 64, to);
        }
        // A length, an ordinal, a flag, a window of someone's choice.
        _ => {
            let at = place(rng, used) & !3;
            let value = match rng.below(4) {
                0 => u32::MAX,
                1 => 0,
                2 => 65536 + rng.below(3) as u32,
                _ => rng.next() as u32 & 0xffff,
            };
            image[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
}

#[test]
fn no_corruption_makes_up_a_record() {
    let mut rng = Rng(0x5eed_0001);
    let (mut refused, mut shorter, mut same) = (0, 0, 0);
    for number in 0..LOGS {
        let sample = match number % 2 {
            0 => sample_v2(&mut rng),
            _ => sample_v1(&mut rng),
        };
        let used = used(&sample);
        assert_eq!(read(&sample.image, sample.tid).unwrap().1, sample.commits);
        let mut image = sample.image.clone();
        corrupt(&mut rng, &mut image, used);
        match read(&image, sample.tid) {
            Err(_) => refused += 1,
            Ok((_, commits)) => {
                assert!(sample.commits.starts_with(&commits), "log {number}");
                match commits.len() == sample.commits.len() {
                    true => same += 1,
                    false => shorter += 1,
                }
            }
        }
    }
    println!("{LOGS} corrupted logs: {refused} refused, {shorter} shorter, {same} as before");
    assert!(refused > LOGS / 4 && shorter > LOGS / 20);
}

/// An area that someone writes to while it is read.
struct Racing {
    bytes: RefCell<Vec<u8>>,
    rng: RefCell<Rng>,
    calls: Cell<usize>,
}

impl ReadArea for Racing {
    type Error = Broken;

    fn len(&self) -> u64 {
        self.bytes.borrow().len() as u64
    }

    fn copy_out(&self, off: u64, buf: &mut [u8]) -> Result<(), Broken> {
        let mut bytes = self.bytes.borrow_mut();
        let rng = &mut *self.rng.borrow_mut();
        buf.copy_from_slice(&bytes[off as usize..][..buf.len()]);
        self.calls.set(self.calls.get() + 1);
        // What has been read changes at once; what is still to be read, rarely.
        for _ in 0..4 {
            let at = off as usize + rng.below(buf.len());
            bytes[at] = rng.next() as u8;
        }
        if rng.below(20) == 0 {
            let at = rng.below(bytes.len());
            bytes[at] = rng.next() as u8;
        }
        Ok(())
    }
}

#[test]
fn bytes_that_change_after_their_check_change_nothing() {
    use bytelog::reader::{read_log, Expected, SCRATCH_LEN};
    let mut rng = Rng(0x5eed_0002);
    let (mut read_some, mut calls) = (0, 0);
    for number in 0..300 {
        let sample = match number % 2 {
            0 => sample_v2(&mut rng),
            _ => sample_v1(&mut rng),
        };
        let area = Racing {
            bytes: RefCell::new(sample.image),
            rng: RefCell::new(Rng(rng.next() | 1)),
            calls: Cell::new(0),
        };
        let expected = Expected {
            tid: sample.tid,
            uuid: &UUID,
            block_size: BLOCK,
        };
        let mut sink = Collect::default();
        let mut scratch = vec![0; SCRATCH_LEN];
        let _ = read_log::<Crc, _, _>(&area, &expected, &mut scratch, &mut sink);
        assert!(sample.commits.starts_with(&sink.commits));
        read_some += usize::from(!sink.commits.is_empty());
        calls += area.calls.get();
    }
    println!("{read_some} of 300 gave commits, in {calls} reads");
    // More than are of one version, and more than their openers.
    assert!(read_some > 200 && calls > 3000);
}
