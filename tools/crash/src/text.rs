// SPDX-License-Identifier: GPL-2.0

//! Traces as text: one event a line, numbers decimal, bytes in hex.
//!
//! ```text
//! bytelog-trace 1
//! device synchronous
//! block-size 4096
//! uuid 0123456789abcdeffedcba9876543210
//! area 32768
//! image 4096 4642434c...
//! tid 7
//! data-store 1
//! data-flush 1
//! apart-store 2
//! apart-flush
//! store 4096 4642434c...
//! stream 4160 00000000...
//! write-back 4096 128
//! fence
//! issue 01001000... 1 / 2
//! flush
//! ack
//! ```
//!
//! `image` lines say what the area held before, where that is not zero. `issue` has
//! the commit's TLVs (`-` for none, `?` where the recorder does not know them) and
//! the numbers of its data; behind `/`, those of other data that its fsync owes.
//! `runs` in the head: of a run of stores only the end is looked at. `check` in front of an event: power cuts are tried from
//! there on.

use crate::trace::{Event, Issue, Trace};
use crate::workload::{device_name, device_named};
use anyhow::{bail, ensure, Context, Result};
use bytelog::medium::Persistence;
use std::fmt::Write;

const MAGIC: &str = "bytelog-trace 1";

/// Zeros between two `image` lines.
const GAP: usize = 64;

/// Largest area, bytes.
const MAX_AREA: usize = 1 << 30;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    ensure!(text.len() % 2 == 0 && text.is_ascii(), "half a byte");
    (0..text.len())
        .step_by(2)
        .map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?))
        .collect()
}

/// The trace as text.
pub fn write(trace: &Trace) -> String {
    let mut lines = vec![
        MAGIC.to_string(),
        format!("device {}", device_name(trace.device)),
        format!("block-size {}", trace.block_size),
        format!("uuid {}", hex(&trace.uuid)),
        format!("area {}", trace.image.len()),
    ];
    if trace.runs {
        lines.push("runs".into());
    }
    for (number, chunk) in trace.image.chunks(GAP).enumerate() {
        if chunk.iter().any(|&byte| byte != 0) {
            lines.push(format!("image {} {}", number * GAP, hex(chunk)));
        }
    }
    for (number, event) in trace.events.iter().enumerate() {
        if number == trace.check_from && number != 0 {
            lines.push("check".into());
        }
        lines.push(match event {
            Event::Tid(tid) => format!("tid {tid}"),
            Event::Store { off, bytes } => format!("store {off} {}", hex(bytes)),
            Event::Stream { off, bytes } => format!("stream {off} {}", hex(bytes)),
            Event::WriteBack { off, len } => format!("write-back {off} {len}"),
            Event::Fence => "fence".into(),
            Event::Flush => "flush".into(),
            Event::DataStore(data) => format!("data-store {data}"),
            Event::DataFlush(data) => format!("data-flush {data}"),
            Event::ApartStore(data) => format!("apart-store {data}"),
            Event::ApartFlush => "apart-flush".into(),
            Event::Issue(issue) => write_issue(issue),
            Event::Ack => "ack".into(),
            Event::Abort => "abort".into(),
        });
    }
    lines.push(String::new());
    lines.join("\n")
}

fn write_issue(issue: &Issue) -> String {
    let payload = match &issue.payload {
        None => "?".into(),
        Some(payload) if payload.is_empty() => "-".into(),
        Some(payload) => hex(payload),
    };
    let words = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>();
    let mut line = vec!["issue".to_owned(), payload];
    line.extend(words(&issue.data));
    if !issue.synced.is_empty() {
        line.push("/".into());
        line.extend(words(&issue.synced));
    }
    line.join(" ")
}

/// The trace that `text` is.
pub fn parse(text: &str) -> Result<Trace> {
    let mut trace = Trace {
        device: Persistence::Synchronous,
        block_size: 4096,
        uuid: [0; 16],
        image: Vec::new(),
        events: Vec::new(),
        check_from: 0,
        runs: false,
    };
    let mut lines = text.lines().enumerate();
    let first = lines.next().map(|(_, line)| line.trim_end());
    ensure!(
        first == Some(MAGIC),
        "not a trace: the first line is not {MAGIC:?}"
    );
    for (number, line) in lines {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        if !words.is_empty() && !line.starts_with('#') {
            parse_line(&mut trace, &words).with_context(|| format!("line {}", number + 1))?;
        }
    }
    Ok(trace)
}

