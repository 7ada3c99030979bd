// SPDX-License-Identifier: GPL-2.0

//! `bytelog dump`: every record and every TLV.

use super::table::count;
use crate::error::{Error, Result, Status};
use crate::image::Image;
use crate::log::describe::Said;
use crate::log::features::Features;
use crate::log::inspect::{inspect, Entry, Finding, Inspection, State};
use crate::log::stock::StockLog;
use crate::log::survivors::Survivor;
use crate::report::{Name, Report};
use bytelog::opener::Opener;
use bytelog::record::Version;
use bytelog::tlv::Tlvs;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write;

/// What is to be printed.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Read the log of this transaction, whatever recovery would expect.
    #[arg(long)]
    pub tid: Option<u32>,
    /// Only this fast commit, counted from 1.
    #[arg(long)]
    pub commit: Option<u32>,
    /// The bytes of every TLV, too, in hex.
    #[arg(long)]
    pub raw: bool,
}

/// What `bytelog dump` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Dump {
    state: State,
    tid: Option<u32>,
    opener: Option<OpenerSaid>,
    records: Vec<RecordSaid>,
    /// Fast commits of a log in stock format.
    stock: Option<Vec<StockSaid>>,
    torn: Option<Finding>,
    damage: Option<Finding>,
    /// What survives behind the damage.
    beyond: Vec<SurvivorSaid>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StockSaid {
    commit: u32,
    /// Bytes from the start of the area to its first TLV, and to its TAIL.
    offset: u64,
    tail: u64,
    tid: u32,
    /// Whether it begins with a HEAD.
    head: bool,
    /// Checksum in its TAIL.
    crc: u32,
    tlvs: Vec<TlvSaid>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SurvivorSaid {
    #[serde(flatten)]
    record: Survivor,
    tlvs: Vec<TlvSaid>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct OpenerSaid {
    features: Features,
    tid: u32,
    nonce: u32,
    /// The first fast commit: bytes from the start of the area, and records.
    tail: u64,
    head: u64,
    seq: u64,
    crc: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RecordSaid {
    offset: u64,
    version: u16,
    tid: u32,
    seq: u64,
    commit: u32,
    /// Last record of its fast commit.
    seal: bool,
    /// Its fast commit was cut off before its last record: not replayed.
    unsealed: bool,
    payload_len: usize,
    tlvs: Vec<TlvSaid>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TlvSaid {
    #[serde(flatten)]
    said: Said,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
}

/// Prints the log of `image`.
pub fn dump(image: &Image, args: &Args) -> Result<Dump> {
    let tid = args.tid.or(stale_tid(image)?);
    let found = inspect(image, tid)?;
    is_there(image, &found, args)?;
    let max_tlv = image.sb.block_size() as usize - bytelog::tlv::TL_LEN;
    let records = found
        .entries
        .iter()
        .filter(|entry| args.commit.is_none_or(|commit| commit == entry.commit));
    Ok(Dump {
        state: found.state,
        tid: found.tid,
        opener: shown_opener(&found).map(OpenerSaid::of),
        records: records
            .map(|entry| RecordSaid::of(entry, max_tlv, args.raw))
            .collect(),
        stock: found
            .stock
            .as_ref()
            .map(|stock| stock_said(stock, found.tid.unwrap_or(0), max_tlv, args)),
        torn: found.torn,
        beyond: match found.damage {
            Some(_) => beyond(found.survivors, max_tlv, args.raw),
            None => Vec::new(),
        },
        damage: found.damage,
    })
}

/// An error if what is asked for is not there.
fn is_there(image: &Image, found: &Inspection<'_>, args: &Args) -> Result<()> {
    let device = image.store.name();
    let is_empty = match found.state {
        State::Stale | State::Empty => true,
        State::Stock => found.stock.as_ref().is_some_and(|stock| stock.commits == 0),
        _ => false,
    };
    if let Some(tid) = args.tid.filter(|_| is_empty) {
        let other = found.opener.filter(|_| found.state == State::Stale);
        let other = other.map_or(String::new(), |opener| format!(", it is of {}", opener.tid));
        let cause = format!("no log of transaction {tid} here{other}");
        return Err(
            Error::failed(device, cause).remedy("leave --tid out for the log that is there")
        );
    }
    let commits = match &found.stock {
        Some(stock) => stock.commits,
        None => found
            .entries
            .iter()
            .map(|entry| entry.commit)
            .max()
            .unwrap_or(0),
    };
    let missing = |commit: &u32| !(1..=commits).contains(commit);
    // Of a damaged log it is the damage that matters.
    let asked = args.commit.filter(|_| found.damage.is_none());
    if let Some(commit) = asked.filter(missing) {
        let error = Error::failed(device, format_args!("there is no fast commit {commit}"));
        return Err(error.remedy(match commits {
            0 => "there are none".to_owned(),
            1 => "there is 1 commit".to_owned(),
            many => format!("there are {many} commits"),
        }));
    }
    Ok(())
}

/// On a clean filesystem, the log that is still there, though nobody needs it.
fn stale_tid(image: &Image) -> Result<Option<u32>> {
    let found = inspect(image, None)?;
    Ok(match found.state {
        State::Clean | State::NothingCommitted | State::NoArea | State::JournalDamaged => {
            found.opener.map(|opener| opener.tid)
        }
        _ => None,
    })
}

fn shown_opener<'a>(found: &'a Inspection<'_>) -> Option<&'a Opener> {
    found
        .opener
        .as_ref()
        .filter(|opener| Some(opener.tid) == found.tid)
}

fn tlvs(run: &[u8], max_tlv: usize, raw: bool) -> Vec<TlvSaid> {
    // Checked when it was read, so that there are no errors to tell.
    let whole = Tlvs::new(run, max_tlv).filter_map(|tlv| tlv.ok());
    let said = whole.map(|tlv| TlvSaid {
        said: Said::of(&tlv),
        raw: raw.then(|| hex(tlv.bytes())),
    });
    said.collect()
}

fn stock_said(stock: &StockLog, tid: u32, max_tlv: usize, args: &Args) -> Vec<StockSaid> {
    let all = (1..).zip(&stock.each);
    let asked = all.filter(|(number, _)| args.commit.is_none_or(|asked| asked == *number));
    let said = asked.map(|(commit, stock)| StockSaid {
        commit,
        offset: stock.offset,
        tail: stock.tail,
        tid,
        head: stock.has_head,
        crc: stock.crc,
        tlvs: tlvs(&stock.tlvs, max_tlv, args.raw),
    });
    said.collect()
}

fn beyond(records: Vec<Survivor>, max_tlv: usize, raw: bool) -> Vec<SurvivorSaid> {
    let said = records.into_iter().map(|record| SurvivorSaid {
        tlvs: tlvs(record.payload.as_deref().unwrap_or_default(), max_tlv, raw),
        record,
    });
    said.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

impl OpenerSaid {
    fn of(opener: &Opener) -> Self {
        Self {
            features: Features(opener.features),
            tid: opener.tid,
            nonce: opener.nonce,
            tail: opener.tail,
            head: opener.head,
            seq: opener.seq,
            crc: opener.crc,
        }
    }
}

impl RecordSaid {
    fn of(entry: &Entry, max_tlv: usize, raw: bool) -> Self {
        let record = &entry.record;
        Self {
            offset: entry.offset,
            version: match record.version() {
                Version::V1 => 1,
                Version::V2 => 2,
            },
            tid: record.tid(),
            seq: record.seq(),
            commit: entry.commit,
            seal: record.is_sealed(),
            unsealed: !entry.sealed,
            payload_len: record.payload_len(),
            tlvs: tlvs(&entry.payload, max_tlv, raw),
        }
    }
}

impl Report for Dump {
    const NAME: Name = Name::Dump;

    fn text(&self) -> String {
        let mut out = format!("log: {}\n", self.state.text());
        if let Some(opener) = &self.opener {
            let features = match opener.features {
                Features(none) if none.is_empty() => String::new(),
                features => format!(", features {features}"),
            };
            // Writing to a string does not fail, here and below.
            let _ = writeln!(
                out,
                "opener: transaction {}, nonce {:#010x}, first commit at {}-{}, {}, crc {:#010x}{features}",
                opener.tid,
                opener.nonce,
                opener.tail,
                opener.head,
                count(opener.seq, "record"),
                opener.crc
            );
        }
        for record in &self.records {
            let end = match (record.seal, record.unsealed) {
                (true, _) => ", seal",
                (false, true) => ", commit cut off",
                (false, false) => "",
            };
            let _ = writeln!(
                out,
                "record {} at {}: commit {}, {} bytes{end}",
                record.seq, record.offset, record.commit, record.payload_len
            );
            lines(&mut out, &record.tlvs);
        }
        for stock in self.stock.iter().flatten() {
            let _ = writeln!(out, "commit {} at {}", stock.commit, stock.offset);
            if stock.head {
                let _ = writeln!(out, "  tag HEAD, transaction {}", stock.tid);
            }
            lines(&mut out, &stock.tlvs);
            let _ = writeln!(
                out,
                "  tag TAIL at {}, transaction {}, crc {:#010x}",
                stock.tail, stock.tid, stock.crc
            );
        }
        for (what, finding) in [("torn", &self.torn), ("damaged", &self.damage)] {
            if let Some(finding) = finding {
                let _ = writeln!(out, "{what} at {}: {}", finding.offset, finding.reason);
            }
        }
        if !self.beyond.is_empty() {
            out.push_str("behind the damage, and not replayed:\n");
        }
        for beyond in &self.beyond {
            let _ = writeln!(out, "{}", beyond.record);
            lines(&mut out, &beyond.tlvs);
        }
        out
    }

    fn status(&self) -> Status {
        match self.damage {
            Some(_) => Status::Refused,
            None => Status::Fine,
        }
    }
}

fn lines(out: &mut String, tlvs: &[TlvSaid]) {
    for tlv in tlvs {
        let _ = writeln!(out, "  {}", tlv.said);
        if let Some(raw) = &tlv.raw {
            let _ = writeln!(out, "    {raw}");
        }
    }
}
