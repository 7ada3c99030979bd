// SPDX-License-Identifier: GPL-2.0

//! That the forged filesystems are real ones: e2fsck replays what the tests then
//! expect of a log.

use crate::fixture::{e2fsck, Dir, Fixture};
use crate::forge::crashed;
use crate::forge::{crashed_on_stock, ON};
use crate::snapshots::run;

#[test]
fn e2fsck_replays_a_stock_log() {
    let fixture = Fixture::new("-b 4096", 40);
    let image = crashed_on_stock(&fixture);
    let said = run(&image, &["verify"]);
    assert!(
        said.contains("1 fast commit,") && said.ends_with("exit 0\n"),
        "{said}"
    );
    let (status, said, there) = e2fsck(&image.whole(), &fixture.files, &Dir::new());
    assert!(status <= 1, "{status}: {said}");
    assert!(there.iter().all(|there| *there), "{there:?}: {said}");
}

#[test]
fn e2fsck_refuses_a_bytelog_with_the_bit() {
    let fixture = Fixture::new("-b 4096", 4);
    let image = crashed(&fixture, ON);
    let (status, said, there) = e2fsck(&image.whole(), &fixture.files, &Dir::new());
    assert_eq!(status, 8, "{said}");
    assert!(there.iter().all(|there| !there), "{there:?}");
}
