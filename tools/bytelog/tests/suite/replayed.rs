// SPDX-License-Identifier: GPL-2.0

//! Logs with directories and special files: what e2fsck finds after they were exported
//! as a transaction of metadata.

use crate::cuts::cuts;
use crate::export::{exported, hash};
use crate::fixture::{e2, open, Dir};
use crate::forge::with_log;
use crate::ram::{Bytes, Ram};
use crate::tree::*;
use bytelog_cli::export::export;
use std::collections::HashSet;
use std::fs;

const ROOT: u32 = 2;

/// Layouts of everything that is written to.
const LAYOUTS: [&str; 9] = [
    "-b 4096",
    "-b 1024",
    "-b 4096 -I 128",
    "-b 1024 -O ^metadata_csum",
    "-b 1024 -O ^metadata_csum,^64bit,^uninit_bg",
    "-b 1024 -g 512 -O ^flex_bg,^64bit",
    "-b 1024 -g 512 -O meta_bg,^resize_inode",
    "-b 4096 -O metadata_csum_seed,^orphan_file",
    "-b 2048 -O ^filetype,^has_journal -O has_journal",
];

const FIRST: &str =
    "mkdir old\nmkdir old/sub\nmkdir gone\nmkdir other\ncd old\nwrite CONTENT kept\n\
                     write CONTENT doomed\ncd ../other\nsymlink ln target\n";
const THEN: &str =
    "mkdir new\nmkdir new/deep\ncd new\nwrite CONTENT file\nsymlink link ../old/kept\n\
                    mknod pipe p\nmknod char c 5 1\nmknod block b 259 257\ncd /\n\
                    rmdir gone\nrm old/doomed\n\
                    sif old mtime @1700000001\nsif new mtime @1700000002\n\
                    sif new/deep ctime @1700000003\n";
const PATHS: [&str; 12] = [
    "/",
    "old",
    "old/sub",
    "other",
    "new",
    "new/deep",
    "new/file",
    "new/link",
    "new/pipe",
    "new/char",
    "new/block",
    "old/kept",
];

/// Everything at once, and its log: as one fast commit.
pub fn mixed(options: &str) -> (Tree, Vec<Vec<u8>>) {
    let mut tree = Tree::new(options, FIRST, THEN);
    let [new, deep, file] = ["new", "new/deep", "new/file"].map(|path| tree.ino(path));
    let [gone, doomed] = ["gone", "old/doomed"].map(|path| tree.old_ino(path));
    let old = tree.ino("old");
    let mut log = vec![
        // The directories' numbers are those of what is removed, here and there.
        unlink(ROOT, gone, "gone"),
        unlink(old, doomed, "doomed"),
        tree.inode(ROOT),
        tree.dir(old),
        tree.inode(new),
        creat(ROOT, new, "new"),
        tree.inode(deep),
        creat(new, deep, "deep"),
        tree.inode(file),
    ];
    log.extend(tree.ranges(file));
    log.push(creat(new, file, "file"));
    for name in ["link", "pipe", "char", "block"] {
        let ino = tree.ino(&format!("new/{name}"));
        log.push(tree.inode(ino));
        log.push(creat(new, ino, name));
    }
    // Of a directory that is not changed but for its times.
    log.push(tree.inode(old));
    (tree, log)
}

fn check(tree: &Tree, log: &[Vec<u8>], paths: &[&str]) -> Bytes {
    let image = with_log(&tree.before, log);
    let (done, after) = exported(&image).unwrap();
    assert!(done.replayed && done.commits == 1 && done.blocks > 0);
    assert!(!open(Ram::new(after.clone())).unwrap().sb.has_bytelog());
    let now = recovered(&after);
    let (is, should) = (look(&now, paths), look(&tree.after, paths));
    for (is, should) in is.lines().zip(should.lines()) {
        assert_eq!(is, should);
    }
    assert_eq!(is.lines().count(), should.lines().count());
    now
}

#[test]
fn directories_and_special_files() {
    for options in LAYOUTS {
        println!("{options}");
        let (tree, log) = mixed(options);
        check(&tree, &log, &PATHS);
    }
}

/// The file's content, too.
#[test]
fn contents() {
    let (tree, log) = mixed("-b 4096");
    let now = check(&tree, &log, &PATHS);
    let cat = |image: &Bytes| debugfs(image, "cat new/file\n", false).1;
    assert!(cat(&now).contains("some contents"));
    assert_eq!(cat(&now), cat(&tree.after));
    for gone in ["gone", "old/doomed"] {
        assert_eq!(number(&now, gone), None);
    }
}

