// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Translation, checked by another reading of `ext4_fc_replay_scan()`.

use crate::common::*;
use bytelog::crc::Crc32c;
use bytelog::tlv::TlvFault;
use bytelog::translate::{TranslateError, Translator};

fn translate(tlvs: &[u8], tid: u32, block_size: u32) -> Vec<Vec<u8>> {
    let mut translator = Translator::<Crc>::new(tlvs, tid, block_size).unwrap();
    let mut blocks = Vec::new();
    let mut block = vec![0xcc; block_size as usize];
    while translator.next_block(&mut block).unwrap() {
        blocks.push(std::mem::replace(
            &mut block,
            vec![0xcc; block_size as usize],
        ));
    }
    assert!(block.iter().all(|&byte| byte == 0xcc));
    blocks
}

/// What ext4's scan makes of an area: the TLVs it would replay. Panics where the
/// scan would give up before the end.
fn stock_scan(blocks: &[Vec<u8>], expected_tid: u32) -> Vec<u8> {
    let le16 = |b: &[u8]| usize::from(u16::from_le_bytes([b[0], b[1]]));
    let le32 = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let (mut crc, mut found, mut done) = (0, Vec::new(), false);
    for (number, block) in blocks.iter().enumerate() {
        assert!(!done, "a block behind the TAIL");
        let mut cur = 0;
        while cur + 4 <= block.len() {
            let (tag, len) = (le16(&block[cur..]), le16(&block[cur + 2..]));
            let value = cur + 4;
            assert!(len <= block.len() - value, "TLV beyond its block");
            let tlv = &block[cur..value + len];
            match tag {
                1..=6 | 11 => found.extend(tlv),
                7 => assert!(tlv[4..].iter().all(|&byte| byte == 0)),
                8 => {
                    crc = Crc::update(crc, &block[cur..value + 4]);
                    assert_eq!(le32(&block[value..]), expected_tid);
                    assert_eq!(le32(&block[value + 4..]), crc);
                    assert!(block[value + 8..].iter().all(|&byte| byte == 0));
                    done = true;
                }
                9 => {
                    assert_eq!((number, cur, len), (0, 0, 8));
                    assert_eq!(le32(&block[value..]), 0);
                    assert_eq!(le32(&block[value + 4..]), expected_tid);
                }
                _ => panic!("tag {tag}"),
            }
            if tag != 8 {
                crc = Crc::update(crc, tlv);
            }
            cur = value + len;
        }
        assert_eq!(cur, block.len(), "the block's end is not covered");
    }
    assert!(done, "no TAIL");
    found
}

/// Where ext4 itself would have broken the blocks: `ext4_fc_reserve_space()`.
fn stock_blocks(tlvs: &[Vec<u8>], block_size: usize) -> usize {
    let mut off = 12;
    let mut blocks = 1;
    let tail = vec![0; 12];
    for tlv in tlvs.iter().chain([&tail]) {
        if tlv.len() > block_size - 4 - off {
            blocks += 1;
            off = 0;
        }
        off += tlv.len();
    }
    blocks
}

#[test]
fn one_small_commit() {
    let tlv = creat(4, 9);
    let blocks = translate(&tlv, 0x0102_0304, 1024);
    assert_eq!(blocks.len(), 1);
    let block = &blocks[0];
    assert_eq!(block[..12], [9, 0, 8, 0, 0, 0, 0, 0, 4, 3, 2, 1]);
    assert_eq!(block[12..28], tlv[..]);
    let tail_len = 1024 - 28 - 4u16;
    assert_eq!(block[28..30], [8, 0]);
    assert_eq!(block[30..32], tail_len.to_le_bytes());
    assert_eq!(block[32..36], [4, 3, 2, 1]);
    let crc = Crc::update(0, &block[..36]);
    assert_eq!(block[36..40], crc.to_le_bytes());
    assert!(block[40..].iter().all(|&byte| byte == 0));
}

#[test]
fn nothing_is_head_and_tail() {
    let blocks = translate(&[], 5, 4096);
    assert_eq!(blocks.len(), 1);
    assert!(stock_scan(&blocks, 5).is_empty());
}

/// TLVs that end just before, at and behind every edge of a block.
#[test]
fn edges_of_a_block() {
    for size in [1024usize, 2048, 4096] {
        for last in 132..300 {
            let filler = inode(size - 12 - 4 - 4 - 4 - 300, 1);
            let tlvs = [filler, inode(last - 4, 2), creat(3, 3)];
            let blocks = translate(&tlvs.concat(), 3, size as u32);
            assert_eq!(stock_scan(&blocks, 3), tlvs.concat());
            assert_eq!(blocks.len(), stock_blocks(&tlvs, size));
        }
    }
}

#[test]
fn the_largest_tlv_fills_a_block() {
    for size in [1024usize, 4096, 65536] {
        let tlvs = [creat(1, 1), inode(size - 4 - 8, 2), creat(2, 3)];
        assert_eq!(tlvs[1].len(), size - 4);
        let blocks = translate(&tlvs.concat(), 3, size as u32);
        assert_eq!(blocks.len(), 3);
        // A PAD without a value ends the full one.
        assert_eq!(blocks[1][size - 4..], [7, 0, 0, 0]);
        assert_eq!(stock_scan(&blocks, 3), tlvs.concat());
    }
    let tlv = inode(1024 - 4 - 8 + 1, 2);
    let mut translator = Translator::<Crc>::new(&tlv, 3, 1024).unwrap();
    let error = translator.next_block(&mut [0; 1024]).unwrap_err();
    assert!(matches!(error, TranslateError::Tlv(e) if matches!(e.fault, TlvFault::Length(..))));
    // After an error there is no TAIL that would make a whole of a part.
    assert_eq!(translator.next_block(&mut [0; 1024]), Ok(false));
}

#[test]
fn a_buffer_of_another_size_is_refused() {
    let mut translator = Translator::<Crc>::new(&[], 3, 1024).unwrap();
    let mut buffer = [0; 4096];
    assert_eq!(
        translator.next_block(&mut buffer),
        Err(TranslateError::Buffer)
    );
    assert_eq!(translator.next_block(&mut buffer[..1024]), Ok(true));
    assert!(Translator::<Crc>::new(&[], 3, 1000).is_err());
}

#[test]
fn random_runs_are_scanned_back() {
    let mut rng = Rng(0x7a11);
    for _ in 0..300 {
        let tlvs = rng.tlvs(200);
        for size in [1024, 4096] {
            let blocks = translate(&tlvs.concat(), 77, size);
            assert_eq!(stock_scan(&blocks, 77), tlvs.concat());
            assert_eq!(blocks.len(), stock_blocks(&tlvs, size as usize));
        }
    }
}
