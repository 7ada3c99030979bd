// SPDX-License-Identifier: GPL-2.0

//! Where the bytes are: a device, an image file, or a part of one.

use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};
use nix::libc;
use rustix::fs::{fadvise, Advice, FlockOperation, OFlags};
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Bytes of the largest page that a kernel has. Of a page that is asked for in part nothing
/// is taken away.
const LARGEST_PAGE: u64 = 1 << 16;

/// Bytes that are written together or not at all, whatever happens to the power.
pub const SECTOR: usize = 512;

/// Bytes that can be read and written.
pub trait Store {
    /// The file's name, for messages.
    fn name(&self) -> &str;

    /// Bytes from the start of the file to the start of this part of it.
    fn base(&self) -> u64 {
        0
    }

    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` from offset `at`. It is an error if there are not so many bytes.
    fn read_at(&self, at: u64, buf: &mut [u8]) -> Result<()>;

    /// Writes `bytes` at offset `at`. Until [`sync`](Self::sync) returns, any of the
    /// sectors written may have reached the medium or not.
    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<()>;

    /// Waits until everything written is durable.
    fn sync(&self) -> Result<()>;
}

impl dyn Store + '_ {
    /// An error at offset `at`, as the file has it.
    pub fn refuse(&self, at: u64, cause: impl std::fmt::Display) -> Error {
        Error::refused(self.name(), cause).at(self.base().saturating_add(at))
    }

    /// That something which is not there, at offset `at`, was asked for.
    pub fn fail(&self, at: u64, cause: impl std::fmt::Display) -> Error {
        Error::failed(self.name(), cause).at(self.base().saturating_add(at))
    }

    /// `len` bytes at offset `at`.
    pub fn read(&self, at: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.read_at(at, &mut bytes)?;
        Ok(bytes)
    }
}

/// How a file is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading only, mounted or not.
    Read,
    /// For reading only, but not while it is mounted.
    Unused,
    /// For writing, which nobody else may do meanwhile.
    Write,
}

/// A file, a device, or a part of one.
pub struct FileStore {
    file: File,
    name: String,
    base: u64,
    len: u64,
    /// Whether others may change the medium behind the back of the page cache: what is
    /// mounted with DAX on persistent memory is stored to directly.
    goes_stale: bool,
}

impl FileStore {
    /// Opens the bytes of `path` from `base` on, `len` of them or up to the end.
    pub fn open(path: &Path, access: Access, base: u64, len: Option<u64>) -> Result<Self> {
        let name = path.display().to_string();
        let file = open(path, access)?;
        let kind = file.metadata().map(|metadata| metadata.file_type());
        let is_block_device = kind.is_ok_and(|kind| kind.is_block_device());
        let end = (&file)
            .seek(SeekFrom::End(0))
            .map_err(|error| Error::failed(&name, error))?;
        if end == 0 {
            return Err(empty(&name));
        }
        let rest = end.checked_sub(base).filter(|rest| *rest > 0);
        let rest = rest.ok_or_else(|| {
            Error::failed(&name, format_args!("it ends at byte {end}"))
                .at(base)
                .remedy("check --offset")
        })?;
        Ok(Self {
            file,
            name,
            base,
            len: len.unwrap_or(rest).min(rest),
            goes_stale: access == Access::Read && is_block_device,
        })
    }

    fn place(&self, at: u64, len: usize) -> Result<u64> {
        let end = at.checked_add(len as u64);
        match (end, self.base.checked_add(at)) {
            (Some(end), Some(place)) if end <= self.len => Ok(place),
            _ => Err(Error::refused(
                &self.name,
                format_args!(
                    "{len} bytes are needed there, but the filesystem's file ends at {}",
                    self.len
                ),
            )
            .at(self.base.saturating_add(at))
            .remedy("the file is cut short, or its metadata is damaged")),
        }
    }
}

pub(crate) fn empty(name: &str) -> Error {
    Error::failed(name, "the file is empty")
        .remedy("name the device, image or partition that has the filesystem")
}

/// What a file is that no filesystem can be on; to open it could wait for ever.
fn unfit(kind: FileType) -> Option<&'static str> {
    if kind.is_file() || kind.is_block_device() {
        return None;
    }
    Some(match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_char_device() => "a character device",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a special file",
    })
}

/// Opens `path`, an image or a block device.
pub(crate) fn open(path: &Path, access: Access) -> Result<File> {
    let name = path.display().to_string();
    let fail = |error: std::io::Error| Error::open(&name, &error);
    let kind = fs::metadata(path).map_err(fail)?.file_type();
    if let Some(what) = unfit(kind) {
        let cause = format!("it is {what}, not an image or a block device");
        return Err(
            Error::failed(&name, cause).remedy("name the device or image that has the filesystem")
        );
    }
    if access == Access::Read {
        return File::open(path).map_err(fail);
    }
    let mut options = OpenOptions::new();
    options.read(true).write(access == Access::Write);
    if kind.is_block_device() {
        // Fails where the device is mounted or otherwise in use.
        options.custom_flags(OFlags::EXCL.bits() as i32);
        let file = options.open(path).map_err(|error| {
            let busy = error.kind() == std::io::ErrorKind::ResourceBusy;
            let failed = fail(error);
            if busy {
                failed.remedy("it is mounted or in use: unmount it first")
            } else {
                failed
            }
        })?;
        return range_lock(&file, access)
            .map_err(|error| locked(&name, error))
            .map(|()| file);
    }
    let file = options.open(path).map_err(fail)?;
    if let Some(device) = loop_device_of(path) {
        return Err(
            Error::failed(&name, format_args!("it is attached to {device}"))
                .remedy("name that device, or detach it with losetup -d"),
        );
    }
    // The one is unknown to the other, and programs take either.
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|error| locked(&name, error.into()))?;
    range_lock(&file, access).map_err(|error| locked(&name, error))?;
    Ok(file)
}

fn locked(name: &str, error: std::io::Error) -> Error {
    Error::failed(name, format_args!("it cannot be locked: {error}"))
        .remedy("another program is using it, such as a virtual machine or qemu-nbd: wait for that")
}

/// The byte of a file that QEMU has locked for reading when it writes to the file.
const QEMU_WRITES: i64 = 101;

/// Takes the lock of an open file description on all of the file; for reading only, which
/// cannot take it, looks that nobody writes. Those are the locks of QEMU and its tools.
fn range_lock(file: &File, access: Access) -> std::io::Result<()> {
    let lock = |kind: i32, start, len| libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        l_pid: 0,
    };
    if access == Access::Write {
        let all = lock(libc::F_WRLCK, 0, 0);
        return match fcntl(file, FcntlArg::F_OFD_SETLK(&all)) {
            // A filesystem that has no such locks.
            Ok(_) | Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        };
    }
    for mut seen in [
        lock(libc::F_RDLCK, 0, 0),
        lock(libc::F_WRLCK, QEMU_WRITES, 1),
    ] {
        let asked = fcntl(file, FcntlArg::F_OFD_GETLK(&mut seen));
        if asked.is_ok() && i32::from(seen.l_type) != libc::F_UNLCK {
            return Err(Errno::EAGAIN.into());
        }
    }
    Ok(())
}

/// The loop device that a file is behind, if there is one.
fn loop_device_of(path: &Path) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    for entry in fs::read_dir("/sys/block").ok()?.flatten() {
        let backing = fs::read_to_string(entry.path().join("loop/backing_file"));
        if backing.is_ok_and(|backing| Path::new(backing.trim_end()) == path) {
            return Some(format!("/dev/{}", entry.file_name().to_string_lossy()));
        }
    }
    None
}

impl Store for FileStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn base(&self) -> u64 {
        self.base
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        let place = self.place(at, buf.len())?;
        if self.goes_stale {
            // Takes cached pages away, so that the read goes to the medium. Those that
            // cannot be taken away are dirty or the mounted filesystem's own: not stale.
            let start = place & !(LARGEST_PAGE - 1);
            let end = place.saturating_add(buf.len() as u64);
            let len = NonZeroU64::new(end.next_multiple_of(LARGEST_PAGE) - start);
            let _ = fadvise(&self.file, start, len, Advice::DontNeed);
        }
        self.file
            .read_exact_at(buf, place)
            .map_err(|error| Error::failed(&self.name, error).at(place))
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let place = self.place(at, bytes.len())?;
        self.file
            .write_all_at(bytes, place)
            .map_err(|error| Error::failed(&self.name, error).at(place))
    }

    fn sync(&self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|error| Error::failed(&self.name, error))
    }
}
