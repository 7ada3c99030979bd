// SPDX-License-Identifier: GPL-2.0

//! An area in stock format: what ext4 would replay of it, as
//! `ext4_fc_replay_scan()` has it.

use crate::bytes::{le16, le32};
use crate::crc::crc32c;
use crate::error::Result;
use bytelog::reader::ReadArea;
use bytelog::tlv::{Tag, TL_LEN};
use schemars::JsonSchema;
use serde::Serialize;

/// What ext4 would replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StockLog {
    /// Fast commits: TAILs whose checksum is right.
    pub commits: u32,
    /// Blocks up to the last of them.
    pub blocks: u32,
    /// Its TLVs put together, without those that only frame blocks.
    #[serde(skip)]
    pub tlvs: Vec<u8>,
    /// Each of them.
    #[serde(skip)]
    pub each: Vec<StockCommit>,
    /// Why ext4 would fail to mount instead.
    pub fault: Option<&'static str>,
}

/// A fast commit in stock format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StockCommit {
    /// Bytes from the start of the area to its first TLV.
    pub offset: u64,
    /// Bytes from the start of the area to its TAIL.
    pub tail: u64,
    /// Whether it begins with a HEAD, as the first of a transaction does.
    pub has_head: bool,
    /// Checksum in its TAIL.
    pub crc: u32,
    /// Its TLVs, without those that only frame blocks.
    pub tlvs: Vec<u8>,
}

/// How far the scan has come.
struct Scanner {
    tid: u32,
    crc: u32,
    log: StockLog,
    /// What came since the last TAIL.
    open: StockCommit,
}

/// What to do after a block.
enum Next {
    Continue,
    Stop,
}

/// Scans `area`, of blocks of `block_size` bytes, for fast commits of `tid`.
pub fn scan<A>(area: &A, block_size: usize, tid: u32) -> Result<StockLog>
where
    A: ReadArea<Error = crate::error::Error>,
{
    let mut scanner = Scanner {
        tid,
        crc: 0,
        log: StockLog::default(),
        open: StockCommit::default(),
    };
    let mut block = vec![0; block_size];
    let blocks = area.len() / block_size as u64;
    for number in 0..blocks {
        area.copy_out(number * block_size as u64, &mut block)?;
        if number == 0 && le16(&block, 0) != Tag::Head.raw() {
            return Ok(scanner.log);
        }
        if let Next::Stop = scanner.block(&block, number as u32) {
            return Ok(scanner.log);
        }
    }
    // jbd2 reads on behind the area's last block, and fails.
    scanner.log.fault = Some("no block ends the log");
    Ok(scanner.log)
}

impl Scanner {
    /// The log's end, or a failed mount where there is no log in front of it.
    fn stop(&mut self, fault: &'static str) -> Next {
        if self.log.commits == 0 {
            self.log.fault = Some(fault);
        }
        Next::Stop
    }

    fn block(&mut self, block: &[u8], number: u32) -> Next {
        let mut rest = block;
        while rest.len() >= TL_LEN {
            let (raw, len) = (le16(rest, 0), usize::from(le16(rest, 2)));
            let tag = Tag::from_raw(raw).filter(|tag| *tag != Tag::Anchor);
            let (Some(tag), Some(value)) = (tag, rest.get(TL_LEN..TL_LEN + len)) else {
                return self.stop("a TLV of no known tag, or beyond its block");
            };
            if !tag.value_len_is_valid(len) {
                return self.stop("a TLV of an impossible length");
            }
            let (tlv, behind) = rest.split_at(TL_LEN + len);
            let at = u64::from(number) * block.len() as u64 + (block.len() - rest.len()) as u64;
            match tag {
                Tag::Head => {
                    if le32(value, 0) != 0 {
                        self.log.fault = Some("HEAD names unknown features");
                        return Next::Stop;
                    }
                    if le32(value, 4) != self.tid {
                        return Next::Stop;
                    }
                    self.crc = crc32c(self.crc, tlv);
                    self.open.has_head = true;
                }
                Tag::Tail => {
                    let covered = tlv.get(..TL_LEN + 4).unwrap_or_default();
                    let crc = crc32c(self.crc, covered);
                    if le32(value, 0) != self.tid || le32(value, 4) != crc {
                        return self.stop("the first TAIL's tid or checksum is wrong");
                    }
                    self.crc = 0;
                    self.log.commits += 1;
                    self.log.blocks = number + 1;
                    self.open.tail = at;
                    self.open.crc = crc;
                    let done = std::mem::take(&mut self.open);
                    self.log.tlvs.extend_from_slice(&done.tlvs);
                    self.log.each.push(done);
                    self.open.offset = at + tlv.len() as u64;
                }
                _ => {
                    self.crc = crc32c(self.crc, tlv);
                    if tag != Tag::Pad {
                        self.open.tlvs.extend_from_slice(tlv);
                    }
                }
            }
            rest = behind;
        }
        Next::Continue
    }
}
