// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Feature bits: which TLV needs which, what the writer does about a log that lacks
//! one, and what the reader does about one that it does not know.

use crate::common::*;
use crate::v1::{seal_opener, write_v1, V1Record};
use bytelog::crc::{chain_seed, Crc32c};
use bytelog::error::{Damage, Fault, ReadError, WriteError};
use bytelog::features::Features;
use bytelog::needs;
use bytelog::reader::Found;
use bytelog::tlv::Tlvs;

const NONE: Features = Features::NONE;
const DIRECTORIES: Features = Features::DIRECTORIES;
const SPECIAL: Features = Features::SPECIAL;
const INLINE_DATA: u32 = 0x1000_0000;

fn directory() -> Vec<u8> {
    inode_of(DIRECTORY, EXTENTS, 160, 7)
}

fn special() -> Vec<u8> {
    inode_of(SPECIAL_MODES[0], 0, 160, 7)
}

fn needed(tlv: &[u8]) -> Features {
    let parsed = Tlvs::new(tlv, 4096).next().unwrap().unwrap();
    assert_eq!(needs::of(&parsed), needs::of_run(tlv));
    needs::of(&parsed)
}

#[test]
fn what_a_tlv_needs() {
    assert_eq!(needed(&dir(1)), DIRECTORIES);
    for flags in [0, EXTENTS, INLINE_DATA, !0] {
        assert_eq!(needed(&inode_of(DIRECTORY, flags, 128, 1)), DIRECTORIES);
        // A file that is mapped by blocks is for ext4 to refuse, as ever.
        assert_eq!(needed(&inode_of(FILE, flags, 128, 1)), NONE);
    }
    for mode in SPECIAL_MODES {
        for size in [128, 256, 1024] {
            assert_eq!(needed(&inode_of(mode, 0, size, 1)), SPECIAL);
            assert_eq!(needed(&inode_of(mode, 0x10, size, 1)), SPECIAL);
        }
        assert_eq!(needed(&inode_of(mode, EXTENTS, 160, 1)), NONE);
        assert_eq!(needed(&inode_of(mode, INLINE_DATA | 8, 160, 1)), NONE);
    }
    for tlv in [
        add_range(1),
        tlv(2, 12, 1),
        creat(9, 1),
        tlv(4, 20, 1),
        tlv(5, 20, 1),
    ] {
        assert_eq!(needed(&tlv), NONE);
    }
    let run = [creat(9, 1), special(), add_range(1), dir(2)].concat();
    assert_eq!(needs::of_run(&run), DIRECTORIES.with(SPECIAL));
}

#[test]
fn sets_of_bits() {
    assert_eq!(Features::KNOWN.bits(), 3);
    assert_eq!(Features::from_bits(5).without(DIRECTORIES).bits(), 4);
    assert!(DIRECTORIES.without(Features::KNOWN).is_empty() && !SPECIAL.is_empty());
    assert_eq!(NONE.with(SPECIAL), SPECIAL);
}

/// Bits of the opener, as they are on the media.
fn written(ram: &Ram) -> u32 {
    u32::from_le_bytes(ram.bytes[4..8].try_into().unwrap())
}

#[test]
fn the_opener_names_what_the_first_commit_needs_and_earlier_logs_needed() {
    let mut ram = Ram::new(8);
    let mut log = writer(8, 1, 2);
    commit(&mut log, &mut ram, &[creat(9, 1), inode(160, 1)]);
    assert_eq!((written(&ram), log.features()), (0, NONE));
    assert_eq!(read(&ram.bytes, 1).unwrap().0.features, NONE);

    log.start(2, 3);
    commit(&mut log, &mut ram, &[special(), creat(9, 1)]);
    assert_eq!(written(&ram), 2);
    log.start(3, 4);
    commit(&mut log, &mut ram, &[dir(1), creat(9, 1)]);
    assert_eq!(written(&ram), 3);
    // Neither is needed now, and neither has to be missed later.
    log.start(4, 5);
    commit(&mut log, &mut ram, &[creat(9, 1)]);
    assert_eq!((written(&ram), log.features()), (3, Features::KNOWN));
    commit(&mut log, &mut ram, &[directory(), special()]);
    let (found, commits) = read(&ram.bytes, 4).unwrap();
    assert_eq!((found.features, commits.len()), (Features::KNOWN, 2));
}

