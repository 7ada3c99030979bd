// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Bytes spelled out. The CRCs in them were computed bit by bit, apart from the
//! crate and from the CRC library.

use crate::common::*;
use bytelog::crc::{chain_seed, Crc32c};
use bytelog::error::Fault;
use bytelog::features::Features;
use bytelog::geometry::BlockSize;
use bytelog::opener::{Block0, Opener, OpenerFault, Prefix};
use bytelog::record::{record_len, NewRecord, Record, Version, HEADER_LEN};

/// CRC32C, one bit at a time.
fn crc_by_bits(seed: u32, data: &[u8]) -> u32 {
    let mut crc = seed;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 != 0 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    crc
}

#[test]
fn crc_is_the_kernels() {
    // The check value of CRC-32C, without its final inversion.
    assert_eq!(Crc::update(!0, b"123456789"), !0xe306_9283);
    assert_eq!(Crc::update(0, b""), 0);
    assert_eq!(
        Crc::update(Crc::update(7, b"abc"), b"def"),
        crc_by_bits(7, b"abcdef")
    );
}

#[test]
fn chain_seed_is_over_uuid_tid_nonce() {
    let mut bytes = UUID.to_vec();
    bytes.extend([0x44, 0x33, 0x22, 0x11, 0xdd, 0xcc, 0xbb, 0xaa]);
    assert_eq!(
        chain_seed::<Crc>(&UUID, 0x1122_3344, 0xaabb_ccdd),
        crc_by_bits(!0, &bytes)
    );
}

