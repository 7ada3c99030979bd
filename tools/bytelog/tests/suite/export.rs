// SPDX-License-Identifier: GPL-2.0

//! `export`: what e2fsck then finds, and that a cut at any write leaves the one log or
//! the other.

use crate::cuts::{cuts, Cut};
use crate::fixture::{e2fsck, open, Dir, Fixture, Made};
use crate::forge::{
    crashed, crashed_on_stock, crashed_on_v1, edit_journal, full_commits, mark_dirty,
    on_stock_with_full_commits, read_area, tlvs, write_area, Crash, ON, ON_BEFORE,
};
use crate::ram::{Bytes, Ram};
use crate::reuse;
use crate::snapshots::run;
use bytelog_cli::error::Error;
use bytelog_cli::export::plan::Staging;
use bytelog_cli::export::{export, Exported};
use bytelog_cli::log::inspect::{inspect, State};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A ring with no block to spare: the area has to shrink. The default for so small a
/// filesystem.
const TIGHT: &str = "-b 4096";
/// A ring with room for more fast commits.
const ROOMY: &str = "-b 4096 -J size=5";

/// Exports an image in RAM; the image after it.
pub fn exported(image: &Bytes) -> Result<(Exported, Bytes), Error> {
    let ram = Ram::new(image.clone());
    let done = export(&open(ram.clone())?, false, false)?;
    let bytes = ram.bytes.borrow().clone();
    Ok((done, bytes))
}

/// What recovery would replay, by the format that it is in, and whether stock tools keep
/// away.
fn log_of(image: &Bytes) -> (State, Vec<u8>, bool) {
    let image = open(Ram::new(image.clone())).unwrap();
    let found = inspect(&image, None).unwrap();
    assert_eq!(found.damage, None);
    let tlvs = match &found.stock {
        Some(stock) => {
            assert_eq!(stock.fault, None);
            stock.tlvs.clone()
        }
        None => found.tlvs(),
    };
    let is_guarded = image.sb.has_bytelog() || image.journal.sb.is_marked();
    (found.state, tlvs, is_guarded)
}

pub fn everything_is_there(image: &Bytes, files: &[Made]) {
    let (status, said, there) = e2fsck(&image.whole(), files, &Dir::new());
    assert!(status <= 1, "e2fsck -fy: {status}: {said}");
    assert!(there.iter().all(|there| *there), "{there:?}: {said}");
}

pub fn hash(image: &Bytes) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.whole().hash(&mut hasher);
    hasher.finish()
}

fn export_and_check(options: &str, crash: Crash, files: usize, staging: Staging) {
    let fixture = Fixture::new(options, files);
    let image = crashed(&fixture, crash);
    let (state, tlvs, _) = log_of(&image);
    assert_eq!(state, State::V2);
    let (done, after) = exported(&image).unwrap();
    assert_eq!(done.staging, Some(staging));
    assert_eq!(done.commits as usize, files.div_ceil(crash.per_commit));
    assert_eq!(log_of(&after), (State::Stock, tlvs, false));
    let fc_blocks = |image: &Bytes| {
        let image = open(Ram::new(image.clone())).unwrap();
        image.journal.sb.stored_fc_blocks()
    };
    assert_eq!(fc_blocks(&after), fc_blocks(&image));
    everything_is_there(&after, &fixture.files);
}

#[test]
fn e2fsck_replays_what_was_exported() {
    for crash in [ON, ON_BEFORE] {
        export_and_check(TIGHT, crash, 30, Staging::Area);
        export_and_check(ROOMY, crash, 30, Staging::Ring);
    }
}

#[test]
fn the_ring_is_written_back() {
    let crash = Crash {
        full_commits: true,
        ..ON
    };
    export_and_check(TIGHT, crash, 9, Staging::Area);
    export_and_check(ROOMY, crash, 9, Staging::Ring);
}

