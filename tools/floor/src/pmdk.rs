// SPDX-License-Identifier: GPL-2.0

//! PMDK's append-only log, from the library that Debian packages. It is looked up
//! when the program runs: where it is not, it is not measured.

use anyhow::{ensure, Context, Result};
use libloading::{Library, Symbol};
use std::ffi::{c_int, c_void, CString};
use std::path::Path;

type Create = unsafe extern "C" fn(*const i8, usize, u32) -> *mut c_void;
type Append = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> c_int;
type OfPool = unsafe extern "C" fn(*mut c_void);

/// A log in a file of its own.
pub struct PmemLog {
    pool: *mut c_void,
    append: Append,
    rewind: OfPool,
    close: OfPool,
    /// What the functions are in.
    _library: Library,
}

impl PmemLog {
    /// Makes the file; `None` where there is no such library.
    pub fn new(path: &Path, len: usize) -> Result<Option<Self>> {
        // SAFETY: PMDK's initialisers need nothing; it is told through the environment
        // that the file is persistent memory, before it looks.
        let library = unsafe {
            std::env::set_var("PMEM_IS_PMEM_FORCE", "1");
            Library::new("libpmemlog.so.1")
        };
        let Ok(library) = library else {
            return Ok(None);
        };
        let _ = std::fs::remove_file(path);
        let name = CString::new(path.to_string_lossy().as_bytes())?;
        // SAFETY: The types are those of libpmemlog.h, and the name is a string.
        unsafe {
            let create: Symbol<Create> = library.get(b"pmemlog_create")?;
            let append: Symbol<Append> = library.get(b"pmemlog_append")?;
            let rewind: Symbol<OfPool> = library.get(b"pmemlog_rewind")?;
            let close: Symbol<OfPool> = library.get(b"pmemlog_close")?;
            let (append, rewind, close) = (*append, *rewind, *close);
            let pool = create(name.as_ptr(), len, 0o600);
            ensure!(!pool.is_null(), "pmemlog_create {}", path.display());
            Ok(Some(Self {
                pool,
                append,
                rewind,
                close,
                _library: library,
            }))
        }
    }

    /// Appends and makes durable.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        // SAFETY: The pool is open, and the bytes are there.
        let result = unsafe { (self.append)(self.pool, bytes.as_ptr().cast(), bytes.len()) };
        (result == 0).then_some(()).context("pmemlog_append")
    }

    /// Begins at the start again.
    pub fn rewind(&mut self) {
        // SAFETY: The pool is open.
        unsafe { (self.rewind)(self.pool) };
    }
}

impl Drop for PmemLog {
    fn drop(&mut self) {
        // SAFETY: The pool is open, and not used afterwards.
        unsafe { (self.close)(self.pool) };
    }
}
