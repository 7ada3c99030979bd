// SPDX-License-Identifier: GPL-2.0

//! The module's directory in debugfs, which every mount has a directory in.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use kernel::{
    debugfs::Dir,
    prelude::*,
    sync::{global_lock, SetOnce},
};

global_lock! {
    // SAFETY: Initialised by `Root::new()`, and locked only once `READY` is set.
    unsafe(uninit) static ROOT: Mutex<Option<Dir>> = None;
}

/// Set by whoever may initialise `ROOT`.
static BEGUN: SetOnce<()> = SetOnce::new();
/// Set when `ROOT` has been initialised.
static READY: SetOnce<()> = SetOnce::new();

/// The directory, for as long as the module is loaded.
///
/// # Invariants
///
/// Made by [`Root::new`] only, which succeeds once.
pub(crate) struct Root(());

impl Root {
    /// Creates the directory. Fails with `EEXIST` if that has been done.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        if !BEGUN.populate(()) {
            return Err(EEXIST);
        }
        // SAFETY: Only one caller gets here, and nobody locks before `READY`.
        unsafe { ROOT.init() };
        READY.populate(());
        *ROOT.lock() = Some(Dir::new(name));
        // INVARIANT: `BEGUN` lets one caller get here.
        Ok(Self(()))
    }

    /// The directory, while a [`Root`] exists.
    pub(crate) fn dir() -> Option<Dir> {
        READY.as_ref()?;
        ROOT.lock().clone()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        *ROOT.lock() = None;
    }
}