/// xattrs in the inode come with all of it.
#[test]
fn xattrs_in_the_inode() {
    let first = "mkdir d\ncd d\nmknod p p\n";
    let then = "ea_set d user.a directory\nea_set d/p user.b \"a pipe\"\n";
    let tree = Tree::new("-b 4096", first, then);
    let log = ["d", "d/p"].map(|path| tree.whole_inode(tree.ino(path)));
    let now = check(&tree, &log, &["d", "d/p"]);
    let (_, said) = debugfs(&now, "ea_get d user.a\nea_get d/p user.b\n", false);
    assert!(
        said.contains("\"directory\"") && said.contains("\"a pipe\""),
        "{said}"
    );
}

/// Every state that a cut can leave: e2fsck finds the log's tree once the bit is gone, and
/// another export completes what was cut.
#[test]
fn a_cut_leaves_the_log_or_what_comes_of_it() {
    let (tree, log) = mixed("-b 4096");
    for bit in [true, false] {
        let mut image = with_log(&tree.before, &log);
        if !bit {
            crate::forge::edit_incompat(&mut image, |incompat| incompat & !0x4_0000);
        }
        let ram = Ram::new(image.clone());
        export(&open(ram.clone()).unwrap(), false, false).unwrap();
        let ops = ram.ops.borrow().clone();
        let should = look(&tree.after, &PATHS);
        let mut checked = HashSet::new();
        let (mut replayed, mut completed) = (0, 0);
        for cut in cuts(&image, &ops, 23) {
            let (done, after) =
                exported(&cut.image).unwrap_or_else(|error| panic!("{}: {error}", cut.what));
            replayed += u32::from(done.replayed);
            completed += u32::from(!done.replayed);
            if checked.insert(hash(&after)) {
                assert_eq!(look(&recovered(&after), &PATHS), should, "{}", cut.what);
            }
        }
        assert!(replayed > 10 && completed > 3, "{replayed} {completed}");
    }
}

/// A directory that is moved below another, and one that replaces another.
#[test]
fn renamed_directories() {
    let tree = Tree::new("-b 4096", FIRST, "");
    let [old, sub, gone, other] = ["old", "old/sub", "gone", "other"].map(|path| tree.ino(path));
    let links = |ino: u32, links: u16| edited(tree.inode(ino), 0x1a, &links.to_le_bytes());
    let log = vec![
        unlink(old, sub, "sub"),
        link(other, sub, "moved"),
        links(old, 2),
        links(other, 3),
        links(sub, 2),
        // gone is renamed over other/moved.
        unlink(other, sub, "moved"),
        unlink(ROOT, gone, "gone"),
        link(other, gone, "moved"),
        links(ROOT, 5),
        links(gone, 2),
    ];
    let (_, after) = exported(&with_log(&tree.before, &log)).unwrap();
    let now = recovered(&after);
    assert_eq!(number(&now, "other/moved"), Some(gone));
    assert_eq!(number(&now, "other/moved/.."), Some(other));
    assert_eq!(
        (number(&now, "gone"), number(&now, "old/sub")),
        (None, None)
    );
}

/// Names with which a directory grows, one that has an index, too.
#[test]
fn directories_that_grow() {
    let name = |number: usize| format!("a-name-that-takes-a-lot-of-room-{number:08}-{number:030}");
    let many = |from: usize, to: usize| -> String {
        let names = (from..to).map(|n| format!("mknod {} p\n", name(n)));
        "cd d\n".to_owned() + &names.collect::<String>()
    };
    for (options, has, index) in [
        ("-b 4096", 0, false),
        ("-b 1024", 30, false),
        ("-b 1024", 120, true),
        ("-b 1024 -O ^metadata_csum", 120, true),
    ] {
        let options = format!("{options} -J size=8,fast_commit_size=1024");
        let first = Tree::new(&options, &format!("mkdir d\n{}", many(0, has)), "");
        let mut base = first.before;
        if index {
            let dir = Dir::new();
            let path = dir.path("disk.img");
            fs::write(&path, base.whole()).unwrap();
            let (status, said) = e2("e2fsck -fyD", &path, None);
            assert!(status <= 1, "{said}");
            base = Bytes::new(fs::read(&path).unwrap());
        }
        let tree = Tree::of(&base, "", &many(has, has + 100));
        let dir = tree.ino("d");
        let flags = |image: &Bytes| u32::from_le_bytes(raw(image, dir)[32..36].try_into().unwrap());
        assert_eq!(flags(&tree.before) & 0x1000 != 0, index);
        let mut log = vec![tree.inode(dir)];
        let (_, said) = debugfs(&tree.after, "ls -p d\n", false);
        for number in has..has + 100 {
            let line = said.lines().find(|line| line.contains(&name(number)));
            let ino = line.unwrap().split('/').nth(1).unwrap().parse().unwrap();
            log.push(tree.inode(ino));
            log.push(creat(dir, ino, &name(number)));
        }
        let (_, after) = exported(&with_log(&tree.before, &log)).unwrap();
        let now = recovered(&after);
        let names = |image: &Bytes| {
            let (_, said) = debugfs(image, "ls -p d\n", false);
            let mut names: Vec<_> = said
                .lines()
                .filter(|l| l.starts_with('/'))
                .map(String::from)
                .collect();
            names.sort_unstable();
            names
        };
        assert_eq!(names(&now), names(&tree.after));
    }
}

