// SPDX-License-Identifier: GPL-2.0

//! `bytelog verify`: the reader's verdict.

use super::table::count;
use crate::error::{Result, Status};
use crate::image::Image;
use crate::log::inspect::{inspect, Finding, State};
use crate::log::survivors::Survivor;
use crate::report::{Name, Report};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write;

/// What becomes of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There is no log that recovery would read.
    Nothing,
    /// All of it is replayed.
    Whole,
    /// A power cut left a fast commit unfinished that nobody was told of; all in front
    /// of it is replayed.
    Torn,
    /// The log uses features that this version does not know.
    Later,
    /// Acknowledged fast commits are missing: nothing is replayed.
    Damaged,
}

/// What `bytelog verify` tells.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verified {
    device: String,
    verdict: Verdict,
    state: State,
    tid: Option<u32>,
    /// Full commits that are written back before.
    transactions: u32,
    commits: u32,
    records: u64,
    payload_bytes: u64,
    /// Blocks of a log in stock format.
    stock_blocks: Option<u32>,
    /// Where reading ended, for a torn or damaged log.
    finding: Option<Finding>,
    /// Records beyond that place.
    beyond: Vec<Survivor>,
}

/// Checks the log of `image`.
pub fn verify(image: &Image) -> Result<Verified> {
    let found = inspect(image, None)?;
    if let Some(fault) = found.journal_fault() {
        return Err(fault.clone());
    }
    let stock_fault = found.stock.as_ref().and_then(|stock| stock.fault);
    let verdict = match found.state {
        State::Later => Verdict::Later,
        State::Damaged => Verdict::Damaged,
        State::Stock if stock_fault.is_some() => Verdict::Damaged,
        _ if found.torn.is_some() => Verdict::Torn,
        State::V1 | State::V2 | State::Stock => Verdict::Whole,
        _ => Verdict::Nothing,
    };
    let stock_finding = stock_fault.map(|reason| Finding {
        offset: 0,
        file_offset: found.area.as_ref().and_then(|area| area.file_offset(0)),
        reason: reason.to_owned(),
    });
    let sealed = || found.sealed();
    Ok(Verified {
        device: image.store.name().to_owned(),
        verdict,
        state: found.state,
        tid: found.tid,
        transactions: found.ring.as_ref().map_or(0, |ring| ring.transactions()),
        stock_blocks: found.stock.as_ref().map(|stock| stock.blocks),
        commits: match &found.stock {
            Some(stock) => stock.commits,
            None => sealed().map(|entry| entry.commit).max().unwrap_or(0),
        },
        records: sealed().count() as u64,
        payload_bytes: sealed().map(|entry| entry.payload.len() as u64).sum(),
        finding: found
            .damage
            .clone()
            .or(stock_finding)
            .or(found.torn.clone()),
        beyond: found.survivors,
    })
}

impl Verified {
    /// What becomes of the log.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}

impl Report for Verified {
    const NAME: Name = Name::Verify;

    fn text(&self) -> String {
        let mut out = format!("{}: {}\n", self.device, self.state.text());
        // Writing to a string does not fail, here and below.
        if let Some(tid) = self.tid.filter(|_| self.commits > 0) {
            let what = match self.stock_blocks {
                Some(blocks) => count(blocks, "block"),
                None => format!(
                    "{} of {} bytes",
                    count(self.records, "record"),
                    self.payload_bytes
                ),
            };
            let _ = writeln!(
                out,
                "transaction {tid}: {}, {what}, every checksum right",
                count(self.commits, "fast commit"),
            );
        }
        if let Some(finding) = &self.finding {
            let place = finding
                .file_offset
                .map_or(String::new(), |at| format!(" (byte {at} of the device)"));
            let _ = writeln!(
                out,
                "reading ended at offset {} of the area{place}: {}",
                finding.offset, finding.reason
            );
        }
        for record in &self.beyond {
            let _ = writeln!(out, "  {record}");
        }
        if self.transactions > 0 {
            let _ = writeln!(
                out,
                "{} to write back first",
                count(self.transactions, "full commit")
            );
        }
        let _ = writeln!(
            out,
            "{}",
            match self.verdict {
                Verdict::Nothing if self.transactions > 0 => "no fast commit to replay",
                Verdict::Nothing => "nothing to replay",
                Verdict::Whole => "whole: all of it is replayed",
                Verdict::Torn =>
                    "torn end, as a power cut leaves it: the unfinished commit was not acknowledged, all \
                     in front of it is replayed",
                Verdict::Later =>
                    "not replayed by this version: mount with the module of the later one, or use its \
                     bytelog export",
                Verdict::Damaged =>
                    "damaged: acknowledged fsyncs are missing, nothing is replayed. Keep a copy of the \
                     device; mount with -o ro,noload to read what was committed in full; bytelog export \
                     --up-to-damage or --discard-log, with --dry-run first, gives up what they name",
            }
        );
        out
    }

    fn status(&self) -> Status {
        match self.verdict {
            Verdict::Damaged | Verdict::Later => Status::Refused,
            _ => Status::Fine,
        }
    }
}