#[test]
fn nothing_to_convert() {
    let fixture = Fixture::new(TIGHT, 3);
    // A torn first commit: it was not acknowledged.
    let mut image = crashed(
        &fixture,
        Crash {
            per_commit: 3,
            ..ON
        },
    );
    let mut area = read_area(&image);
    area[4096 + 200] ^= 1;
    write_area(&mut image, &area);
    let (done, after) = exported(&image).unwrap();
    assert_eq!((done.state, done.commits), (State::V2, 0));
    assert_eq!(log_of(&after).0, State::Empty);
    everything_is_there(&after, &[]);
    // A clean filesystem is not written to.
    let ram = Ram::new(fixture.empty.clone());
    let done = export(&open(ram.clone()).unwrap(), false, false).unwrap();
    assert_eq!(done.state, State::Clean);
    assert!(ram.ops.borrow().is_empty());
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let fixture = Fixture::new(TIGHT, 120);
    let image = crashed(
        &fixture,
        Crash {
            per_commit: 1,
            ..ON
        },
    );
    let ram = Ram::new(image.clone());
    let error = export(&open(ram.clone()).unwrap(), false, false).unwrap_err();
    assert!(error.to_string().contains("--to FILE"), "{error}");
    assert!(ram.ops.borrow().is_empty());
    // Where a cut does not matter, it fits.
    let opened = open(ram.clone()).unwrap();
    let done = export(&opened, true, false).unwrap();
    assert_eq!(done.staging, Some(Staging::None));
    let after = ram.bytes.borrow().clone();
    everything_is_there(&after, &fixture.files);
}

#[test]
fn a_damaged_log_is_refused_before_anything_is_written() {
    let fixture = Fixture::new(TIGHT, 9);
    let mut image = crashed(&fixture, ON);
    let mut area = read_area(&image);
    area[4096 + 100] ^= 1;
    write_area(&mut image, &area);
    let ram = Ram::new(image);
    let error = export(&open(ram.clone()).unwrap(), false, false).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert!(ram.ops.borrow().is_empty());
}

/// Every state that a cut can leave has the one log or the other, whole; once the bit
/// is gone e2fsck finds everything; and another export completes what was cut.
fn cut_everywhere(image: &Bytes, files: &[Made]) {
    let (ours, tlvs, was_guarded) = log_of(image);
    let ram = Ram::new(image.clone());
    export(&open(ram.clone()).unwrap(), false, false).unwrap();
    let ops = ram.ops.borrow().clone();
    let after = ram.bytes.borrow().clone();
    let done = log_of(&after);
    assert_eq!((done.0, done.2), (State::Stock, false));
    let mut checked = HashSet::new();
    let (mut before, mut stock, mut cleared) = (0, 0, 0);
    for Cut { image, what } in cuts(image, &ops, 17) {
        let (state, now, is_guarded) = log_of(&image);
        match state {
            State::Stock => {
                stock += 1;
                assert_eq!(now, done.1, "{what}");
            }
            state => {
                before += 1;
                assert_eq!((state, now), (ours, tlvs.clone()), "{what}");
                assert_eq!(is_guarded, was_guarded, "{what}");
            }
        }
        // Unguarded, as after a mount with force, stock tools read the stock log.
        if !is_guarded && state == State::Stock {
            cleared += 1;
            if checked.insert(hash(&image)) {
                everything_is_there(&image, files);
            }
        }
        let (_, after) = exported(&image).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(log_of(&after), done, "{what}");
        if checked.insert(hash(&after)) {
            everything_is_there(&after, files);
        }
    }
    assert!(
        before > 10 && stock > 10 && cleared > 0,
        "{before} {stock} {cleared}"
    );
}

fn cut_crash(options: &str, crash: Crash) {
    let fixture = Fixture::new(options, 9);
    cut_everywhere(&crashed(&fixture, crash), &fixture.files);
}

