// SPDX-License-Identifier: GPL-2.0

//! That the forged filesystems are real ones: e2fsck replays what the tests then
//! expect of a log.

use crate::fixture::{e2fsck, Dir, Fixture};
use crate::forge::{crashed, crashed_on_stock, ON, ON_BEFORE};
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
fn e2fsck_refuses_a_guarded_bytelog() {
    let fixture = Fixture::new("-b 4096", 4);
    for (crash, refused) in [(ON, 12), (ON_BEFORE, 8)] {
        let image = crashed(&fixture, crash);
        let (status, said, there) = e2fsck(&image.whole(), &fixture.files, &Dir::new());
        assert_eq!(status, refused, "{said}");
        assert!(there.iter().all(|there| !there), "{there:?}");
    }
}