/// A file with more extents than an inode has room for, one of which is replaced.
#[test]
fn trees_of_extents() {
    let mut tree = Tree::new(
        "-b 1024 -J size=8,fast_commit_size=1024",
        "write CONTENT f\nmkdir d\n",
        "",
    );
    let f = tree.ino("f");
    let size = 2000u32;
    let mut log = vec![
        tree.dir(ROOT),
        edited(tree.inode(f), 4, &(size * 1024).to_le_bytes()),
    ];
    // Every second block, so that nothing can be merged.
    let first = 12_000u64;
    for number in 0..size / 2 {
        log.push(add_range(f, 2 * number, 1, first + u64::from(2 * number)));
    }
    log.push(add_range(f, 4, 1, 15_001));
    log.push(crate::forge::tlv(
        2,
        &[f, 6, 1].map(u32::to_le_bytes).concat(),
    ));
    tree.before.write(15_001 * 1024, &[7; 1024]);
    let (_, after) = exported(&with_log(&tree.before, &log)).unwrap();
    let now = recovered(&after);
    let (_, said) = debugfs(&now, "bmap f 0\nbmap f 4\nbmap f 6\nbmap f 1998\n", false);
    let found: Vec<_> = said
        .lines()
        .filter(|l| l.trim().parse::<u64>().is_ok())
        .collect();
    assert_eq!(found, ["12000", "15001", "0", "13998"]);
}

/// An inode number that another kind had before, and one that the log uses twice.
#[test]
fn numbers_used_again() {
    let mut tree = Tree::new("-b 4096", "mkdir x\nwrite CONTENT f\n", "rmdir x\nrm f\n");
    let (x, f) = (tree.old_ino("x"), tree.old_ino("f"));
    // Afterwards x is a file with f's contents, and f a directory.
    let (image, _) = debugfs(&tree.before, "", false);
    let (dir, file) = (raw(&image, x), raw(&image, f));
    let inode = |ino: u32, raw: &[u8], generation: u8| {
        let len = 128 + usize::from(raw[128]);
        let mut value = [&ino.to_le_bytes()[..], &raw[..len]].concat();
        value[4 + 0x64] = generation;
        crate::forge::tlv(6, &value)
    };
    let symlink = edited(inode(x, &dir, 8), 0, &0o120_777u16.to_le_bytes());
    let symlink = edited(edited(symlink, 0x20, &[0; 4]), 4, &[5, 0, 0, 0]);
    let root = edited(tree.inode(ROOT), 0x1a, &4u16.to_le_bytes());
    let blocks = (
        u64::from(crate::fixture::le32(&file, 0x3c)),
        u16::from(file[0x38]),
    );
    let log = vec![
        unlink(ROOT, x, "x"),
        unlink(ROOT, f, "f"),
        // A symlink for a moment.
        symlink,
        creat(ROOT, x, "short"),
        unlink(ROOT, x, "short"),
        inode(f, &dir, 9),
        creat(ROOT, f, "d"),
        inode(x, &file, 10),
        add_range(x, 0, blocks.1, blocks.0),
        creat(ROOT, x, "g"),
        root,
    ];
    tree.after = tree.before.clone();
    let (_, after) = exported(&with_log(&tree.before, &log)).unwrap();
    let now = recovered(&after);
    assert_eq!((number(&now, "d"), number(&now, "g")), (Some(f), Some(x)));
    assert_eq!((number(&now, "x"), number(&now, "short")), (None, None));
    let cat = |image: &Bytes, file: &str| {
        let (_, said) = debugfs(image, &format!("cat {file}\n"), false);
        said.lines().skip(2).map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(cat(&now, "g"), cat(&tree.before, "f"));
}

/// More changed blocks than the ring has room for: refused, but for a copy.
#[test]
fn more_than_the_ring_has_room_for() {
    let options = "-b 1024 -J size=1,fast_commit_size=1900";
    let tree = Tree::new(options, "mkdir d\ncd d\nmknod p p\n", "");
    let (dir, pipe) = (tree.ino("d"), tree.ino("d/p"));
    let names = 4200u16;
    let mut log = vec![
        tree.dir(dir),
        edited(tree.inode(pipe), 0x1a, &(names + 1).to_le_bytes()),
    ];
    log.extend((0..names).map(|number| link(dir, pipe, &format!("{number:0250}"))));
    let image = with_log(&tree.before, &log);
    let ram = Ram::new(image.clone());
    let refused = export(&open(ram.clone()).unwrap(), false, false)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("which go into the journal's ring"),
        "{refused}"
    );
    assert!(refused.contains("--to FILE"), "{refused}");
    assert!(ram.ops.borrow().is_empty());
    let done = export(&open(ram.clone()).unwrap(), true, false).unwrap();
    assert!(done.replayed && done.blocks > 1200, "{}", done.blocks);
    let after = ram.bytes.borrow().clone();
    let now = recovered(&after);
    let (_, said) = debugfs(&now, "stat d/p\n", false);
    assert!(said.contains(&format!("Links: {}", names + 1)), "{said}");
}

