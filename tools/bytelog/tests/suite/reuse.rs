// SPDX-License-Identifier: GPL-2.0

//! Logs whose inodes have had another file before: e2fsck, of an exported log, gives
//! them nothing of that.

use crate::export::exported;
use crate::fixture::{e2, e2fsck, open, Dir, Fixture, Made};
use crate::forge::{tlv, with_log, with_stock_log};
use crate::ram::{Bytes, Ram};
use bytelog_cli::export::export;
use bytelog_cli::ext4::group::Group;

/// Offsets of an inode.
const SIZE: usize = 0x04;
const GENERATION: usize = 0x64;

fn fixture() -> Fixture {
    Fixture::new("-b 4096", 7)
}

/// An empty file with the number of `old`.
fn renewed(old: &Made) -> Made {
    let mut new = old.clone();
    new.name = "renewed".to_owned();
    new.content.clear();
    new.inode[SIZE..SIZE + 4].fill(0);
    new.inode[GENERATION] ^= 1;
    new
}

fn entry(tag: u16, file: &Made) -> Vec<u8> {
    let mut entry = 2u32.to_le_bytes().to_vec();
    entry.extend(file.ino.to_le_bytes());
    entry.extend(file.name.as_bytes());
    tlv(tag, &entry)
}

/// What ext4 logs for a file that is created and not written to.
fn create(file: &Made) -> Vec<Vec<u8>> {
    let extra = u16::from_le_bytes([file.inode[128], file.inode[129]]);
    let inode = &file.inode[..128 + usize::from(extra)];
    let inode = [&file.ino.to_le_bytes()[..], inode].concat();
    vec![tlv(6, &inode), entry(3, file)]
}

/// What e2fsck says, after which `file` has to be there.
fn checked(image: &Bytes, file: &Made) -> String {
    let (status, said, there) = e2fsck(&image.whole(), std::slice::from_ref(file), &Dir::new());
    assert!(status <= 1, "{status}: {said}");
    assert_eq!(there, [true], "{said}");
    said
}

/// A crashed filesystem whose log deletes a file and gives its number to another, and
/// that one, while beside it stands what is left of an older filesystem.
pub fn of_both_kinds() -> (Bytes, Made) {
    let fixture = fixture();
    let (first, old) = (&fixture.files[5], &fixture.files[6]);
    let mut image = fixture.empty.clone();
    image.write(first.inode_at, &first.inode);
    let (other, new) = (renewed(first), renewed(old));
    let mut beside = other.clone();
    beside.name = "beside".to_owned();
    let log = [
        crate::forge::tlvs(old),
        vec![entry(5, old)],
        create(&new),
        create(&beside),
    ];
    (with_log(&image, &log.concat()), new)
}

/// Deleted, and its number taken by another file.
#[test]
fn of_a_deleted_file() {
    let fixture = fixture();
    let old = &fixture.files[6];
    assert!(old.extent.1 > 1);
    let new = renewed(old);
    let log = [vec![entry(5, old)], create(&new)].concat();
    // e2fsck itself lengthens the file to the blocks of the other.
    let stock = with_stock_log(&fixture.full, &log);
    let (_, said, there) = e2fsck(&stock.whole(), std::slice::from_ref(&new), &Dir::new());
    assert!(
        said.contains("i_size is 0, should be") && there == [false],
        "{said}"
    );
    let (done, after) = exported(&with_log(&fixture.full, &log)).unwrap();
    assert_eq!((done.commits, done.reused_inodes), (1, 1));
    let said = checked(&after, &new);
    assert!(!said.contains("i_size"), "{said}");
}

/// Created, deleted, and created anew, all in the log.
#[test]
fn of_a_file_that_the_log_made() {
    let fixture = fixture();
    let old = &fixture.files[6];
    let new = renewed(old);
    let log = [crate::forge::tlvs(old), vec![entry(5, old)], create(&new)].concat();
    let (_, after) = exported(&with_log(&fixture.empty, &log)).unwrap();
    let said = checked(&after, &new);
    assert!(!said.contains("i_size"), "{said}");
}

/// Left in the inode table by a filesystem that was on the device before.
#[test]
fn of_an_older_filesystem() {
    let fixture = fixture();
    let old = &fixture.files[6];
    let new = renewed(old);
    let mut image = fixture.empty.clone();
    image.write(old.inode_at, &old.inode);
    let log = create(&new);
    let stock = with_stock_log(&image, &log);
    let (_, said, _) = e2fsck(&stock.whole(), &[], &Dir::new());
    assert!(said.contains("i_size is 0, should be"), "{said}");
    let image = with_log(&image, &log);
    let (done, after) = exported(&image).unwrap();
    assert_eq!(done.reused_inodes, 1);
    let mut inode = vec![0; old.inode.len()];
    after.read(old.inode_at, &mut inode);
    assert!(inode.iter().all(|byte| *byte == 0));
    let said = checked(&after, &new);
    assert!(!said.contains("i_size"), "{said}");
    // Not before it is known whether the log can be exported.
    let ram = Ram::new(image);
    export(&open(ram.clone()).unwrap(), false, true).unwrap();
    assert!(ram.ops.borrow().is_empty());
}

/// The same file is changed, not another.
#[test]
fn of_the_same_file() {
    let fixture = fixture();
    let log = crate::forge::tlvs(&fixture.files[6]);
    let (done, after) = exported(&with_log(&fixture.full, &log)).unwrap();
    assert_eq!(done.reused_inodes, 0);
    let said = checked(&after, &fixture.files[6]);
    assert!(!said.contains("i_size"), "{said}");
}

/// Group descriptors that lie among the groups, and inodes of the second.
#[test]
fn of_other_groups() {
    let layouts = [
        "-b 1024 -O fast_commit",
        "-b 1024 -g 512 -O fast_commit,meta_bg,^resize_inode",
        "-b 1024 -O fast_commit,^64bit,^metadata_csum",
    ];
    for layout in layouts {
        let mut fixture = Fixture::new(layout, 1);
        let image = open(Ram::new(fixture.full.clone())).unwrap();
        let per_group = image.sb.inodes_per_group();
        let file = &mut fixture.files[0];
        let groups = image.sb.inodes_count() / per_group;
        for number in [file.ino, per_group + 1, (groups - 1) * per_group + 5] {
            let (group, index) = Group::of_inode(image.store.as_ref(), &image.sb, number).unwrap();
            let at = group
                .inode_at(image.store.as_ref(), &image.sb, index)
                .unwrap();
            let told = group.uses_inode(image.store.as_ref(), &image.sb, index);
            let dir = Dir::new();
            let path = dir.path("disk.img");
            std::fs::write(&path, fixture.full.whole()).unwrap();
            std::fs::write(
                dir.path("commands"),
                format!("imap <{number}>\ntesti <{number}>\n"),
            )
            .unwrap();
            let (_, said) = e2("debugfs -f -", &path, Some(&dir.path("commands")));
            let place = format!("located at block {}, offset {:#06x}", at / 1024, at % 1024);
            assert!(said.contains(&place), "{layout}: {place}: {said}");
            assert_eq!(told.unwrap(), said.contains("marked in use"), "{said}");
        }
    }
}
