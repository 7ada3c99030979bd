// SPDX-License-Identifier: GPL-2.0

//! Copies of filesystems: holes stay holes and are not read, and an interrupt ends it.

use crate::error::{Error, Result};
use crate::new_file::NewFile;
use rustix::fs::{seek, SeekFrom};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Bytes copied at a time.
const CHUNK: u64 = 1 << 20;

/// Whether somebody wants the command to end. As long as this is there, signals that
/// would end it are noted instead.
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Notes signals from now on.
    pub fn noted() -> Result<Self> {
        let noted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // The first is noted, the second ends the command at once.
            flag::register_conditional_shutdown(signal, 1, noted.clone())
                .and_then(|_| flag::register(signal, noted.clone()))
                .map_err(|error| Error::failed("signals", error))?;
        }
        Ok(Self(noted))
    }

    /// An error if there was one.
    pub fn check(&self, to: &NewFile) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::failed(
                &to.name(),
                "interrupted; the unfinished file is removed",
            )),
        }
    }
}

/// How far a copy is, told where somebody looks on.
pub struct Progress<'a> {
    out: Option<&'a mut dyn Write>,
    total: u64,
    done: u64,
    /// Percent told last.
    told: Option<u64>,
}

impl<'a> Progress<'a> {
    /// Tells `out`, if there is one.
    pub fn new(out: Option<&'a mut dyn Write>) -> Self {
        Self {
            out,
            total: 0,
            done: 0,
            told: None,
        }
    }

    fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        let percent = self.done.saturating_mul(100).checked_div(self.total);
        if percent == self.told {
            return;
        }
        self.told = percent;
        if let (Some(out), Some(percent)) = (&mut self.out, percent) {
            let mib = self.total >> 20;
            // It is in nobody's way if it cannot be told.
            let _ = write!(out, "\rcopying {mib} MiB: {percent} %");
            let _ = out.flush();
        }
    }

    fn end(&mut self) {
        if let Some(out) = &mut self.out {
            let _ = write!(out, "\r\x1b[K");
            let _ = out.flush();
        }
    }
}

/// Copies the bytes `range` of `from`, what is zero as holes.
pub fn copy(
    from: &Path,
    range: &Range<u64>,
    to: &NewFile,
    interrupt: &Interrupt,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let name = from.display().to_string();
    let read = |error: std::io::Error| Error::failed(&name, error);
    let wrote = |error: std::io::Error| Error::failed(&to.name(), error);
    let source = File::open(from).map_err(read)?;
    let data = data(&source, range).map_err(|error| read(error.into()))?;
    progress.total = data.iter().map(|run| run.end - run.start).sum();
    progress.done = 0;
    let mut chunk = vec![0; CHUNK as usize];
    for run in data {
        let mut at = run.start;
        while at < run.end {
            interrupt.check(to)?;
            let len = CHUNK.min(run.end - at);
            let bytes = chunk.get_mut(..len as usize).unwrap_or_default();
            source.read_exact_at(bytes, at).map_err(read)?;
            if bytes.iter().any(|byte| *byte != 0) {
                let place = at.saturating_sub(range.start);
                to.file().write_all_at(bytes, place).map_err(wrote)?;
            }
            at += len;
            progress.add(len);
        }
    }
    progress.end();
    let len = range.end.saturating_sub(range.start);
    to.file().set_len(len).map_err(wrote)
}

/// The runs of `range` that are no holes.
fn data(file: &File, range: &Range<u64>) -> rustix::io::Result<Vec<Range<u64>>> {
    let mut found = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            // A filesystem that knows no holes.
            Err(Errno::INVAL) => {
                found.push(at..range.end);
                break;
            }
            Err(error) => return Err(error),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(range.end);
        if start >= end {
            break;
        }
        found.push(start..end);
        at = end;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_not_read() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let path = std::env::temp_dir().join(format!("bytelog-holes-{}", std::process::id()));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        let (tib, mib) = (1 << 40, 1 << 20);
        file.set_len(tib)?;
        file.write_all_at(b"x", 3 * mib)?;
        file.write_all_at(b"x", tib - 1)?;
        let sum = |runs: Vec<Range<u64>>| runs.iter().map(|run| run.end - run.start).sum::<u64>();
        let all = data(&file, &(0..tib))?;
        assert!(all.iter().any(|run| run.contains(&(3 * mib))) && sum(all) < mib);
        assert!(data(&file, &(4 * mib..tib / 2))?.is_empty());
        Ok(())
    }

    #[test]
    fn an_interrupt_removes_what_is_unfinished(
    ) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let path = std::env::temp_dir().join(format!("bytelog-cut-{}", std::process::id()));
        let to = NewFile::create(&path)?;
        let interrupt = Interrupt::noted()?;
        interrupt.check(&to)?;
        signal_hook::low_level::raise(SIGHUP)?;
        let from = std::env::current_exe()?;
        let done = copy(&from, &(0..4096), &to, &interrupt, &mut Progress::new(None));
        assert!(done.is_err_and(|error| error.cause.contains("interrupted")));
        assert!(path.exists());
        drop(to);
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn progress_is_told_once_for_each_percent() {
        let mut told = Vec::new();
        let mut progress = Progress::new(Some(&mut told));
        progress.total = 1 << 30;
        for _ in 0..1024 {
            progress.add(1 << 20);
        }
        progress.end();
        let told = String::from_utf8(told).unwrap_or_default();
        assert_eq!(told.matches('%').count(), 101, "{told}");
        assert!(
            told.ends_with("\rcopying 1024 MiB: 100 %\r\x1b[K"),
            "{told}"
        );
    }
}
