// SPDX-License-Identifier: GPL-2.0

//! A store in RAM that shares its bytes with its copies until it is written to, and
//! notes what it is asked.

use bytelog_cli::error::{Error, Result};
use bytelog_cli::store::{Store, SECTOR};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// What a store was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Write {
        at: u64,
        bytes: Vec<u8>,
    },
    /// What lies in this range is durable.
    Sync {
        from: u64,
        to: u64,
    },
}

/// Bytes, with sectors that differ from those they began as.
#[derive(Clone)]
pub struct Bytes {
    base: Arc<Vec<u8>>,
    changed: BTreeMap<u64, Vec<u8>>,
}

impl Bytes {
    pub fn new(base: Vec<u8>) -> Self {
        Self {
            base: Arc::new(base),
            changed: BTreeMap::new(),
        }
    }

    pub fn len(&self) -> u64 {
        self.base.len() as u64
    }

    fn sector(&self, number: u64) -> &[u8] {
        let at = number as usize * SECTOR;
        match self.changed.get(&number) {
            Some(sector) => sector,
            None => &self.base[at..at + SECTOR],
        }
    }

    pub fn read(&self, at: u64, buf: &mut [u8]) {
        let mut at = at as usize;
        let mut done = 0;
        while done < buf.len() {
            let (number, from) = (at / SECTOR, at % SECTOR);
            let len = (SECTOR - from).min(buf.len() - done);
            let sector = self.sector(number as u64);
            buf[done..done + len].copy_from_slice(&sector[from..from + len]);
            done += len;
            at += len;
        }
    }

    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        let mut at = at as usize;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (number, from) = (at / SECTOR, at % SECTOR);
            let len = (SECTOR - from).min(rest.len());
            let mut sector = self.sector(number as u64).to_vec();
            sector[from..from + len].copy_from_slice(&rest[..len]);
            self.changed.insert(number as u64, sector);
            rest = &rest[len..];
            at += len;
        }
    }

    /// The whole, put together.
    pub fn whole(&self) -> Vec<u8> {
        let mut whole = self.base.as_ref().clone();
        for (number, sector) in &self.changed {
            let at = *number as usize * SECTOR;
            whole[at..at + SECTOR].copy_from_slice(sector);
        }
        whole
    }
}

/// A store over them.
pub struct Ram {
    pub bytes: RefCell<Bytes>,
    pub ops: RefCell<Vec<Op>>,
    /// What cannot be read until it is written.
    lost: RefCell<Vec<(u64, u64)>>,
}

impl Ram {
    pub fn new(bytes: Bytes) -> Rc<Self> {
        Rc::new(Self {
            bytes: RefCell::new(bytes),
            ops: RefCell::new(Vec::new()),
            lost: RefCell::default(),
        })
    }

    /// Has `len` bytes at `at` be lost, as persistent memory loses lines.
    pub fn lose(&self, at: u64, len: u64) {
        self.lost.borrow_mut().push((at, at + len));
    }
}

impl Store for Ram {
    fn name(&self) -> &str {
        "ram"
    }

    fn len(&self) -> u64 {
        self.bytes.borrow().len()
    }

    fn read_at(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        let end = at.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(Error::refused("ram", "beyond the end").at(at));
        }
        let end = at + buf.len() as u64;
        if self
            .lost
            .borrow()
            .iter()
            .any(|(from, to)| at < *to && *from < end)
        {
            return Err(Error::failed("ram", "Input/output error").at(at));
        }
        self.bytes.borrow().read(at, buf);
        Ok(())
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let end = at.checked_add(bytes.len() as u64);
        assert!(
            end.is_some_and(|end| end <= self.len()),
            "write beyond the end"
        );
        self.bytes.borrow_mut().write(at, bytes);
        let end = at + bytes.len() as u64;
        self.lost
            .borrow_mut()
            .retain(|(from, to)| *from < at || *to > end);
        let bytes = bytes.to_vec();
        self.ops.borrow_mut().push(Op::Write { at, bytes });
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let (from, to) = (0, self.len());
        self.ops.borrow_mut().push(Op::Sync { from, to });
        Ok(())
    }
}

/// A part of such a store, as if it were a device of its own.
pub struct Part {
    pub ram: Rc<Ram>,
    pub from: u64,
    pub to: u64,
}

impl Store for Part {
    fn name(&self) -> &str {
        "part"
    }

    fn len(&self) -> u64 {
        self.to - self.from
    }

    fn read_at(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        let end = at.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(Error::refused("part", "beyond the end").at(at));
        }
        self.ram.read_at(self.from + at, buf)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<()> {
        assert!(at + bytes.len() as u64 <= self.len());
        self.ram.write_at(self.from + at, bytes)
    }

    fn sync(&self) -> Result<()> {
        let (from, to) = (self.from, self.to);
        self.ram.ops.borrow_mut().push(Op::Sync { from, to });
        Ok(())
    }
}
