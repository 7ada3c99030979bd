// SPDX-License-Identifier: GPL-2.0

//! Filesystems in partitions, and anywhere in a file.

use crate::fixture::{e2fsck, Dir, Fixture, SIZE};
use crate::forge::{crashed, ON};
use crate::snapshots::run_at;
use bytelog_cli::error::Status;
use bytelog_cli::partition::{find, Partition};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::LINUX_FS;
use gpt::GptConfig;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

const MIB: u64 = 1 << 20;
const DISK: u64 = 64 * MIB;
/// Where the filesystem is.
const START: u64 = 3 * MIB;

fn disk(dir: &Dir) -> File {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(dir.path("disk.img"))
        .unwrap();
    file.set_len(DISK).unwrap();
    file
}

/// The filesystem is its second partition.
fn with_gpt(dir: &Dir, size: LogicalBlockSize) -> File {
    let mut file = disk(dir);
    let sector = size.as_u64();
    let sectors = u32::try_from(DISK / sector - 1).unwrap();
    ProtectiveMBR::with_lb_size(sectors)
        .overwrite_lba0(&mut file)
        .unwrap();
    let config = GptConfig::new().writable(true).logical_block_size(size);
    let mut table = config.create_from_device(&mut file, None).unwrap();
    table
        .add_partition_at("boot", 1, MIB / sector, MIB / sector, LINUX_FS, 0)
        .unwrap();
    table
        .add_partition_at("data", 2, START / sector, SIZE / sector, LINUX_FS, 0)
        .unwrap();
    table.write().unwrap();
    file
}

/// An entry of an MBR.
fn entry(kind: u8, start: u64, len: u64) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[4] = kind;
    entry[8..12].copy_from_slice(&((start / 512) as u32).to_le_bytes());
    entry[12..].copy_from_slice(&((len / 512) as u32).to_le_bytes());
    entry
}

fn write_table(file: &File, at: u64, entries: &[[u8; 16]]) {
    file.write_all_at(&entries.concat(), at + 0x1be).unwrap();
    file.write_all_at(&[0x55, 0xaa], at + 0x1fe).unwrap();
}

/// Primary partitions 1 and 3, and in an extended one 5, the filesystem, and 6.
fn with_mbr(dir: &Dir) -> File {
    let file = disk(dir);
    let extended = 2 * MIB;
    let second = START + SIZE;
    write_table(
        &file,
        0,
        &[
            entry(0x83, MIB, MIB),
            entry(0x0f, extended, DISK - 4 * MIB),
            entry(0x82, DISK - 2 * MIB, MIB),
        ],
    );
    let first = [
        entry(0x83, MIB, SIZE),
        entry(0x05, second - extended, 9 * MIB),
    ];
    write_table(&file, extended, &first);
    write_table(&file, second, &[entry(0x83, MIB, 8 * MIB)]);
    file
}

/// A kind of partition table.
#[derive(Clone, Copy)]
pub enum Table {
    Mbr,
    Gpt512,
    Gpt4096,
}

/// `disk.img` with such a table.
pub fn disk_with(dir: &Dir, table: Table) -> File {
    match table {
        Table::Mbr => with_mbr(dir),
        Table::Gpt512 => with_gpt(dir, LogicalBlockSize::Lb512),
        Table::Gpt4096 => with_gpt(dir, LogicalBlockSize::Lb4096),
    }
}

fn put(file: &File, fixture: &Fixture) {
    let image = crashed(fixture, ON).whole();
    file.write_all_at(&image, START).unwrap();
}

/// The filesystem alone.
fn cut_out(dir: &Dir, path: &Path) {
    let file = File::open(dir.path("disk.img")).unwrap();
    let mut bytes = vec![0; SIZE as usize];
    file.read_exact_at(&mut bytes, START).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Exports and checks the filesystem that `how` names; nothing beside it is touched.
fn export_and_check(dir: &Dir, fixture: &Fixture, how: &[&str]) {
    let path = dir.path("disk.img");
    let around = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes.drain(START as usize..(START + SIZE) as usize);
        bytes
    };
    let before = around(&path);
    let said = run_at(&path, &["verify"], how);
    assert!(said.ends_with("exit 0\n"), "{said}");
    let copied = run_at(&path, &["export", "--to", "copy.img"], how);
    assert!(copied.contains("4 fast commits"), "{copied}");
    let said = run_at(&path, &["fsck"], &[how, &["--", "-fy"]].concat());
    assert!(
        said.contains("losetup -f --show -o 3145728") && said.ends_with("exit 4\n"),
        "{said}"
    );
    let said = run_at(&path, &["export"], how);
    assert!(said.ends_with("exit 0\n"), "{said}");
    assert!(around(&path) == before);
    // The copy is of the filesystem alone.
    let copy = fs::read(dir.path("copy.img")).unwrap();
    assert_eq!(copy.len() as u64, SIZE);
    let (status, said, there) = e2fsck(&copy, &fixture.files, dir);
    assert!(status <= 1 && there == [true; 7], "{status} {said}");
    cut_out(dir, &dir.path("alone.img"));
    let alone = fs::read(dir.path("alone.img")).unwrap();
    let (status, said, there) = e2fsck(&alone, &fixture.files, dir);
    assert!(status <= 1 && there == [true; 7], "{status} {said}");
    // Now that it is clean e2fsck takes it where it is.
    let checked = fs::read(dir.path("checked.img")).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&checked, START).unwrap();
    let said = run_at(&path, &["fsck"], &[how, &["--", "-fn"]].concat());
    assert!(
        said.contains("Pass 5") && said.ends_with("exit 0\n"),
        "{said}"
    );
}

