// SPDX-License-Identifier: GPL-2.0
//! Whether the bench measures at all: a few fsyncs, and figures that cannot be right
//! if it does not.

use super::rows::{Mode, Rows};
use anyhow::{ensure, Context, Result};
use std::path::Path;

/// Reads bench.json back and checks what is in it.
pub fn check(path: &Path) -> Result<()> {
    let mut rows = Rows::default();
    rows.add_file(path)?;
    for load in ["create", "append"] {
        let of = |mode: Mode, metric: &str| {
            let value = rows.get("sync", load, mode, metric);
            value.with_context(|| format!("no {metric} of {load} in mode {}", mode.name()))
        };
        for mode in Mode::ALL {
            for metric in ["instr_median", "instr_mean", "instr_p99", "lines", "fences"] {
                ensure!(of(mode, metric)? > 0.0, "{load} {}: {metric}", mode.name());
            }
        }
        let median = |mode| of(mode, "instr_median");
        ensure!(
            median(Mode::Full)? > median(Mode::StockFc)?
                && median(Mode::StockFc)? > median(Mode::Bytelog)?,
            "{load}: a fast commit is not cheaper than a full one, or ByteLog than stock"
        );
        let fences = if load == "create" { 1.0 } else { 2.0 };
        ensure!(
            of(Mode::Bytelog, "fences_median")? == fences,
            "{load}: not {fences} fences"
        );
        ensure!(
            of(Mode::StockFc, "block_writes")? >= 1.0 && of(Mode::Bytelog, "block_writes")? == 0.0,
            "{load}: block writes of the log are not as they must be"
        );
    }
    ensure!(
        rows.get("sync", "create", Mode::Bytelog, "instr_own") > Some(0.0),
        "no function of the module was seen"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_bench_fails() {
        let path = std::env::temp_dir().join(format!("bytelog-smoke-{}", std::process::id()));
        Rows::default().write(&path).unwrap();
        let outcome = check(&path);
        std::fs::remove_file(&path).unwrap();
        assert!(outcome.is_err());
    }
}