/// What cannot be, or cannot be done here: named, before anything is written.
#[test]
fn what_is_refused() {
    let tree = Tree::new("-b 4096", FIRST, "");
    let [old, sub, other, kept] =
        ["old", "old/sub", "other", "old/kept"].map(|path| tree.ino(path));
    let dir = tree.dir(old);
    let refused = |more: &[Vec<u8>], words: &str| {
        let log = [&[dir.clone()], more].concat();
        let ram = Ram::new(with_log(&tree.before, &log));
        let error = export(&open(ram.clone()).unwrap(), false, false)
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(
            error.contains("; mount the filesystem with an ext4 that has ByteLog"),
            "{error}"
        );
        assert!(ram.ops.borrow().is_empty(), "{words}");
    };
    refused(&[tree.dir(kept)], "inode 17 has a DIR, and is no directory");
    refused(&[crate::forge::tlv(11, &[0; 28])], "it names inode 0");
    refused(&[creat(7, sub, "x")], "it names inode 7");
    refused(&[creat(kept, sub, "x")], "takes inode 17 for a directory");
    refused(&[creat(999, sub, "x")], "directory 999 is not there");
    refused(&[creat(old, 999, "x")], "inode 999 is not there");
    refused(&[link(sub, old, "x")], "not below the root");
    refused(&[link(sub, sub, "x")], "not below the root");
    refused(&[link(old, kept, "a/b")], "is no name");
    refused(&[link(old, kept, "..")], "is no name");
    refused(&[unlink(ROOT, old, "old")], "removed, and is not empty");
    refused(&[add_range(old, 0, 1, 5000)], "no file with extents");
    refused(&[add_range(kept, 0, 1, 0)], "gets blocks 0-1");
    refused(&[add_range(kept, 0, 2, 6143)], "gets blocks 6143-6145");
    let edit = |ino, at, bytes: &[u8]| edited(tree.inode(ino), at, bytes);
    refused(&[edit(other, 0x1a, &[0, 0])], "has no links");
    refused(&[edit(other, 0, &[0, 0])], "has no type");
    refused(&[edit(kept, 0x20, &[0; 4])], "mapped by blocks");
}

/// A log with a bit that is not known says which version reads it.
#[test]
fn a_bit_of_a_later_version() {
    let tree = Tree::new("-b 4096", FIRST, "");
    let mut image = with_log(&tree.before, &[tree.dir(ROOT)]);
    let mut area = crate::forge::read_area(&image);
    area[4] |= 4;
    crate::v1::seal_opener(&mut area);
    crate::forge::write_area(&mut image, &area);
    let error = exported(&image).map(|_| ()).unwrap_err().to_string();
    assert!(
        error.contains("the log uses feature 0x4, which this version does not know; ByteLog of a later version reads it"),
        "{error}"
    );
}
