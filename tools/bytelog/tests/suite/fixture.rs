// SPDX-License-Identifier: GPL-2.0

//! Filesystems made by mke2fs, and files put into them by debugfs, so that there is
//! something real for a log to say: the files that it creates, and their data.

use crate::ram::{Bytes, Ram};
use bytelog_cli::error::Error;
use bytelog_cli::image::Image;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub const UUID: &str = "01234567-89ab-cdef-fedc-ba9876543210";
pub const SIZE: u64 = 24 << 20;

/// A directory of its own for a test's files.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("suite-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a program of e2fsprogs; its status and what it said.
pub fn e2(line: &str, image: &Path, stdin: Option<&Path>) -> (i32, String) {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap();
    let mut command = Command::new(program);
    // The directories that the programs are in are not in everybody's path.
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    // What they write is the same every time.
    command.env("E2FSPROGS_FAKE_TIME", "1790000000");
    command.args(words).arg(image);
    command.stdin(match stdin {
        Some(path) => fs::File::open(path).unwrap().into(),
        None => Stdio::null(),
    });
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), said)
}

/// A file that the log is to create.
#[derive(Clone)]
pub struct Made {
    pub name: String,
    pub ino: u32,
    pub content: Vec<u8>,
    /// The inode as it is on the media.
    pub inode: Vec<u8>,
    /// Where that is.
    pub inode_at: u64,
    /// First block and number of blocks of its data.
    pub extent: (u64, u16),
}

/// An empty filesystem and files that could be in it.
#[derive(Clone)]
pub struct Fixture {
    pub empty: Bytes,
    /// With the files in it.
    pub full: Bytes,
    pub files: Vec<Made>,
}

pub fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

/// Bytes of a file that no other has.
fn content(number: usize) -> Vec<u8> {
    let line = format!("file number {number} of the log\n");
    line.repeat(1 + 40 * (number % 7)).into_bytes()
}

impl Fixture {
    /// A filesystem made with `options`, and `count` files.
    pub fn new(options: &str, count: usize) -> Self {
        Self::prepared(options, count, |_| {})
    }

    /// A filesystem whose journal has every second block of a range.
    pub fn fragmented(count: usize) -> Self {
        Self::prepared("-b 4096 -O ^has_journal", count, |path| {
            // Taken in the bitmap only, while the journal is made; e2fsck gives them back.
            let mut script = String::new();
            for block in (1000..5000).step_by(2) {
                script += &format!("setb {block}\n");
            }
            let commands = path.with_extension("setb");
            fs::write(&commands, script).unwrap();
            let (status, said) = e2("debugfs -w -f -", path, Some(&commands));
            assert_eq!(status, 0, "debugfs: {said}");
            let (status, said) = e2("tune2fs -O fast_commit -J size=4", path, None);
            assert_eq!(status, 0, "tune2fs: {said}");
            let (status, said) = e2("e2fsck -fy", path, None);
            assert!(status <= 1, "e2fsck: {said}");
        })
    }

    /// The same after `prepare` has changed the empty filesystem.
    fn prepared(options: &str, count: usize, prepare: impl Fn(&Path)) -> Self {
        let dir = Dir::new();
        let (empty, full) = (dir.path("empty.img"), dir.path("full.img"));
        fs::File::create(&empty).unwrap().set_len(SIZE).unwrap();
        let line = format!(
            "mke2fs -q -F -t ext4 -U {UUID} -E hash_seed={UUID},lazy_itable_init=0 -N 1024 -O fast_commit {options}"
        );
        let (status, said) = e2(&line, &empty, None);
        assert_eq!(status, 0, "{line}: {said}");
        prepare(&empty);
        fs::copy(&empty, &full).unwrap();
        let mut script = String::new();
        for number in 0..count {
            let path = dir.path(&format!("file{number:04}"));
            fs::write(&path, content(number)).unwrap();
            script += &format!("write {} file{number:04}\n", path.display());
        }
        let commands = dir.path("commands");
        fs::write(&commands, script).unwrap();
        let (status, said) = e2("debugfs -w -f -", &full, Some(&commands));
        assert_eq!(status, 0, "debugfs: {said}");
        let block_size = 1024 << le32(&fs::read(&empty).unwrap(), 1024 + 0x18);
        Self::of(
            fs::read(&empty).unwrap(),
            fs::read(&full).unwrap(),
            count,
            block_size,
        )
    }

    fn of(mut empty: Vec<u8>, whole: Vec<u8>, count: usize, block_size: u64) -> Self {
        let full = whole.as_slice();
        let inode_size = usize::from(le16(full, 1024 + 0x58));
        let desc = ((u64::from(le32(full, 1024 + 0x14)) + 1) * block_size) as usize;
        let table = u64::from(le32(full, desc + 8)) * block_size;
        let first = le32(full, 1024 + 0x54);
        let mut files = Vec::new();
        for number in 0..count {
            // After lost+found and, where there is one, the orphan file.
            let name = format!("file{number:04}");
            let ino = (first..)
                .nth(number + usize::from(has_orphan_file(full)) + 1)
                .unwrap();
            let at = table as usize + (ino as usize - 1) * inode_size;
            let inode = full[at..at + inode_size].to_vec();
            let extent = (u64::from(le32(&inode, 0x28 + 20)), le16(&inode, 0x28 + 16));
            let (from, len) = (extent.0 * block_size, u64::from(extent.1) * block_size);
            let data = (from as usize)..(from + len) as usize;
            // The data reached its place before the log said so.
            empty[data.clone()].copy_from_slice(&full[data]);
            let content = content(number);
            assert_eq!(le32(&inode, 4) as usize, content.len(), "{name}");
            files.push(Made {
                name,
                ino,
                content,
                inode,
                inode_at: at as u64,
                extent,
            });
        }
        Self {
            empty: Bytes::new(empty),
            full: Bytes::new(whole),
            files,
        }
    }
}

fn has_orphan_file(image: &[u8]) -> bool {
    le32(image, 1024 + 0x5c) & 0x1000 != 0
}

/// Opens a filesystem with an internal journal.
pub fn open(store: std::rc::Rc<Ram>) -> Result<Image, Error> {
    Image::of(store, |_| Err(Error::failed("ram", "no journal device")))
}

/// What e2fsck makes of an image: its exit status, and which of `files` are there,
/// with the right content.
pub fn e2fsck(image: &[u8], files: &[Made], dir: &Dir) -> (i32, String, Vec<bool>) {
    let path = dir.path("checked.img");
    fs::write(&path, image).unwrap();
    let (status, said) = e2("e2fsck -fy", &path, None);
    let there = present(&path, files, dir);
    (status, said, there)
}

/// Which of `files` an image has, with the right content.
pub fn present(path: &Path, files: &[Made], dir: &Dir) -> Vec<bool> {
    let mut script = String::new();
    for file in files {
        let out = dir.path(&format!("out-{}", file.name));
        let _ = fs::remove_file(&out);
        script += &format!("dump {} {}\n", file.name, out.display());
    }
    let commands = dir.path("dump");
    fs::write(&commands, script).unwrap();
    e2("debugfs -f -", path, Some(&commands));
    let is_there = |file: &Made| {
        let out = fs::read(dir.path(&format!("out-{}", file.name)));
        out.is_ok_and(|bytes| bytes == file.content)
    };
    files.iter().map(is_there).collect()
}