#[test]
fn a_commit_that_needs_what_the_opener_lacks_is_refused_once() {
    for (tlv, bit) in [
        (dir(1), DIRECTORIES),
        (directory(), DIRECTORIES),
        (special(), SPECIAL),
    ] {
        let mut ram = Ram::new(8);
        let mut log = writer(8, 1, 2);
        commit(&mut log, &mut ram, &[creat(9, 1)]);
        let before = ram.bytes.clone();
        gather(
            &mut log,
            &mut ram,
            &[add_range(1), tlv.clone(), creat(9, 2)],
        )
        .unwrap();
        ram.ops.clear();
        assert_eq!(log.commit(&mut ram), Err(WriteError::Features(bit)));
        // No barrier, no byte: ext4 commits in full.
        assert!(ram.ops.is_empty() && ram.bytes == before && !log.is_gathering());
        // The log goes on with what it can hold.
        assert_eq!(commit(&mut log, &mut ram, &[creat(9, 3)]).ordinal, 2);
        gather(&mut log, &mut ram, &[tlv.clone()]).unwrap();
        assert_eq!(log.commit(&mut ram), Err(WriteError::Features(bit)));
        // The next one has the bit from the start.
        log.start(2, 3);
        commit(&mut log, &mut ram, &[creat(9, 4)]);
        commit(&mut log, &mut ram, &[tlv.clone()]);
        assert_eq!(written(&ram), bit.bits());
        assert_eq!(read(&ram.bytes, 2).unwrap().1[1], tlv);
    }
}

#[test]
fn a_record_that_needs_what_the_opener_lacks_is_not_even_copied() {
    let mut ram = Ram::new(8);
    let mut log = writer(8, 1, 2);
    commit(&mut log, &mut ram, &[creat(9, 1)]);
    let before = ram.bytes.clone();
    let mut tlvs = vec![dir(1)];
    tlvs.extend((0..20).map(|seed| creat(255, seed)));
    let refused = gather(&mut log, &mut ram, &tlvs);
    assert_eq!(refused, Err(WriteError::Features(DIRECTORIES)));
    assert!(log.has_failed());
    assert_eq!(log.commit(&mut ram), Err(WriteError::Aborted));
    assert!(ram.bytes == before);

    // Of the first commit every record counts, not only the last one.
    log.start(2, 3);
    tlvs.push(special());
    assert_eq!(commit(&mut log, &mut ram, &tlvs).records, 2);
    assert_eq!(written(&ram), 3);
}

#[test]
fn a_discarded_commit_needs_nothing() {
    let mut ram = Ram::new(8);
    let mut log = writer(8, 1, 2);
    gather(&mut log, &mut ram, &[dir(1)]).unwrap();
    log.discard();
    commit(&mut log, &mut ram, &[creat(9, 1)]);
    assert_eq!(written(&ram), 0);
}

/// `image` with other bits in its opener.
fn with_bits(image: &[u8], bits: u32) -> Vec<u8> {
    let mut image = image.to_vec();
    image[4..8].copy_from_slice(&bits.to_le_bytes());
    seal_opener(&mut image);
    image
}

#[test]
fn bits_that_are_not_known_are_refused() {
    let mut ram = Ram::new(8);
    commit(&mut writer(8, 1, 2), &mut ram, &[creat(9, 1)]);
    for bit in 0..32 {
        let image = with_bits(&ram.bytes, (1 << bit) | 1);
        let read = read(&image, 1).map(|(log, _)| log.features.bits());
        match bit {
            0 | 1 => assert_eq!(read, Ok((1 << bit) | 1)),
            _ => assert_eq!(
                read,
                Err(ReadError::Features(Features::from_bits(1 << bit)))
            ),
        }
    }
    // Of a log that is not to be replayed nobody has to know anything.
    let (log, _) = read(&with_bits(&ram.bytes, 4), 9).unwrap();
    assert_eq!(log.found, Found::Stale { tid: 1 });
}

#[test]
fn a_log_that_does_not_name_what_it_holds_is_damaged() {
    let mut ram = Ram::new(8);
    let mut log = writer(8, 1, 2);
    // The second commit could add it, had not the first log needed both.
    commit(&mut log, &mut ram, &[dir(1), special()]);
    log.start(2, 3);
    commit(&mut log, &mut ram, &[dir(1)]);
    commit(&mut log, &mut ram, &[creat(9, 1), special()]);
    let refused = |bits| match read(&with_bits(&ram.bytes, bits), 2) {
        Err(ReadError::Damaged { offset, damage }) => Some((offset, damage)),
        Ok((log, commits)) => {
            assert_eq!((log.features.bits(), commits.len()), (bits, 2));
            None
        }
        other => panic!("{other:?}"),
    };
    let lacking = |bit| Damage::Record(Fault::Features(bit));
    assert_eq!(refused(3), None);
    assert_eq!(refused(0), Some((4096, lacking(DIRECTORIES))));
    assert_eq!(refused(2), Some((4096, lacking(DIRECTORIES))));
    assert_eq!(refused(1), Some((4096 + 128, lacking(SPECIAL))));
}

#[test]
fn version_1_has_no_features() {
    let image = |tlv: Vec<u8>, bits| {
        let mut area = vec![0; 8 * BLOCK as usize];
        write_v1(&mut area, 7, 4096, &[V1Record::single(tlv)]);
        read(&with_bits(&area, bits), 7)
    };
    let damage = |result| match result {
        Err(ReadError::Damaged { damage, .. }) => damage,
        other => panic!("{other:?}"),
    };
    // What the RFC logs of a directory, stock ext4 does.
    assert_eq!(image(directory(), 0).unwrap().0.found, Found::V1);
    assert_eq!(damage(image(creat(9, 1), 1)), Damage::Features(DIRECTORIES));
    let lacking = Damage::Record(Fault::Features(DIRECTORIES));
    assert_eq!(damage(image(dir(1), 0)), lacking);
}

