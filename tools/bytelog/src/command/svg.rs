// SPDX-License-Identifier: GPL-2.0

//! A map of the log as SVG. Each line is the same number of bytes; what a pointer rests
//! on is told.

use super::parts::{Kind, Part};
use std::fmt::Write;

/// Width of a line, and its height with the gap below, in pixels.
const WIDTH: u64 = 1024;
const HEIGHT: u64 = 14;
const GAP: u64 = 4;
/// Room for offsets on the left, and for the title above.
const LEFT: u64 = 90;
const TOP: u64 = 40;
/// Most lines.
const LINES: u64 = 64;
/// Fewest bytes in a line.
const FEWEST: u64 = 4096;

/// Draws `parts` of an area of `area` bytes.
pub(super) fn draw(title: &str, area: u64, parts: &[Part]) -> String {
    let bytes = area.div_ceil(LINES).max(FEWEST).next_multiple_of(FEWEST);
    let lines = area.div_ceil(bytes);
    let (width, height) = (LEFT + WIDTH + 10, TOP + lines * (HEIGHT + GAP) + 10);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"monospace\" font-size=\"11\">\n\
         <text x=\"10\" y=\"20\" font-size=\"14\">{}</text>\n",
        escaped(title)
    );
    for line in 0..lines {
        let y = TOP + line * (HEIGHT + GAP);
        let len = bytes.min(area - line * bytes);
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{}\" height=\"{HEIGHT}\" fill=\"#eee\"/>",
            LEFT - 6,
            y + HEIGHT - 3,
            line * bytes,
            WIDTH * len / bytes
        );
    }
    for part in parts {
        draw_part(&mut out, part, bytes);
    }
    out.push_str("</svg>\n");
    out
}

fn draw_part(out: &mut String, part: &Part, bytes: u64) {
    let (mut at, end) = (part.offset, part.offset + part.len);
    while at < end {
        let line = at / bytes;
        let stop = end.min((line + 1) * bytes);
        let x = WIDTH as f64 * (at % bytes) as f64 / bytes as f64;
        let wide = WIDTH as f64 * (stop - at) as f64 / bytes as f64;
        let _ = writeln!(
            out,
            "<rect x=\"{:.2}\" y=\"{}\" width=\"{wide:.2}\" height=\"{HEIGHT}\" fill=\"{}\" \
             stroke=\"#fff\" stroke-width=\"0.5\"><title>{}</title></rect>",
            LEFT as f64 + x,
            TOP + line * (HEIGHT + GAP),
            colour(part),
            told(part)
        );
        at = stop;
    }
}

fn colour(part: &Part) -> String {
    match part.kind {
        Kind::Opener => "#222".to_owned(),
        Kind::Unsealed | Kind::Beyond => "#d33".to_owned(),
        Kind::Stock => "#888".to_owned(),
        // Neighbours differ: the golden angle.
        Kind::Record => format!("hsl({},55%,55%)", u64::from(part.commit) * 137 % 360),
    }
}

fn told(part: &Part) -> String {
    let place = format!("at {}, {} bytes", part.offset, part.len);
    match part.kind {
        Kind::Opener => format!("opener {place}"),
        Kind::Stock => format!("stock block {place}"),
        Kind::Record => format!("record {} of commit {} {place}", part.seq, part.commit),
        Kind::Beyond => format!(
            "record {} of commit {}, beyond the end, {place}",
            part.seq, part.commit
        ),
        Kind::Unsealed => format!("record {} of a commit cut off {place}", part.seq),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