/// A sealed record of transaction 0x11223344, nonce 0xaabbccdd, number 5,
/// commit 3, with 20 payload bytes whose CRC is 0x01020304.
#[rustfmt::skip]
fn header_v2() -> [u8; 64] {
    let mut bytes = [
        0x46, 0x43, 0x42, 0x4c,  0x02, 0x00,  0x40, 0x00, // magic, version, hdr_len
        0x44, 0x33, 0x22, 0x11,  0xff, 0xff,  0x03, 0x00, // tid, tag, flags
        0x14, 0x00, 0x00, 0x00,  0x04, 0x03, 0x02, 0x01,  // payload_len, payload_crc
        0x80, 0x00, 0x00, 0x00,  0x00, 0x00, 0x00, 0x00,  // record_len, header_crc
        0x05, 0x00, 0x00, 0x00,  0x00, 0x00, 0x00, 0x00,  // seq
        0x03, 0x00, 0x00, 0x00,  0xdd, 0xcc, 0xbb, 0xaa,  // commit, nonce
        0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  // reserved
    ];
    let crc = crc_by_bits(0xcafe_f00d, &bytes);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn v2_header_is_as_written_down() {
    let new = NewRecord {
        tid: 0x1122_3344,
        nonce: 0xaabb_ccdd,
        seq: 5,
        commit: 3,
        sealed: true,
        payload_len: 20,
        payload_crc: 0x0102_0304,
    };
    let mut bytes = [0; HEADER_LEN];
    let crc = new.encode_to::<Crc>(0xcafe_f00d, &mut bytes).unwrap();
    assert_eq!(bytes, header_v2());
    assert_eq!(crc.to_le_bytes(), bytes[28..32]);

    let record = Record::parse_v2::<Crc>(&bytes, 0xcafe_f00d).unwrap();
    assert_eq!(record.version(), Version::V2);
    assert_eq!(record.tid(), 0x1122_3344);
    assert_eq!(record.nonce(), 0xaabb_ccdd);
    assert_eq!(record.seq(), 5);
    assert_eq!(record.commit(), 3);
    assert!(record.is_sealed());
    assert_eq!(record.payload_len(), 20);
    assert_eq!(record.payload_crc(), 0x0102_0304);
    assert_eq!(record.record_len(), 128);
    assert_eq!(record.header_crc(), crc);
    assert_eq!(record.tag(), None);
}

#[test]
fn v2_header_needs_its_seed_and_every_bit() {
    let good = header_v2();
    assert_eq!(
        Record::parse_v2::<Crc>(&good, 0xcafe_f00c),
        Err(Fault::HeaderCrc)
    );
    for bit in 0..512 {
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let fault = Record::parse_v2::<Crc>(&bytes, 0xcafe_f00d).unwrap_err();
        assert!(fault.can_be_torn(), "{fault}");
    }
}

/// Each rule past the CRC, with the CRC made good.
#[test]
fn v2_header_rules_hold_with_a_good_crc() {
    let with = |at: usize, bytes: &[u8]| {
        let mut header = header_v2();
        header[at..at + bytes.len()].copy_from_slice(bytes);
        header[28..32].fill(0);
        let crc = crc_by_bits(0xcafe_f00d, &header);
        header[28..32].copy_from_slice(&crc.to_le_bytes());
        Record::parse_v2::<Crc>(&header, 0xcafe_f00d)
    };
    assert!(with(8, &[1]).is_ok());
    assert_eq!(with(0, &[0]), Err(Fault::Magic));
    assert_eq!(with(4, &[1]), Err(Fault::Version(1)));
    assert_eq!(with(4, &[3]), Err(Fault::Version(3)));
    assert_eq!(with(6, &[63]), Err(Fault::HeaderLen(63)));
    assert_eq!(with(12, &[1, 0]), Err(Fault::RecordTag(1)));
    assert_eq!(with(14, &[2]), Err(Fault::Flags(2)));
    assert_eq!(with(14, &[5]), Err(Fault::Flags(5)));
    assert!(!with(14, &[1]).unwrap().is_sealed());
    assert_eq!(with(16, &[0]), Err(Fault::PayloadLen(0)));
    assert_eq!(with(16, &[1, 0, 1, 0]), Err(Fault::PayloadLen(0x1_0001)));
    assert_eq!(
        with(16, &[0xff, 0xff, 0xff, 0xff]),
        Err(Fault::PayloadLen(u32::MAX))
    );
    assert_eq!(with(16, &[65]), Err(Fault::RecordLen(128)));
    assert_eq!(with(24, &[0xc0]), Err(Fault::RecordLen(192)));
    assert_eq!(with(24, &[84]), Err(Fault::RecordLen(84)));
    assert_eq!(with(40, &[0]), Err(Fault::Commit(0)));
    for at in 48..64 {
        assert_eq!(with(at, &[1]), Err(Fault::Reserved));
    }
}

#[test]
fn record_len_is_rounded_and_bounded() {
    assert_eq!(record_len(1), Some(128));
    assert_eq!(record_len(64), Some(128));
    assert_eq!(record_len(65), Some(192));
    assert_eq!(record_len(65536), Some(65600));
    assert_eq!(record_len(65537), None);
    assert_eq!(record_len(usize::MAX), None);
}

#[rustfmt::skip]
fn opener() -> [u8; 128] {
    let mut bytes = [0; 128];
    bytes[..68].copy_from_slice(&[
        0x09, 0x00, 0x08, 0x00,  0, 0, 0, 0,              // HEAD, 8 bytes: features
        0x44, 0x33, 0x22, 0x11,  0x0a, 0x00, 0x28, 0x00,  // tid; ANCHOR, 40 bytes
        0x44, 0x33, 0x22, 0x11,  0xdd, 0xcc, 0xbb, 0xaa,  // tid, nonce
        0x80, 0x10, 0, 0, 0, 0, 0, 0,                     // head
        0x00, 0x10, 0, 0, 0, 0, 0, 0,                     // tail
        0x02, 0, 0, 0, 0, 0, 0, 0,                        // seq
        0x0d, 0xf0, 0xfe, 0xca,  0, 0, 0, 0,              // crc, gap
        0x08, 0x00, 0xc4, 0x0f,  0x44, 0x33, 0x22, 0x11,  // TAIL, 4096 - 60 bytes: tid
        0, 0, 0, 0,                                       // crc
    ]);
    let crc = crc_by_bits(0, &bytes[..64]);
    bytes[64..68].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn opener_is_as_written_down() {
    let size = BlockSize::new(4096).unwrap();
    let said = Opener {
        features: Features::NONE,
        tid: 0x1122_3344,
        nonce: 0xaabb_ccdd,
        head: 0x1080,
        tail: 0x1000,
        seq: 2,
        crc: 0xcafe_f00d,
    };
    assert_eq!(said.encode::<Crc>(size), opener());
    let prefix = Prefix::new(&opener());
    assert_eq!(prefix.classify::<Crc>(size), Block0::Whole(said));
    assert_eq!(prefix.identity(), (0x1122_3344, 0xaabb_ccdd));

    // The largest block whose TAIL length a 16-bit field holds.
    let large = BlockSize::new(65536).unwrap();
    let bytes = said.encode::<Crc>(large);
    assert_eq!(bytes[56..60], [0x08, 0x00, 0xc4, 0xff]);
    assert_eq!(
        Prefix::new(&bytes).classify::<Crc>(large),
        Block0::Whole(said)
    );
    assert_eq!(
        Prefix::new(&bytes).classify::<Crc>(size),
        Block0::NotWhole(OpenerFault::Tail)
    );
}

#[test]
fn opener_with_any_bit_changed_is_not_whole() {
    let size = BlockSize::new(4096).unwrap();
    for bit in 0..68 * 8 {
        let mut bytes = opener();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let block0 = Prefix::new(&bytes).classify::<Crc>(size);
        match bit / 8 {
            // Without the anchor's tag it is no opener; ext4 refuses such a log.
            12..=13 => assert_eq!(block0, Block0::Stock),
            _ => assert!(matches!(block0, Block0::NotWhole(_)), "bit {bit}"),
        }
    }
    for at in [8, 16, 60] {
        let mut bytes = opener();
        bytes[at] ^= 1;
        crate::v1::seal_opener(&mut bytes);
        let block0 = Prefix::new(&bytes).classify::<Crc>(size);
        assert_eq!(block0, Block0::NotWhole(OpenerFault::Tid));
    }
    // What is behind it does not matter.
    let mut bytes = opener();
    bytes[68..].fill(0x55);
    let block0 = Prefix::new(&bytes).classify::<Crc>(size);
    assert!(matches!(block0, Block0::Whole(_)));
}

#[test]
fn block0_without_opener() {
    let size = BlockSize::new(1024).unwrap();
    let classify = |start: &[u8]| {
        let mut bytes = [0; 128];
        bytes[..start.len()].copy_from_slice(start);
        Prefix::new(&bytes).classify::<Crc>(size)
    };
    assert_eq!(classify(&[]), Block0::Empty);
    assert_eq!(classify(&[0x03, 0, 9, 0]), Block0::Empty);
    let head = [9, 0, 8, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    assert_eq!(classify(&head), Block0::Stock);
    let mut stock = head.to_vec();
    stock.extend([6, 0, 0x84, 0]);
    assert_eq!(classify(&stock), Block0::Stock);
}

/// The whole image of one commit of one TLV.
#[test]
fn image_of_one_commit() {
    let mut ram = Ram::new(2);
    let mut log = writer(2, 0x1122_3344, 0xaabb_ccdd);
    let tlv = creat(8, 0x41);
    commit(&mut log, &mut ram, &[tlv.clone()]);

    let payload_crc = crc_by_bits(!0, &tlv);
    let mut header = header_v2();
    header[20..24].copy_from_slice(&payload_crc.to_le_bytes());
    header[28..32].fill(0);
    header[32] = 0;
    header[40] = 1;
    let mut seed = UUID.to_vec();
    seed.extend([0x44, 0x33, 0x22, 0x11, 0xdd, 0xcc, 0xbb, 0xaa]);
    let crc = crc_by_bits(crc_by_bits(!0, &seed), &header);
    header[28..32].copy_from_slice(&crc.to_le_bytes());

    let mut first = opener();
    first[40] = 1;
    first[48..52].copy_from_slice(&payload_crc.to_le_bytes());
    let crc = crc_by_bits(0, &first[..64]);
    first[64..68].copy_from_slice(&crc.to_le_bytes());

    let mut image = vec![0; 8192];
    image[..128].copy_from_slice(&first);
    image[4096..4160].copy_from_slice(&header);
    image[4160..4180].copy_from_slice(&tlv);
    assert!(ram.bytes == image);
    let (found, commits) = read(&image, 0x1122_3344).unwrap();
    assert_eq!((found.features, commits), (Features::NONE, vec![tlv]));
}
