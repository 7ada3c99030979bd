// SPDX-License-Identifier: GPL-2.0

//! `bytelog map`: the log drawn, records and commits to scale.

use super::parts::{Kind, Part};
use super::svg;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::log::inspect::{inspect, State};
use crate::report::{Name, Report};
use bytelog::opener::USED_LEN;
use bytelog::reader::ReadArea;
use bytelog::record::ALIGN;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Cells in a line: 64 of 64 bytes are a block of 4096.
const LINE: u64 = 64;

/// Lines of a map whose scale is not given.
const LINES: u64 = 32;

/// How to draw.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Draw to this file as SVG instead.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Bytes that a character stands for, a multiple of 64; chosen to fit the screen
    /// where left out.
    #[arg(long, value_name = "BYTES", value_parser = scale)]
    pub scale: Option<u64>,
}

fn scale(text: &str) -> std::result::Result<u64, String> {
    match crate::size::bytes(text) {
        Ok(bytes) if bytes > 0 && bytes % ALIGN as u64 == 0 => Ok(bytes),
        _ => Err("a multiple of 64 is needed".to_owned()),
    }
}

/// The map.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Map {
    device: String,
    state: State,
    tid: Option<u32>,
    block_size: u64,
    /// Bytes of the area.
    area: u64,
    /// Bytes that a character stands for.
    scale: u64,
    parts: Vec<Part>,
    svg: Option<String>,
}

/// Draws the log of `image`.
pub fn map(image: &Image, args: &Args) -> Result<Map> {
    let found = inspect(image, None)?;
    let area = found.area(image)?.len();
    let block_size = image.sb.block_size();
    let mut parts = Vec::new();
    let part = |offset, len, kind| Part {
        offset,
        len,
        kind,
        commit: 0,
        seq: 0,
    };
    if found
        .opener
        .is_some_and(|opener| Some(opener.tid) == found.tid)
    {
        parts.push(part(0, USED_LEN as u64, Kind::Opener));
    }
    parts.extend(found.entries.iter().map(|entry| Part {
        offset: entry.offset,
        len: entry.record.record_len() as u64,
        kind: match entry.sealed {
            true => Kind::Record,
            false => Kind::Unsealed,
        },
        commit: entry.commit,
        seq: entry.record.seq(),
    }));
    parts.extend(found.survivors.iter().map(|record| Part {
        offset: record.offset,
        len: record.len,
        kind: Kind::Beyond,
        commit: record.commit.unwrap_or(0),
        seq: record.seq.unwrap_or(0),
    }));
    let stock = found.stock.as_ref().map_or(0, |stock| stock.blocks);
    parts.extend(
        (0..u64::from(stock)).map(|block| part(block * block_size, block_size, Kind::Stock)),
    );
    let fitting = area.div_ceil(LINE * LINES).max(1);
    let fitting = fitting.next_multiple_of(ALIGN as u64);
    let map = Map {
        device: image.store.name().to_owned(),
        state: found.state,
        tid: found.tid,
        block_size,
        area,
        scale: args.scale.unwrap_or(fitting),
        parts,
        svg: args.svg.as_ref().map(|path| path.display().to_string()),
    };
    if let Some(path) = &args.svg {
        let name = path.display().to_string();
        let title = format!("{}: {}", map.device, map.state.text());
        let drawn = svg::draw(&title, map.area, &map.parts);
        std::fs::write(path, drawn).map_err(|error| Error::failed(&name, error))?;
    }
    Ok(map)
}

impl Map {
    /// One character for each `scale` bytes.
    fn cells(&self) -> Vec<char> {
        let count = self.area.div_ceil(self.scale);
        let mut cells = vec!['.'; usize::try_from(count).unwrap_or(0)];
        for part in &self.parts {
            let first = part.offset / self.scale;
            let last = (part.offset + part.len).div_ceil(self.scale);
            for cell in first..last {
                let place = usize::try_from(cell).ok();
                if let Some(place) = place.and_then(|place| cells.get_mut(place)) {
                    *place = part.letter(cell == first);
                }
            }
        }
        cells
    }
}

impl Part {
    /// Commits go through the alphabet; a record begins with a capital.
    fn letter(&self, begins: bool) -> char {
        let letter = char::from(b'a' + (self.commit.saturating_sub(1) % 26) as u8);
        match self.kind {
            Kind::Opener => '@',
            Kind::Unsealed => '~',
            Kind::Beyond => '?',
            Kind::Stock => '#',
            Kind::Record if begins => letter.to_ascii_uppercase(),
            Kind::Record => letter,
        }
    }
}

impl Report for Map {
    const NAME: Name = Name::Map;

    fn text(&self) -> String {
        if let Some(svg) = &self.svg {
            return format!("{}: drawn to {svg}\n", self.device);
        }
        let mut out = format!("{}: {}", self.device, self.state.text());
        // Writing to a string does not fail, here and below.
        if let Some(tid) = self.tid {
            let _ = write!(out, ", transaction {tid}");
        }
        let _ = writeln!(out, "; a character is {} bytes", self.scale);
        let cells = self.cells();
        let used = cells
            .iter()
            .rposition(|cell| *cell != '.')
            .map_or(0, |last| last + 1);
        let lines: Vec<&[char]> = cells.chunks(LINE as usize).collect();
        for (number, line) in lines.iter().enumerate() {
            if number * LINE as usize >= used.max(1) {
                let bytes = self.area - number as u64 * LINE * self.scale;
                let _ = writeln!(out, "{:>12}  nothing in the last {bytes} bytes", "");
                break;
            }
            let offset = number as u64 * LINE * self.scale;
            let text: String = line.iter().collect();
            let _ = writeln!(out, "{offset:>12}  {text}");
        }
        out.push_str(
            "@ opener  A record of the first commit  Bbb of the second, of three characters  \
             ~ cut off  ? beyond the end  # stock  . nothing\n",
        );
        out
    }
}
