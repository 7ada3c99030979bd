// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Checks of the reader that nothing else here would miss.

use crate::common::*;
use crate::damage::{blank, four_commits, log_over};
use crate::v1::*;
use bytelog::crc::Crc32c;
use bytelog::error::{Damage, Fault, ReadError};
use bytelog::geometry::Geometry;
use bytelog::opener::OpenerFault;
use bytelog::reader::{read_log, Expected, ReadArea, MIN_SCRATCH, SCRATCH_LEN};
use bytelog::record::{NewRecord, Record, HEADER_LEN};
use bytelog::tlv::{Tag, TlvFault};
use bytelog::writer::LogWriter;

/// One commit, and a header of the third with `payload_len` bytes of payload 128
/// bytes in front of the area's end.
fn third_commit_at_the_end(payload_len: usize) -> Vec<u8> {
    let (mut image, _) = log_over(blank(4), &four_commits()[..1]);
    let at = image.len() - 128;
    let payload = vec![7; payload_len];
    let record = NewRecord {
        tid: 1,
        nonce: 2,
        seq: 9,
        commit: 3,
        sealed: true,
        payload_len,
        payload_crc: Crc::update(!0, &payload),
    };
    let mut header = [0; HEADER_LEN];
    record.encode_to::<Crc>(0, &mut header).unwrap();
    image[at..at + HEADER_LEN].copy_from_slice(&header);
    image[at + HEADER_LEN..].fill(7);
    image
}

#[test]
fn a_payload_may_end_where_the_area_does_and_not_beyond() {
    let image = third_commit_at_the_end(64);
    let beyond = Damage::Beyond {
        sealed: 1,
        commit: 3,
        at: image.len() as u64 - 128,
    };
    match read(&image, 1) {
        Err(ReadError::Damaged { damage, .. }) => assert_eq!(damage, beyond),
        other => panic!("{other:?}"),
    }
    let (log, _) = read(&third_commit_at_the_end(65), 1).unwrap();
    assert_eq!(log.commits, 1);
}

/// One commit in a record of 10 KiB.
fn one_large_record() -> Vec<u8> {
    let geometry = Geometry::new(4096, 16).unwrap();
    let mut log = LogWriter::<Crc, _>::new(vec![0; 1 << 16], geometry, UUID).unwrap();
    let mut ram = Ram::new(16);
    log.start(1, 2);
    for seed in 0..40 {
        let tlv = creat(244, seed);
        log.reserve(&mut ram, tlv.len())
            .unwrap()
            .copy_from_slice(&tlv);
    }
    assert_eq!(log.commit(&mut ram).unwrap().records, 1);
    ram.bytes
}

#[test]
fn a_scratch_buffer_is_refused_that_is_too_short_for_the_log() {
    let (small, _) = log_over(blank(16), &four_commits());
    let large = one_large_record();
    let expected = Expected {
        tid: 1,
        uuid: &UUID,
        block_size: BLOCK,
    };
    let commits = |image: &[u8], len| {
        let mut scratch = vec![0; len];
        let area = Area::new(image);
        read_log::<Crc, _, _>(&area, &expected, &mut scratch, &mut Collect::default())
    };
    let refused = |image, len| matches!(commits(image, len), Err(ReadError::Scratch));
    assert!(refused(&small, MIN_SCRATCH - 1));
    assert_eq!(commits(&small, MIN_SCRATCH).unwrap().commits, 4);
    assert_eq!(commits(&small, SCRATCH_LEN + 1).unwrap().commits, 4);
    assert!(refused(&large, MIN_SCRATCH));
    assert_eq!(commits(&large, SCRATCH_LEN).unwrap().commits, 1);
}

#[test]
fn an_area_without_bytes_is_empty() {
    assert!(Area::new(&[]).is_empty());
    assert!(!Area::new(&[0]).is_empty());
}

/// The header of the record that a version 1 log starts with.
fn v1_header(area: &[u8]) -> [u8; HEADER_LEN] {
    area[4096..4096 + HEADER_LEN].try_into().unwrap()
}

#[test]
fn a_version_1_header_names_its_tlv() {
    let mut area = blank(8);
    write_v1(&mut area, 7, 4096, &[V1Record::single(creat(3, 1))]);
    let record = Record::parse_v1::<Crc>(&v1_header(&area)).unwrap();
    assert_eq!(record.tag(), Some(Tag::Creat));
    // What frames a conventional area is in no payload.
    for tag in [7, 8, 9, 10] {
        area[4096 + 12] = tag;
        seal_v1(&mut area[4096..]);
        let record = Record::parse_v1::<Crc>(&v1_header(&area));
        assert_eq!(record, Err(Fault::RecordTag(tag.into())));
    }
    area[4096 + 12..4096 + 14].fill(0xff);
    seal_v1(&mut area[4096..]);
    let record = Record::parse_v1::<Crc>(&v1_header(&area)).unwrap();
    assert_eq!(record.tag(), None);
}

#[test]
fn a_broken_tlv_is_told_as_such_in_a_version_1_record_too() {
    let mut area = blank(8);
    let broken = tlv(2, 13, 1);
    write_v1(&mut area, 7, 4096, &[V1Record::single(broken)]);
    match read(&area, 7) {
        Err(ReadError::Damaged {
            damage: Damage::Record(Fault::Tlv(error)),
            ..
        }) => assert_eq!(error.fault, TlvFault::Length(Tag::DelRange, 13)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn opener_faults_have_words() {
    let text = OpenerFault::Crc.to_string();
    assert_eq!(text, "the TAIL's CRC does not match");
}
