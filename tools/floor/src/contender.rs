// SPDX-License-Identifier: GPL-2.0

//! What is compared: ways to append so many bytes and make them durable.

use crate::pmdk::PmemLog;
use crate::pmem::{self, Area, Stores, LINE};
use crate::writer::{tlvs, Crc, Log};
use anyhow::{Context, Result};
use bytelog::crc::Crc32c;
use std::hint::black_box;
use std::path::Path;

/// Bytes of the areas.
pub const AREA: usize = 16 << 20;

/// A way to append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// Copy, CRC32C, write-back, one fence.
    Floor,
    /// The writer that the module runs.
    Bytelog,
    /// The same with stores past the caches.
    BytelogStreaming,
    /// Copy and make durable; then the head, the same way.
    TwoFence,
    /// PMDK's pmemlog_append().
    Pmemlog,
}

impl Way {
    /// All, in the order of a round.
    pub const ALL: [Self; 5] = [
        Self::Floor,
        Self::Bytelog,
        Self::BytelogStreaming,
        Self::TwoFence,
        Self::Pmemlog,
    ];

    /// The name in tables and rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Bytelog => "bytelog",
            Self::BytelogStreaming => "bytelog_streaming",
            Self::TwoFence => "two_fence",
            Self::Pmemlog => "pmemlog",
        }
    }
}

/// The areas, and what is appended.
pub struct Bench {
    area: Area,
    log: Log,
    pmemlog: Option<PmemLog>,
    tlvs: Vec<Vec<u8>>,
    bytes: Vec<u8>,
}

impl Bench {
    /// Appends of `bytes` bytes of TLVs, to files in a directory.
    pub fn new(dir: &Path, bytes: usize) -> Result<Self> {
        let tlvs = tlvs(bytes);
        Ok(Self {
            area: Area::new(&dir.join("floor.img"), AREA)?,
            log: Log::new(AREA)?,
            pmemlog: PmemLog::new(&dir.join("floor.pmemlog"), AREA)?,
            bytes: tlvs.concat(),
            tlvs,
        })
    }

    /// What writes lines back.
    pub fn instruction(&self) -> String {
        self.area.instruction()
    }

    /// Whether a way can be measured here.
    pub fn has(&self, way: Way) -> bool {
        way != Way::Pmemlog || self.pmemlog.is_some()
    }

    /// So many appends that all fit, with room for headers.
    pub fn most(&self) -> usize {
        AREA / 2 / (self.bytes.len() + 2 * LINE)
    }

    /// Makes `count` appends, from the start of the area on; `around` is handed the
    /// appends alone, to be measured.
    pub fn run<T>(
        &mut self,
        way: Way,
        count: usize,
        around: impl FnOnce(&mut dyn FnMut() -> Result<()>) -> T,
    ) -> T {
        let Self {
            area,
            log,
            pmemlog,
            tlvs,
            bytes,
        } = self;
        match way {
            Way::Floor => around(&mut || {
                let mut at = LINE;
                for _ in 0..count {
                    black_box(Crc::update(!0, bytes));
                    area.copy_in(at, bytes).context("area")?;
                    area.write_back(at, bytes.len());
                    pmem::fence();
                    at += bytes.len();
                }
                Ok(())
            }),
            Way::Bytelog | Way::BytelogStreaming => {
                let stores = match way {
                    Way::Bytelog => Stores::WriteBack,
                    _ => Stores::NonTemporal,
                };
                log.restart();
                around(&mut || {
                    for _ in 0..count {
                        log.commit(area, stores, tlvs)?;
                    }
                    Ok(())
                })
            }
            Way::TwoFence => around(&mut || {
                let mut at = LINE;
                for _ in 0..count {
                    area.copy_in(at, bytes).context("area")?;
                    area.write_back(at, bytes.len());
                    pmem::fence();
                    at += bytes.len();
                    area.copy_in(0, &at.to_le_bytes()).context("area")?;
                    area.write_back(0, size_of::<usize>());
                    pmem::fence();
                }
                Ok(())
            }),
            Way::Pmemlog => {
                if let Some(pmemlog) = pmemlog {
                    pmemlog.rewind();
                }
                around(&mut || {
                    let pmemlog = pmemlog.as_mut().context("no libpmemlog")?;
                    (0..count).try_for_each(|_| pmemlog.append(bytes))
                })
            }
        }
    }
}
