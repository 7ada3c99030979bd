// SPDX-License-Identifier: GPL-2.0
//! Tables of the transactions, as they are printed and as the documentation has them.

use crate::bench::rows::{Mode, Rows};
use crate::bench::tables;

/// Times, and what reaches the device.
pub fn times(rows: &Rows, device: &str, workloads: &[String]) {
    let mut table = tables::new(&[
        "workload",
        "full/stock",
        "off/stock",
        "bytelog/stock",
        "ms, stock",
    ]);
    for load in workloads {
        let ratio = |mode| tables::spread(rows, device, load, mode);
        let nanos = rows.get(device, load, Mode::StockFc, "op_nanos");
        table.add_row([
            load.clone(),
            ratio(Mode::Full),
            ratio(Mode::Off),
            ratio(Mode::Bytelog),
            tables::cell(nanos.map(|nanos| nanos / 1e6)),
        ]);
    }
    let title = format!(
        "{device}: time of a transaction, median (lowest to highest) of the rounds, \
         shortest to shortest"
    );
    tables::print(&title, table, 1);

    let metrics = [
        ("flushes_per_transaction", "flushes"),
        ("block_writes_per_transaction", "log\nwrites"),
        ("fast_commits_per_transaction", "fast\ncommits"),
        ("full_commits_per_transaction", "full\ncommits"),
    ];
    let mut header = vec!["workload", "mode"];
    header.extend(metrics.map(|(_, title)| title));
    let mut table = tables::new(&header);
    for load in workloads {
        for mode in Mode::ALL {
            let values = metrics.map(|(metric, _)| rows.get(device, load, mode, metric));
            if values.iter().any(Option::is_some) {
                let mut cells = vec![load.clone(), mode.name().to_owned()];
                cells.extend(values.map(tables::cell));
                table.add_row(cells);
            }
        }
    }
    tables::print(&format!("{device}: per transaction, mean"), table, 2);
}

/// Instructions.
pub fn instructions(rows: &Rows, device: &str, workloads: &[String]) {
    let mut table = tables::new(&[
        "workload",
        "full",
        "stock_fc",
        "off",
        "bytelog",
        "off/stock",
        "bytelog/stock",
    ]);
    for load in workloads {
        let of = |mode: Mode| rows.get(device, load, mode, "instr_per_transaction");
        let mut cells = vec![load.clone()];
        cells.extend(Mode::ALL.map(|mode| of(mode).map_or("-".to_owned(), |v| format!("{v:.0}"))));
        for mode in [Mode::Off, Mode::Bytelog] {
            let ratio = rows.ratio(device, load, mode, "instr_per_transaction");
            cells.push(ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}")));
        }
        table.add_row(cells);
    }
    let title = format!("{device}: instructions of a transaction, all that client and server do");
    tables::print(&title, table, 1);
}
