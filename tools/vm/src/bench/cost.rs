// SPDX-License-Identifier: GPL-2.0
//! Instructions per fsync, which are the same in every run.

use super::rows::{Mode, Rows};
use crate::lab::{Dev, Ext4, Lab};
use anyhow::Result;
use bytelog_guest::load::{Load, BATCH};
use bytelog_guest::proto::{Cmd, Costs, DeviceKind};

/// Nothing in a filesystem may depend on chance.
const FIXED: &str = "-U 7f2c3a10-5d4e-4b6f-8a90-1b2c3d4e5f60 \
     -E lazy_itable_init=0,hash_seed=0f1e2d3c-4b5a-4697-8788-96a5b4c3d2e1";

const SIZE: &str = "256M";

/// The value below which `part` of the sorted values lie.
pub fn quantile(sorted: &[u64], part: f64) -> u64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * part).round() as usize;
    sorted.get(at).copied().unwrap_or(0)
}

pub fn mean(values: &[u64]) -> f64 {
    values.iter().sum::<u64>() as f64 / values.len().max(1) as f64
}

fn ext4_of(mode: Mode) -> Ext4 {
    match mode {
        Mode::Full | Mode::StockFc => Ext4::Stock,
        Mode::Off | Mode::Bytelog => Ext4::ByteLog,
    }
}

/// Makes and mounts a filesystem for a mode.
pub fn set_up(lab: &mut Lab, dev: &Dev, mode: Mode) -> Result<()> {
    lab.with(ext4_of(mode))?;
    let features = match mode {
        Mode::Full => "-O ^fast_commit",
        _ => "",
    };
    let option = match mode {
        Mode::Bytelog => ",dax_fc_bytelog=on",
        _ => "",
    };
    lab.mkfs(dev, &format!("-N 16384 {FIXED} {features}"), SIZE)?;
    lab.mount(dev, &format!("dax=always,commit=600{option}"))?;
    Ok(())
}

pub fn measure(lab: &mut Lab, dev: &Dev, load: Load, fsyncs: u64) -> Result<Costs> {
    let fsyncs = match load {
        // So that the files fit.
        Load::Batch => fsyncs.div_ceil(BATCH / 4),
        _ => fsyncs,
    };
    let cmd = Cmd::Cost {
        load,
        dir: format!("{}/{}", dev.dir(), load.name()),
        dev: dev.name.clone(),
        fsyncs,
    };
    lab.vm()?.call_for(cmd, crate::lab::WORKLOAD)
}

/// All modes and loads on the synchronous device.
pub fn run(lab: &mut Lab, fsyncs: u64, rows: &mut Rows) -> Result<()> {
    let dev = lab.dev(DeviceKind::Sync)?;
    for mode in Mode::ALL {
        for load in Load::ALL {
            set_up(lab, &dev, mode)?;
            let costs = measure(lab, &dev, load, fsyncs)?;
            let mut sorted = costs.nanos.clone();
            sorted.sort_unstable();
            let median = quantile(&sorted, 0.5);
            let p99 = quantile(&sorted, 0.99);
            let mean = mean(&sorted);
            println!(
                "{:16} {mode:9?} median {median} mean {mean:.0} p99 {p99} fast {} full {} inel {}",
                load.name(),
                costs.after.fast - costs.before.fast,
                costs.after.full - costs.before.full,
                costs.after.ineligible - costs.before.ineligible,
            );
            let name = load.name();
            rows.push("sync", name, mode, "instr_median", median as f64);
            rows.push("sync", name, mode, "instr_mean", mean);
            rows.push("sync", name, mode, "instr_p99", p99 as f64);
        }
    }
    Ok(())
}