fn fixture() -> Fixture {
    Fixture::new("-b 4096", 7)
}

#[test]
fn of_a_gpt() {
    let fixture = fixture();
    let dir = Dir::new();
    put(&with_gpt(&dir, LogicalBlockSize::Lb512), &fixture);
    export_and_check(&dir, &fixture, &["--partition", "2"]);
}

#[test]
fn of_an_mbr() {
    let fixture = fixture();
    let dir = Dir::new();
    put(&with_mbr(&dir), &fixture);
    export_and_check(&dir, &fixture, &["--partition", "5"]);
}

#[test]
fn at_an_offset() {
    let fixture = fixture();
    let dir = Dir::new();
    put(&disk(&dir), &fixture);
    let offset = START.to_string();
    export_and_check(&dir, &fixture, &["--offset", &offset]);
}

#[test]
fn places() {
    let dir = Dir::new();
    with_gpt(&dir, LogicalBlockSize::Lb4096);
    let path = dir.path("disk.img");
    let offset = START;
    assert_eq!(find(&path, 2).unwrap(), Partition { offset, len: SIZE });
    let dir = Dir::new();
    let file = with_mbr(&dir);
    let path = dir.path("disk.img");
    assert_eq!(find(&path, 5).unwrap(), Partition { offset, len: SIZE });
    let six = Partition {
        offset: START + SIZE + MIB,
        len: 8 * MIB,
    };
    assert_eq!(find(&path, 6).unwrap(), six);
    let error = find(&path, 2).unwrap_err();
    assert_eq!(error.status, Status::Failed);
    let error = error.to_string();
    assert!(error.ends_with("there are: 1, 3, 5, 6"), "{error}");
    // A chain that leads back to itself ends.
    let first = [entry(0x83, MIB, SIZE), entry(0x05, 0, 9 * MIB)];
    write_table(&file, 2 * MIB, &first);
    assert!(find(&path, 6).is_err());
}

/// An MBR counts in the disk's sectors, of which an image says nothing.
#[test]
fn of_an_mbr_of_large_sectors() {
    let dir = Dir::new();
    let file = disk(&dir);
    let mut large = entry(0x83, 0, 0);
    large[8..12].copy_from_slice(&((START / 4096) as u32).to_le_bytes());
    large[12..].copy_from_slice(&((SIZE / 4096) as u32).to_le_bytes());
    write_table(&file, 0, &[large]);
    put(&file, &Fixture::new("-b 4096", 3));
    let found = find(&dir.path("disk.img"), 1).unwrap();
    assert_eq!(
        found,
        Partition {
            offset: START,
            len: SIZE
        }
    );
}

#[test]
fn what_is_wrong_is_said() {
    let dir = Dir::new();
    disk(&dir);
    let path = dir.path("disk.img");
    let said = run_at(&path, &["info", "--partition", "1"], &[]);
    assert!(
        said.contains("no partition table") && said.ends_with("exit 8\n"),
        "{said}"
    );
    let said = run_at(&path, &["info", "--partition", "1", "--offset", "5"], &[]);
    assert!(said.ends_with("exit 16\n"), "{said}");
    // Files that have no table, and a table that has nothing.
    fs::write(&path, "").unwrap();
    let error = find(&path, 1).unwrap_err().to_string();
    assert!(error.contains("the file is empty"), "{error}");
    fs::write(&path, "some text").unwrap();
    let error = find(&path, 1).unwrap_err().to_string();
    assert!(error.contains("there is no partition table"), "{error}");
    fs::write(&path, [0; 512]).unwrap();
    write_table(
        &File::options().write(true).open(&path).unwrap(),
        0,
        &[[0; 16]; 4],
    );
    let error = find(&path, 1).unwrap_err();
    assert_eq!(error.status, Status::Failed);
    assert!(
        error.to_string().ends_with("the partition table has none"),
        "{error}"
    );
    // A GPT that is damaged on both ends.
    let dir = Dir::new();
    let file = with_gpt(&dir, LogicalBlockSize::Lb512);
    file.write_all_at(&[0; 512], 512).unwrap();
    let path = dir.path("disk.img");
    assert!(find(&path, 2).is_ok());
    file.write_all_at(&[0; 512], DISK - 512).unwrap();
    assert!(find(&path, 2).is_err());
}
