// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The TLV walk and its length rules.

use crate::common::tlv;
use bytelog::tlv::{Tag, TlvError, TlvFault, Tlvs};

const MOST: usize = 4092;

fn walk(run: &[u8]) -> Result<Vec<(Tag, Vec<u8>)>, TlvError> {
    let tlvs = Tlvs::new(run, MOST).map(|t| t.map(|t| (t.tag(), t.value().to_vec())));
    tlvs.collect()
}

fn fault(run: &[u8]) -> TlvFault {
    walk(run).unwrap_err().fault
}

#[test]
fn a_run_is_walked_in_order() {
    let mut run = tlv(1, 16, 1);
    run.extend(tlv(6, 132, 2));
    run.extend(tlv(4, 9, 3));
    run.extend(tlv(11, 28, 4));
    let found = walk(&run).unwrap();
    let tags: Vec<_> = found.iter().map(|(tag, _)| *tag).collect();
    assert_eq!(tags, [Tag::AddRange, Tag::Inode, Tag::Link, Tag::Dir]);
    assert_eq!(found[2].1, tlv(4, 9, 3)[4..]);
    assert_eq!(walk(&[]), Ok(vec![]));
}

#[test]
fn lengths_are_as_ext4_checks_them() {
    let valid = |tag: u16, len: usize| walk(&tlv(tag, len, 0)).is_ok();
    for len in 0..600 {
        assert_eq!(valid(1, len), len == 16);
        assert_eq!(valid(2, len), len == 12);
        for tag in 3..=5 {
            assert_eq!(valid(tag, len), (9..=263).contains(&len));
        }
        assert_eq!(valid(6, len), len >= 132);
    }
    assert!(valid(6, MOST - 4));
    assert!(!valid(6, MOST - 3));
    for len in 0..600 {
        assert_eq!(valid(0xb, len), len == 28);
    }
    for tag in Tag::Pad.raw()..=Tag::Anchor.raw() {
        assert_eq!(fault(&tlv(tag, 8, 0)), TlvFault::Tag(tag));
    }
    assert!(Tag::Head.value_len_is_valid(8) && !Tag::Head.value_len_is_valid(9));
    assert!(Tag::Tail.value_len_is_valid(4036) && !Tag::Tail.value_len_is_valid(7));
    assert!(Tag::Pad.value_len_is_valid(0));
    assert!(Tag::Anchor.value_len_is_valid(40) && !Tag::Anchor.value_len_is_valid(39));
}

#[test]
fn tags_survive_their_numbers() {
    for raw in 0..=u16::MAX {
        match Tag::from_raw(raw) {
            Some(tag) => assert_eq!(tag.raw(), raw),
            None => assert!(raw == 0 || raw > 11),
        }
        let in_payload = Tag::from_raw(raw).is_some_and(Tag::in_payload);
        assert_eq!(in_payload, (1..=6).contains(&raw) || raw == 11);
    }
}

#[test]
fn the_walk_ends_at_the_first_fault() {
    let mut run = tlv(1, 16, 1);
    run.extend([0x55, 0, 0, 0]);
    run.extend(tlv(1, 16, 1));
    let mut tlvs = Tlvs::new(&run, MOST);
    assert!(tlvs.next().unwrap().is_ok());
    let error = tlvs.next().unwrap().unwrap_err();
    assert_eq!((error.offset, error.fault), (20, TlvFault::Tag(0x55)));
    assert!(tlvs.next().is_none());

    let whole = tlv(3, 20, 7);
    for cut in 1..whole.len() {
        assert_eq!(fault(&whole[..cut]), TlvFault::Cut);
    }
}
