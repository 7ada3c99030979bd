// SPDX-License-Identifier: GPL-2.0
//! Kernel modules: loading with dependencies, by modules.dep.

use anyhow::{bail, Context, Result};
use rustix::io::Errno;
use rustix::system::{delete_module, finit_module};
use std::collections::HashMap;
use std::ffi::{c_int, CString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// MODULE_INIT_COMPRESSED_FILE: the kernel decompresses.
const COMPRESSED: c_int = 4;

/// Loads one module file. One that is loaded already is no error.
pub fn insert(path: &Path, params: &str) -> Result<()> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let packed = path.extension().is_some_and(|ext| ext != "ko");
    let flags = if packed { COMPRESSED } else { 0 };
    match finit_module(&file, &CString::new(params)?, flags) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(err) => Err(err).with_context(|| format!("load {}", path.display())),
    }
}

pub fn remove(name: &str) -> Result<()> {
    // O_NONBLOCK: refuse at once when the module is in use.
    const O_NONBLOCK: c_int = 0o4000;
    delete_module(&CString::new(name)?, O_NONBLOCK).with_context(|| format!("unload {name}"))
}

fn stem(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

fn base() -> PathBuf {
    let uname = rustix::system::uname();
    Path::new("/lib/modules").join(uname.release().to_string_lossy().as_ref())
}

/// Loads a module of the running kernel with its dependencies.
pub fn load(name: &str, deps_only: bool) -> Result<()> {
    let base = base();
    let list = base.join("modules.dep");
    let text = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    let table = parse(&text);
    let Some((path, deps)) = table.get(name) else {
        if Path::new("/sys/module").join(name).exists() {
            return Ok(());
        }
        bail!("not in modules.dep");
    };
    // modules.dep lists what is needed first last.
    for dep in deps.iter().rev() {
        insert(&base.join(dep), "")?;
    }
    if deps_only {
        return Ok(());
    }
    insert(&base.join(path), "")
}

type Table<'a> = HashMap<String, (&'a str, Vec<&'a str>)>;

fn parse(text: &str) -> Table<'_> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, deps)| (stem(path), (path, deps.split_whitespace().collect())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_dep_lines() {
        let table = parse("kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/lib/a-b.ko\nkernel/lib/a-b.ko:\n");
        assert_eq!(table["ext4"].1.len(), 2);
        assert_eq!(table["a_b"], ("kernel/lib/a-b.ko", vec![]));
    }
}