fn parse_line(trace: &mut Trace, words: &[&str]) -> Result<()> {
    let event = match *words {
        ["device", name] => {
            trace.device = device_named(name)?;
            return Ok(());
        }
        ["block-size", size] => {
            trace.block_size = size.parse()?;
            return Ok(());
        }
        ["uuid", uuid] => {
            let uuid = unhex(uuid)?.try_into();
            trace.uuid = uuid.ok().context("a UUID has 16 bytes")?;
            return Ok(());
        }
        ["area", len] => {
            let len = len.parse()?;
            ensure!(len <= MAX_AREA && len % 8 == 0, "no area has {len} bytes");
            trace.image.resize(len, 0);
            return Ok(());
        }
        ["image", off, bytes] => {
            let (off, bytes) = (off.parse::<usize>()?, unhex(bytes)?);
            let end = off.checked_add(bytes.len());
            let room = end.and_then(|end| trace.image.get_mut(off..end));
            room.context("outside the area")?.copy_from_slice(&bytes);
            return Ok(());
        }
        ["runs"] => {
            trace.runs = true;
            return Ok(());
        }
        ["check"] => {
            trace.check_from = trace.events.len();
            return Ok(());
        }
        ["tid", tid] => Event::Tid(tid.parse()?),
        ["store", off, bytes] => Event::Store {
            off: off.parse()?,
            bytes: unhex(bytes)?,
        },
        ["stream", off, bytes] => Event::Stream {
            off: off.parse()?,
            bytes: unhex(bytes)?,
        },
        ["write-back", off, len] => Event::WriteBack {
            off: off.parse()?,
            len: len.parse()?,
        },
        ["fence"] => Event::Fence,
        ["flush"] => Event::Flush,
        ["data-store", data] => Event::DataStore(data.parse()?),
        ["data-flush", data] => Event::DataFlush(data.parse()?),
        ["apart-store", data] => Event::ApartStore(data.parse()?),
        ["apart-flush"] => Event::ApartFlush,
        ["issue", payload, ref numbers @ ..] => {
            let mut lists = numbers.split(|&word| word == "/").map(|list| {
                let list = list.iter().map(|n| n.parse());
                list.collect::<Result<Vec<_>, _>>()
            });
            Event::Issue(Issue {
                payload: match payload {
                    "?" => None,
                    "-" => Some(Vec::new()),
                    hex => Some(unhex(hex)?),
                },
                data: lists.next().transpose()?.unwrap_or_default(),
                synced: lists.next().transpose()?.unwrap_or_default(),
            })
        }
        ["ack"] => Event::Ack,
        ["abort"] => Event::Abort,
        _ => bail!("not an event: {}", words.join(" ")),
    };
    trace.events.push(event);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::record;
    use crate::images::Budget;

    fn recorded() -> Trace {
        let workload = "needs-flush/older-life/8x4096/add_range,many,empty,fails:2,aborted,creat";
        record(&workload.parse().unwrap(), None, 1, 2).unwrap()
    }

    #[test]
    fn traces_come_back() {
        let mut trace = recorded();
        assert_eq!(parse(&write(&trace)).unwrap(), trace);
        trace.runs = true;
        trace.events.push(Event::Stream {
            off: 8,
            bytes: vec![1; 8],
        });
        trace.events.push(Event::Issue(Issue {
            payload: None,
            data: vec![1],
            synced: vec![2, 3],
        }));
        assert_eq!(parse(&write(&trace)).unwrap(), trace);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "stor 1 00",
            "store x 00",
            "store 1 0",
            "image 0 00",
            "area 7",
        ] {
            assert!(parse(&format!("{MAGIC}\n{line}")).is_err(), "{line}");
        }
        assert!(parse("fence").is_err());
    }

    /// A recorder that watches a kernel does not know what it commits.
    #[test]
    fn unknown_payloads_are_found() {
        let trace = recorded();
        let mut blind = trace.clone();
        for event in &mut blind.events {
            if let Event::Issue(issue) = event {
                issue.payload = None;
            }
        }
        blind.complete().unwrap();
        let acked = |trace: &Trace| {
            let pairs = trace.events.windows(2).enumerate();
            let mut acked = Vec::new();
            let mut open = None;
            for (_, pair) in pairs {
                match &pair[0] {
                    Event::Issue(issue) => open = issue.payload.clone(),
                    Event::Ack => acked.push(open.take()),
                    _ => (),
                }
            }
            acked
        };
        assert!(acked(&trace).len() >= 3);
        assert_eq!(acked(&blind), acked(&trace));
        // The one that failed stays unknown, so such a trace cannot be checked.
        let budget = Budget { all: 4, samples: 4 };
        let mut rng = fastrand::Rng::with_seed(1);
        assert!(crate::checker::check(&blind, budget, &mut rng).is_err());
    }
}
