// SPDX-License-Identifier: GPL-2.0

//! Logs that a full commit made redundant. Stock e2fsck fails where it meets one, and then
//! drops what the ring has.

use crate::cuts::cuts;
use crate::export::{exported, hash};
use crate::fixture::{e2fsck, open, Dir, Fixture};
use crate::forge::{full_commits, mark_dirty, put_log, read_area, tlvs};
use crate::ram::{Bytes, Op, Ram};
use crate::tree::{unlink, Tree};
use bytelog_cli::export::export;
use bytelog_cli::jbd2::area::Area;
use bytelog_cli::log::inspect::State;
use std::collections::HashSet;
use std::fs;

/// Transaction of the log; that of the ring's end is 3.
const OLDER: u32 = 2;

/// Full commits in the ring, and a log that is older than their end.
fn stale(fixture: &Fixture, bit: bool, log: &[Vec<u8>]) -> Bytes {
    let mut image = fixture.empty.clone();
    full_commits(&mut image, fixture, bit);
    mark_dirty(&mut image, bit);
    put_log(&mut image, OLDER, &[log]);
    image
}

/// Whether e2fsck writes back what the ring has.
fn is_recovered(image: &Bytes, fixture: &Fixture) -> bool {
    let dir = Dir::new();
    e2fsck(&image.whole(), &[], &dir);
    let checked = fs::read(dir.path("checked.img")).unwrap();
    let at = fixture.files[1].extent.0 as usize * 4096;
    let mut should = vec![0; 4096];
    fixture.empty.read(at as u64, &mut should);
    checked[at..at + 4096] == should
}

fn has_opener(image: &Bytes) -> bool {
    read_area(image)[..64].iter().any(|byte| *byte != 0)
}

#[test]
fn the_opener_goes_first() {
    let fixture = Fixture::new("-b 4096", 3);
    for (bit, log) in [
        (true, tlvs(&fixture.files[0])),
        (false, tlvs(&fixture.files[0])),
        // With a feature bit.
        (
            false,
            vec![
                Tree::new("-b 4096", "", "").dir(2),
                unlink(2, 11, "lost+found"),
            ],
        ),
    ] {
        let image = stale(&fixture, bit, &log);
        // With the bit e2fsck does not look at the journal.
        assert!(!is_recovered(&image, &fixture));
        let ram = Ram::new(image.clone());
        let opened = open(ram.clone()).unwrap();
        let area = Area::new(&opened.journal, opened.journal.sb.fc_blocks()).unwrap();
        let opener = area.place(0).unwrap();
        let done = export(&opened, false, false).unwrap();
        assert_eq!(
            (done.state, done.left_alone, done.commits, done.written_back),
            (State::Stale, false, 0, 2)
        );
        let ops = ram.ops.borrow().clone();
        let wipe = matches!(&ops[0], Op::Write { at, bytes } if *at == opener && bytes.iter().all(|byte| *byte == 0));
        assert!(wipe && matches!(ops[1], Op::Sync { .. }), "{:?}", &ops[..2]);
        let mut seen = HashSet::new();
        for cut in cuts(&image, &ops, 5) {
            let has_bit = open(Ram::new(cut.image.clone())).unwrap().sb.has_bytelog();
            let stock_may_look = !has_bit && !has_opener(&cut.image);
            if stock_may_look && seen.insert(hash(&cut.image)) {
                assert!(is_recovered(&cut.image, &fixture), "{}", cut.what);
            }
            let (_, after) = exported(&cut.image).unwrap();
            assert!(!has_opener(&after), "{}", cut.what);
            if seen.insert(hash(&after)) {
                assert!(is_recovered(&after, &fixture), "{}", cut.what);
            }
        }
        assert!(seen.len() >= 2, "{}", seen.len());
    }
}
