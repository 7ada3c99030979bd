// SPDX-License-Identifier: GPL-2.0

//! `bytelog capture`: what concerns the log, and nothing else, in a sparse file.

use super::table::count;
use crate::copy::Interrupt;
use crate::error::{Error, Result};
use crate::export::home::Home;
use crate::image::{Image, Place};
use crate::jbd2::recover::Wrong;
use crate::log::inspect::inspect;
use crate::new_file::{apart, NewFile};
use crate::report::{Name, Report};
use crate::store::{Access, FileStore, Store};
use bytelog::reader::ReadArea;
use schemars::JsonSchema;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::rc::Rc;

/// Bytes that are copied together.
const UNIT: u64 = 4096;

/// What stands at the start of a capture, where the boot block of a filesystem is.
const MARK: &[u8] = b"bytelog capture: of a filesystem, what concerns its log\n\0";

/// Where to.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The file to make.
    #[arg(value_name = "FILE")]
    to: PathBuf,
    /// Another one, for a journal on a device of its own.
    #[arg(long, value_name = "FILE")]
    journal_to: Option<PathBuf>,
}

/// What `bytelog capture` tells.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Captured {
    files: Vec<Copied>,
}

/// A file that was made.
#[derive(Debug, Serialize, JsonSchema)]
struct Copied {
    file: String,
    /// Its length, holes included.
    bytes: u64,
    /// Bytes in it that were copied.
    copied: u64,
}

/// A store that notes which units of it are read.
struct Noting {
    store: FileStore,
    read: RefCell<BTreeSet<u64>>,
}

impl Store for Noting {
    fn name(&self) -> &str {
        self.store.name()
    }

    fn base(&self) -> u64 {
        self.store.base()
    }

    fn len(&self) -> u64 {
        self.store.len()
    }

    fn read_at(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        self.store.read_at(at, buf)?;
        let end = at.saturating_add(buf.len() as u64);
        let units = at / UNIT..end.div_ceil(UNIT);
        self.read.borrow_mut().extend(units);
        Ok(())
    }

    fn write_at(&self, at: u64, _bytes: &[u8]) -> Result<()> {
        Err(Error::failed(self.name(), "this is for reading only").at(at))
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// Copies what the other subcommands read of the filesystem at `place`.
pub fn capture(place: &Place, args: &Args) -> Result<Captured> {
    apart(&args.to, args.journal_to.as_deref())?;
    let mut stores: Vec<Rc<Noting>> = Vec::new();
    let place = &Place {
        falls_back: true,
        ..place.clone()
    };
    let image = Image::open_through(place, Access::Read, |store| {
        let read = RefCell::default();
        let store = Rc::new(Noting { store, read });
        stores.push(store.clone());
        store
    })?;
    let found = inspect(&image, None)?;
    if let Some(ring) = &found.ring {
        // What would keep an export from being made is no obstacle here.
        let _ = Home::new(&image, ring, &found.tlvs(), Wrong::Skip);
    }
    if let Some(area) = &found.area {
        let mut block = vec![0; image.journal.block_size() as usize];
        for at in (0..area.len()).step_by(block.len()) {
            area.copy_out(at, &mut block)?;
        }
    }
    for at in image.sb.backups() {
        // Only those that can be read are of use.
        let _ = image.sb.backup(image.store.as_ref(), at);
    }
    let size = image.sb.block_size();
    let targets = [
        (Some(&args.to), image.sb.blocks_count() * size),
        (
            args.journal_to.as_ref(),
            u64::from(image.journal.sb.maxlen()) * size,
        ),
    ];
    let mut files = Vec::new();
    for (store, (path, len)) in stores.iter().zip(targets) {
        let path = path.ok_or_else(|| {
            Error::refused(store.name(), "the journal is on a device of its own")
                .remedy("name a file for it with --journal-to")
        })?;
        files.push((store, NewFile::create(path)?, len));
    }
    let interrupt = Interrupt::noted()?;
    let copied = files.iter();
    let copied = copied.map(|(store, file, len)| store.copy(file, *len, &interrupt));
    let copied = copied.collect::<Result<_>>()?;
    for (number, (_, file, _)) in files.into_iter().enumerate() {
        // The filesystem's is the first.
        if number == 0 {
            let marked = file.file().write_all_at(MARK, 0);
            marked.map_err(|error| Error::failed(&file.name(), error))?;
        }
        file.keep();
    }
    Ok(Captured { files: copied })
}

/// Whether `store` is what [`capture`] has made of a filesystem.
pub fn is_capture(store: &dyn Store) -> Result<bool> {
    Ok(store.len() >= MARK.len() as u64 && store.read(0, MARK.len())? == MARK)
}

impl Noting {
    /// Makes a file of `len` bytes with what was read.
    fn copy(&self, to: &NewFile, len: u64, interrupt: &Interrupt) -> Result<Copied> {
        let whole = len.min(self.len());
        let (name, file) = (to.name(), to.file());
        let fail = |error: std::io::Error| Error::failed(&name, error);
        file.set_len(whole).map_err(fail)?;
        let mut copied = 0;
        for unit in self.read.borrow().iter() {
            interrupt.check(to)?;
            let at = unit * UNIT;
            let len = UNIT.min(whole.saturating_sub(at));
            let mut bytes = vec![0; len as usize];
            self.store.read_at(at, &mut bytes)?;
            file.write_all_at(&bytes, at).map_err(fail)?;
            copied += len;
        }
        Ok(Copied {
            file: name,
            bytes: whole,
            copied,
        })
    }
}

impl Report for Captured {
    const NAME: Name = Name::Capture;

    fn text(&self) -> String {
        let lines = self.files.iter().map(|file| {
            format!(
                "{}: {} of {}\n",
                file.file,
                file.copied,
                count(file.bytes, "byte")
            )
        });
        lines.collect()
    }
}
