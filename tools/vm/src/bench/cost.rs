// SPDX-License-Identifier: GPL-2.0
//! What an fsync of each load costs in each mode of a place.

use super::machine::{Counted, Job, Machine};
use super::profile::{Part, Symbols};
use super::rows::{Mode, Rows};
use anyhow::Result;
use bytelog_guest::load::Load;
use bytelog_guest::proto::{IoCounts, LogStats};
use bytelog_trace::count::Cost;
use std::collections::HashMap;

/// Fsyncs whose block writes and flushes are counted, and whose functions are looked
/// at. So few that no directory grows meanwhile, which ByteLog commits in full.
const FEW_FSYNCS: u64 = 60;

/// Loads whose functions are looked at.
pub const PROFILED: [Load; 4] = [Load::Create, Load::Append, Load::Truncate, Load::Batch];

/// The value below which `part` of the sorted values lie.
pub fn quantile(sorted: &[u64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * part).round() as usize;
    sorted.get(at).copied().unwrap_or(0) as f64
}

pub fn mean(values: &[u64]) -> f64 {
    values.iter().sum::<u64>() as f64 / values.len().max(1) as f64
}

/// What a load in a mode has cost so far.
#[derive(Default)]
struct Sum {
    calls: Vec<Cost>,
    nanos: Vec<u64>,
    fast: u64,
    full: u64,
    log: Option<LogStats>,
    io: IoCounts,
}

impl Sum {
    fn add(&mut self, counted: Counted) {
        let costs = counted.costs;
        self.calls.extend(counted.calls);
        self.nanos.extend(costs.nanos);
        self.fast += costs.after.fast - costs.before.fast;
        self.full += costs.after.full - costs.before.full;
        if let Some([before, after]) = costs.log {
            let log = self.log.get_or_insert_default();
            log.commits += after.commits - before.commits;
            log.records += after.records - before.records;
            log.log_bytes += after.log_bytes - before.log_bytes;
        }
    }

    fn column(&self, of: impl Fn(&Cost) -> u64) -> Vec<u64> {
        let mut values: Vec<u64> = self.calls.iter().map(of).collect();
        values.sort_unstable();
        values
    }

    /// The figures under their names.
    fn figures(&self) -> Vec<(&'static str, f64)> {
        let instructions = self.column(|cost| cost.instructions);
        let fences = self.column(|cost| cost.fences);
        let lines = self.column(|cost| cost.lines);
        let fsyncs = self.calls.len().max(1) as f64;
        let io = |count: u64| count as f64 / self.io.fsyncs.max(1) as f64;
        let mut figures = vec![
            ("instr_median", quantile(&instructions, 0.5)),
            ("instr_mean", mean(&instructions)),
            ("instr_p99", quantile(&instructions, 0.99)),
            ("fast_commits", self.fast as f64 / fsyncs),
            ("full_commits", self.full as f64 / fsyncs),
            ("fences", mean(&fences)),
            ("fences_median", quantile(&fences, 0.5)),
            ("lines", mean(&lines)),
            ("bytes_persisted", mean(&self.column(|cost| cost.bytes))),
            ("block_writes", io(self.io.journal_writes)),
            ("data_writes", io(self.io.other_writes)),
            ("flushes", io(self.io.flushes)),
            ("data_flushes", io(self.io.data_flushes)),
        ];
        if let Some(excess) = self.excess() {
            figures.push(("excess_bytes", excess));
        }
        figures
    }

    /// Bytes written back besides the TLVs, per fast commit. Where a commit in full is
    /// among them, its lines are, too, and nothing can be told.
    fn excess(&self) -> Option<f64> {
        let log = self.log.filter(|log| log.commits > 0 && self.full == 0)?;
        // What a record takes besides its header is its TLVs, rounded up.
        let own = log.log_bytes.saturating_sub(64 * log.records);
        let lines: u64 = self.calls.iter().map(|cost| cost.lines).sum();
        Some((64.0 * lines as f64 - own as f64) / log.commits as f64)
    }
}

/// Costs and profiles of a place.
pub struct Results {
    sums: HashMap<(Load, Mode), Sum>,
    /// Few fsyncs, by function.
    profiles: HashMap<(Load, Mode), (Sum, Vec<Part>)>,
}

impl Results {
    /// Measures: in each round every mode, in each mode every load on a fresh
    /// filesystem.
    pub fn measure(
        machine: &mut Machine,
        loads: &[Load],
        fsyncs: u64,
        rounds: u64,
    ) -> Result<Self> {
        let mut results = Self {
            sums: HashMap::new(),
            profiles: HashMap::new(),
        };
        for round in 0..rounds {
            for &mode in machine.place.modes {
                results.one_mode(machine, loads, mode, fsyncs / rounds, round == 0)?;
            }
            println!("{}: round {} of {rounds}", machine.place.name, round + 1);
        }
        Ok(results)
    }

    fn one_mode(
        &mut self,
        machine: &mut Machine,
        loads: &[Load],
        mode: Mode,
        fsyncs: u64,
        first: bool,
    ) -> Result<()> {
        let mut symbols = None;
        for &load in loads {
            machine.set_up(mode, "")?;
            let counted = machine.count(Job::new(load, fsyncs), "")?;
            let sum = self.sums.entry((load, mode)).or_default();
            sum.add(counted);
            let few = Job::new(load, FEW_FSYNCS);
            if first && load != Load::Nothing {
                sum.io = machine.count_io(mode, load, few.fsyncs)?;
            }
            if first && PROFILED.contains(&load) {
                let counted = machine.count(few, "-few")?;
                let symbols = match &mut symbols {
                    Some(symbols) => symbols,
                    none => none.insert(Symbols::read(&mut machine.lab)?),
                };
                let parts = symbols.profile(&counted.blocks, counted.calls.len());
                let mut sum = Sum::default();
                sum.add(counted);
                self.profiles.insert((load, mode), (sum, parts));
            }
        }
        Ok(())
    }

    /// All figures, as rows.
    pub fn rows(&self, place: &str, modes: &[Mode], loads: &[Load], rows: &mut Rows) {
        for &load in loads {
            for &mode in modes {
                let Some(sum) = self.sums.get(&(load, mode)) else {
                    continue;
                };
                let mut put = |metric, value| rows.push(place, load.name(), mode, metric, value);
                let profile = self.profiles.get(&(load, mode));
                for (metric, value) in sum.figures() {
                    put(metric, value);
                }
                let fast = profile.filter(|(few, _)| few.full == 0);
                if let (Mode::Bytelog, Some((few, parts))) = (mode, fast) {
                    let own = parts.iter().filter(|part| part.is_ours());
                    put("instr_own", own.map(|part| part.instructions).sum());
                    if let (None, Some(excess)) = (sum.excess(), few.excess()) {
                        put("excess_bytes", excess);
                    }
                }
            }
        }
    }

    pub fn profile(&self, load: Load, mode: Mode) -> Option<&[Part]> {
        let (_, parts) = self.profiles.get(&(load, mode))?;
        Some(parts)
    }

    /// Instructions of each fsync, in order.
    pub fn instructions(&self, load: Load, mode: Mode) -> Vec<u64> {
        let sum = self.sums.get(&(load, mode));
        let calls = sum.map(|sum| sum.calls.iter().map(|cost| cost.instructions));
        calls.map(Iterator::collect).unwrap_or_default()
    }
}