/// The whole image of one commit of a directory, a name and its inode, and a symlink.
#[test]
#[rustfmt::skip]
fn image_of_a_commit_with_both_bits() {
    let mut payload = vec![
        0x0b, 0x00, 0x1c, 0x00,  0x02, 0x00, 0x00, 0x00, // DIR, 28 bytes: inode 2
        0x11, 0x22, 0x33, 0x44,  0x55, 0x66, 0x77, 0x08, // i_ctime, i_mtime
        0x04, 0x00, 0x00, 0x00,  0x08, 0x00, 0x00, 0x00, // their extra words
        0x99, 0x00, 0x00, 0x00,  0x01, 0x00, 0x00, 0x00, // i_version, low and high
        0x06, 0x00, 0x84, 0x00,  0x0d, 0x00, 0x00, 0x00, // INODE, 132 bytes: inode 13
    ];
    let mut raw = [0; 128];
    raw[0..2].copy_from_slice(&0o120_777u16.to_le_bytes());
    raw[4] = 4;                                          // i_size
    raw[26] = 1;                                         // i_links_count
    raw[40..44].copy_from_slice(b"gone");                // i_block
    payload.extend(raw);
    payload.extend([
        0x03, 0x00, 0x0a, 0x00,  0x02, 0x00, 0x00, 0x00, // CREAT, 10 bytes: in 2
        0x0d, 0x00, 0x00, 0x00,  b'l', b'n',             // 13, its name
    ]);
    let crc = |seed, bytes: &[u8]| Crc::update(seed, bytes);
    let (len, record) = (payload.len() as u8, (64 + payload.len().next_multiple_of(64)) as u8);
    assert_eq!((len, record), (182, 0));
    let payload_crc = crc(!0, &payload).to_le_bytes();
    let mut header = vec![
        0x46, 0x43, 0x42, 0x4c,  0x02, 0x00,  0x40, 0x00, // magic, version, hdr_len
        0x44, 0x33, 0x22, 0x11,  0xff, 0xff,  0x03, 0x00, // tid, tag, flags
        0xb6, 0x00, 0x00, 0x00,                           // payload_len
    ];
    header.extend(payload_crc);
    header.extend([
        0x00, 0x01, 0x00, 0x00,  0x00, 0x00, 0x00, 0x00,  // record_len, header_crc
        0x00, 0x00, 0x00, 0x00,  0x00, 0x00, 0x00, 0x00,  // seq
        0x01, 0x00, 0x00, 0x00,  0xdd, 0xcc, 0xbb, 0xaa,  // commit, nonce
        0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  // reserved
    ]);
    let header_crc = crc(chain_seed::<Crc>(&UUID, 0x1122_3344, 0xaabb_ccdd), &header);
    header[28..32].copy_from_slice(&header_crc.to_le_bytes());
    let mut opener = vec![
        0x09, 0x00, 0x08, 0x00,  0x03, 0, 0, 0,           // HEAD: both features
        0x44, 0x33, 0x22, 0x11,  0x0a, 0x00, 0x28, 0x00,  // tid; ANCHOR, 40 bytes
        0x44, 0x33, 0x22, 0x11,  0xdd, 0xcc, 0xbb, 0xaa,  // tid, nonce
        0x00, 0x11, 0, 0, 0, 0, 0, 0,                     // head
        0x00, 0x10, 0, 0, 0, 0, 0, 0,                     // tail
        0x01, 0, 0, 0, 0, 0, 0, 0,                        // seq
    ];
    opener.extend(payload_crc);
    opener.extend([
        0, 0, 0, 0,                                       // gap
        0x08, 0x00, 0xc4, 0x0f,  0x44, 0x33, 0x22, 0x11,  // TAIL, 4096 - 60 bytes: tid
    ]);
    let opener_crc = crc(0, &opener);
    opener.extend(opener_crc.to_le_bytes());

    let mut image = vec![0; 8192];
    image[..68].copy_from_slice(&opener);
    image[4096..4160].copy_from_slice(&header);
    image[4160..4160 + 182].copy_from_slice(&payload);

    let mut ram = Ram::new(2);
    let mut log = writer(2, 0x1122_3344, 0xaabb_ccdd);
    let tlvs = [&payload[..32], &payload[32..168], &payload[168..]].map(<[u8]>::to_vec);
    commit(&mut log, &mut ram, &tlvs);
    assert!(ram.bytes == image);
    let (found, commits) = read(&image, 0x1122_3344).unwrap();
    assert_eq!((found.found, found.features.bits()), (Found::V2, 3));
    assert_eq!(commits, [payload]);
}