#[test]
fn a_cut_leaves_the_one_or_the_other_in_the_area() {
    cut_crash(TIGHT, ON);
    cut_crash(TIGHT, ON_BEFORE);
}

#[test]
fn a_cut_leaves_the_one_or_the_other_in_the_ring() {
    cut_crash(
        ROOMY,
        Crash {
            full_commits: true,
            ..ON
        },
    );
}

#[test]
fn a_cut_leaves_the_one_or_the_other_unguarded() {
    cut_crash(
        TIGHT,
        Crash {
            mark: false,
            full_commits: true,
            ..ON
        },
    );
}

#[test]
fn a_cut_leaves_version_1_or_stock() {
    let fixture = Fixture::new(TIGHT, 9);
    cut_everywhere(&crashed_on_v1(&fixture, &fixture.empty), &fixture.files);
}

#[test]
fn a_cut_leaves_reused_inodes_right() {
    let (image, file) = reuse::of_both_kinds();
    cut_everywhere(&image, &[file]);
}

/// The RFC's log, which its kernel wrote after a mount with force or its own bit.
#[test]
fn version_1_is_exported() {
    let fixture = Fixture::new(TIGHT, 9);
    let image = crashed_on_v1(&fixture, &fixture.empty);
    let tlvs: Vec<_> = fixture.files.iter().flat_map(tlvs).collect();
    assert_eq!(log_of(&image), (State::V1, tlvs.concat(), true));
    let (done, after) = exported(&image).unwrap();
    assert_eq!(done.commits, 1);
    assert_eq!(log_of(&after), (State::Stock, tlvs.concat(), false));
    everything_is_there(&after, &fixture.files);
}

/// What has nothing of ByteLog is not written to, and that is said.
#[test]
fn nothing_of_bytelog_is_left_alone() {
    let fixture = Fixture::new(TIGHT, 3);
    let mut no_area = on_stock_with_full_commits(&fixture);
    edit_journal(&mut no_area, &[(0x28, 0x12)]);
    let mut broken = on_stock_with_full_commits(&fixture);
    let opened = open(Ram::new(broken.clone())).unwrap();
    let end = inspect(&opened, None).unwrap().ring.unwrap().parts[1].block;
    broken.write(opened.journal.place(end).unwrap() + 4000, &[1]);
    for (image, state) in [
        (crashed_on_stock(&fixture), State::Stock),
        (on_stock_with_full_commits(&fixture), State::Empty),
        (no_area, State::NoArea),
        (broken, State::JournalDamaged),
    ] {
        let ram = Ram::new(image.clone());
        let done = export(&open(ram.clone()).unwrap(), false, false).unwrap();
        assert_eq!((done.state, done.left_alone), (state, true));
        assert!(ram.ops.borrow().is_empty());
        for args in [&["export"][..], &["export", "--dry-run"]] {
            let said = run(&image, args);
            assert!(
                said.contains("left alone") && said.ends_with("exit 0\n"),
                "{said}"
            );
        }
        let said = run(&image, &["--json", "export"]);
        assert!(said.contains("\"left_alone\": true"), "{said}");
    }
}

/// Where the bit has to go, so has the ring, and that is said before and after.
#[test]
fn what_is_written_back_is_said() {
    let fixture = Fixture::new(TIGHT, 3);
    let mut image = fixture.empty.clone();
    full_commits(&mut image, &fixture, true);
    mark_dirty(&mut image, true);
    let said = run(&image, &["export", "--dry-run"]);
    assert!(
        said.contains("2 full commits of the journal would be written back"),
        "{said}"
    );
    let said = run(&image, &["--json", "export", "--dry-run"]);
    assert!(said.contains("\"written_back\": 2"), "{said}");
    let said = run(&image, &["export"]);
    assert!(
        said.contains("2 full commits of the journal now written back"),
        "{said}"
    );
    assert!(said.contains("feature bit 0x40000 cleared"), "{said}");
}
