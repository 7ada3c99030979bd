// SPDX-License-Identifier: GPL-2.0

//! The checker finds each kind of fault, in a `bytelog` that has it, and none in one
//! that has none.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use bytelog_images::check::Checker;
use bytelog_images::checkout::images;
use flate2::write::GzEncoder;
use flate2::Compression;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a faultless one does, as far as the checker can tell: `fsck` is e2fsck, JSON is
/// JSON, and the rest does nothing.
const FAULTLESS: &str = r#"
case "$*" in
*"fsck disk.img -- -"*)
    options=${*##*-- }
    case $1 in
    --json) e2fsck "$options" disk.img >/dev/null; echo '{}' ;;
    *) exec e2fsck "$options" disk.img ;;
    esac ;;
--json*) echo '{}' ;;
esac
"#;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("images-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("checkout/tests/f_made")).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the checker finds on one image that e2fsck has to repair, where `bytelog` begins
/// with the shell's commands `defect`.
fn found(name: &str, defect: &str) -> Vec<String> {
    let dir = Dir::new(name);
    let image = dir.0.join("image");
    File::create(&image).unwrap().set_len(4 << 20).unwrap();
    for line in [
        "mke2fs -q -F -t ext4 -b 1024",
        "debugfs -w -R clri\t<11>", // lost+found, of which the root has the name
    ] {
        let mut words = line.split(' ').map(|word| word.replace('\t', " "));
        let output = Command::new(words.next().unwrap())
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .args(words)
            .arg(&image)
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    }
    let checkout = dir.0.join("checkout");
    let packed = File::create(checkout.join("tests/f_made/image.gz")).unwrap();
    let mut packer = GzEncoder::new(packed, Compression::fast());
    packer.write_all(&fs::read(&image).unwrap()).unwrap();
    packer.finish().unwrap();
    let bytelog = dir.0.join("bytelog");
    fs::write(&bytelog, format!("#!/bin/sh\n{defect}\n{FAULTLESS}")).unwrap();
    fs::set_permissions(&bytelog, fs::Permissions::from_mode(0o755)).unwrap();
    let checker = Checker {
        bytelog,
        dir: dir.0.clone(),
    };
    let all = images(&checkout).unwrap();
    assert_eq!(all.len(), 1);
    let (name, whole) = all[0].unpack().unwrap().remove(0);
    assert_eq!(name, "f_made/image.gz");
    checker.check(&whole).unwrap().wrong
}

#[test]
fn one_without_faults() {
    assert!(found("none", "").is_empty());
}

#[test]
fn each_fault_is_found() {
    for (name, defect, told) in [
        (
            "panic",
            r#"[ "$1" != dump ] || exit 101"#,
            "bytelog dump disk.img: panics",
        ),
        (
            "signal",
            r#"[ "$1" != map ] || kill -SEGV $$"#,
            "bytelog map disk.img: was ended by a signal",
        ),
        (
            "hang",
            r#"[ "$1" != verify ] || exit 124"#,
            "bytelog verify disk.img: hangs",
        ),
        (
            "write",
            r#"[ "$1" != info ] || printf x >>disk.img"#,
            "bytelog info disk.img: has written",
        ),
        (
            "unasked",
            r#"[ "$1" != export ] || printf x >>disk.img"#,
            "bytelog export disk.img: has written",
        ),
        (
            "begun",
            r#"[ "$1" != enable ] || { printf x >>disk.img; echo no >&2; exit 4; }"#,
            "bytelog enable disk.img: has written",
        ),
        (
            "other",
            r#"[ "$1" != enable ] || printf x >>disk.img"#,
            "bytelog enable and disable: has written",
        ),
        (
            "mute",
            r#"[ "$1" != capture ] || exit 4"#,
            "ends with 4 and says nothing",
        ),
        (
            "status",
            r#"[ "$1" != capture ] || exit 3"#,
            "bytelog capture disk.img fresh.img: ends with 3",
        ),
        (
            "json",
            r#"[ "$1 $2" != "--json verify" ] || exit 0"#,
            "bytelog --json verify disk.img: prints no JSON",
        ),
        (
            "verdict",
            r#"[ "$1 $4" != "fsck -fn" ] || { e2fsck -fn disk.img; exit 0; }"#,
            "bytelog fsck disk.img -- -fn: ends with Some(0), e2fsck with Some(4)",
        ),
        (
            "words",
            r#"[ "$1 $4" != "fsck -fn" ] || echo more"#,
            "bytelog fsck disk.img -- -fn: has other words than e2fsck",
        ),
        (
            "repair",
            r#"[ "$1 $4" != "fsck -fy" ] || printf x >>disk.img"#,
            "bytelog fsck disk.img -- -fy: leaves another filesystem than e2fsck",
        ),
    ] {
        let wrong = found(name, defect);
        assert!(
            wrong.iter().any(|line| line.contains(told)),
            "{name}: {wrong:?}"
        );
    }
}
