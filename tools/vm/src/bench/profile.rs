// SPDX-License-Identifier: GPL-2.0
//! Which functions the instructions of an fsync are in.

use crate::lab::Lab;
use anyhow::{Context, Result};
use bytelog_guest::proto::Cmd;
use bytelog_trace::count::Block;
use serde::Serialize;
use std::collections::HashMap;

/// The kernel's symbols.
pub struct Symbols {
    /// By address; the module in brackets, or nothing.
    sorted: Vec<(u64, String, String)>,
}

/// A function's part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    pub function: String,
    pub module: String,
    /// Instructions per fsync, without those of the functions that it calls.
    pub instructions: f64,
}

/// Without what is in angle brackets.
fn without_generics(text: &str) -> String {
    let mut depth = 0u32;
    let mut plain = text.to_owned();
    plain.retain(|c| {
        depth += u32::from(c == '<');
        let keep = depth == 0;
        depth = depth.saturating_sub(u32::from(c == '>'));
        keep
    });
    plain
}

/// A Rust function's type and name; other symbols as they are.
fn readable(symbol: &str) -> String {
    let Ok(demangled) = rustc_demangle::try_demangle(symbol) else {
        return symbol.to_owned();
    };
    let full = format!("{demangled:#}");
    // "<path::Type<..> as path::Trait>::function", "<path::Type<..>>::function::<..>"
    let named = without_generics(&full);
    let function = named.rsplit("::").find(|word| !word.is_empty());
    let function = function.unwrap_or(symbol);
    let path = match full.strip_prefix('<') {
        Some(rest) => rest.split(['<', '>', ' ']).next().unwrap_or_default(),
        None => named.split("::<").next().unwrap_or_default(),
    };
    let mut words = path.rsplit("::").filter(|word| *word != function);
    match words.next() {
        Some(kind) => format!("{kind}::{function}"),
        None => function.to_owned(),
    }
}

/// ext4's side of a fast commit.
const HOOKS: [&str; 4] = [
    "ext4_fc_backend_reserve",
    "ext4_fc_backend_commit",
    "fc_backend_look",
    "fc_backend_room",
];

/// C functions outside the module that only ByteLog calls in a fast commit.
const CALLED_BY_US: [&str; 8] = [
    "arch_wb_cache_pmem",
    "clean_cache_range",
    "crc32c",
    "crc32c_arch",
    "dax_read_lock",
    "dax_read_unlock",
    "dax_alive",
    "memcpy_flushcache",
];

impl Part {
    /// Whether it is ByteLog's own: the module, what it calls, and ext4's side of
    /// the hooks.
    pub fn is_ours(&self) -> bool {
        self.module == "ext4_bytelog"
            || HOOKS.contains(&self.function.as_str())
            || CALLED_BY_US.contains(&self.function.as_str())
    }
}

impl Symbols {
    /// Those of the running kernel with the modules that are loaded now.
    pub fn read(lab: &mut Lab) -> Result<Self> {
        let text: String = lab.call(Cmd::Read {
            path: "/proc/kallsyms".into(),
        })?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut sorted = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(address), Some(kind), Some(name)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if matches!(kind, "t" | "T" | "w" | "W") {
                let address = u64::from_str_radix(address, 16).context("/proc/kallsyms")?;
                let module = words.next().unwrap_or("").trim_matches(['[', ']']);
                sorted.push((address, readable(name), module.to_owned()));
            }
        }
        sorted.sort();
        Ok(Self { sorted })
    }

    fn of(&self, pc: u64) -> (&str, &str) {
        let behind = self
            .sorted
            .partition_point(|(address, _, _)| *address <= pc);
        match behind.checked_sub(1).and_then(|at| self.sorted.get(at)) {
            // The lower half of the address space is the program's.
            Some((_, name, module)) if pc >> 63 == 1 => (name, module),
            _ => ("the calling program", ""),
        }
    }

    /// The functions that ran, the most expensive first.
    pub fn profile(&self, blocks: &[Block], fsyncs: usize) -> Vec<Part> {
        let mut sums: HashMap<(&str, &str), u64> = HashMap::new();
        for block in blocks {
            *sums.entry(self.of(block.pc)).or_default() += block.instructions * block.entered;
        }
        let mut parts: Vec<Part> = sums
            .into_iter()
            .map(|((function, module), sum)| Part {
                function: function.to_owned(),
                module: module.to_owned(),
                instructions: sum as f64 / fsyncs.max(1) as f64,
            })
            .collect();
        sort(&mut parts);
        parts
    }
}

/// The most expensive first.
fn sort(parts: &mut [Part]) {
    parts.sort_by(|a, b| {
        let by_cost = b.instructions.total_cmp(&a.instructions);
        by_cost.then_with(|| a.function.cmp(&b.function))
    });
}

/// What of `parts` is not in `base`, function by function.
pub fn beyond(mut parts: Vec<Part>, base: &[Part]) -> Vec<Part> {
    for part in &mut parts {
        let same = |of: &&Part| of.function == part.function && of.module == part.module;
        part.instructions -= base.iter().find(same).map_or(0.0, |of| of.instructions);
    }
    sort(&mut parts);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable() {
        let commit = "_RNvXs2_NtCs1Zj8t3biux2_17ext4_bytelog_main3logNtB5_10PmemMediumNtNtNtB7_7bytelog6medium6Medium7copy_in";
        let finish = "_RINvMNtNtCs1Zj8t3biux2_17ext4_bytelog_main7bytelog6commitINtNtB5_6writer9LogWriterNtNtNtB7_4kapi8checksum12KernelCrc32cNtNtB7_3log7StagingE6finishNtB1V_10PmemMediumEB7_";
        assert_eq!(readable(commit), "PmemMedium::copy_in");
        assert_eq!(readable(finish), "LogWriter::finish");
        assert_eq!(readable("ext4_fc_commit"), "ext4_fc_commit");
    }

    #[test]
    fn blocks_belong_to_functions() {
        let symbols = Symbols::parse(
            "ffffffff81000000 T first\nffffffff81000100 t second\nffffffffc0000000 t ours\t[ext4_bytelog]\n\
             ffffffff81000080 d data\n",
        )
        .unwrap();
        let block = |pc, instructions, entered| Block {
            pc,
            instructions,
            entered,
        };
        let blocks = [
            block(0xffff_ffff_8100_0010, 3, 10),
            block(0xffff_ffff_8100_00f0, 2, 10),
            block(0xffff_ffff_c000_0004, 7, 10),
            block(0x40_0000, 1, 10),
        ];
        let parts = symbols.profile(&blocks, 10);
        let named: Vec<_> = parts
            .iter()
            .map(|part| (part.function.as_str(), part.instructions, part.is_ours()))
            .collect();
        assert_eq!(
            named,
            [
                ("ours", 7.0, true),
                ("first", 5.0, false),
                ("the calling program", 1.0, false)
            ]
        );
        let less = symbols.profile(&[block(0xffff_ffff_c000_0004, 5, 10)], 10);
        let beyond = beyond(parts, &less);
        let first = beyond.first().map(|part| part.function.as_str());
        assert_eq!(first, Some("first"));
        let ours = beyond.iter().find(|part| part.function == "ours");
        assert_eq!(ours.map(|part| part.instructions), Some(2.0));
    }
}
