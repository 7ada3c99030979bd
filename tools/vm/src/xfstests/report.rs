// SPDX-License-Identifier: GPL-2.0
//! Both modes side by side.

use super::counts::Counts;
use super::output::Outcome;
use super::record::{Entry, Mode, Record};
use comfy_table::{presets, CellAlignment, Table};

/// Differences that are as they should be, and why.
const EXPLAINED: &[(&str, &str)] = &[("ext4/051", FEATURE_BIT), ("generic/401", FEATURE_BIT)];

const FEATURE_BIT: &str =
    "tune2fs opens no filesystem whose feature bit is set, and it is while mounted";

/// Whether a test was run in both modes and no run of one ended like a run of the
/// other. A test that ends now this way, now that, in both modes says nothing.
pub fn differs(record: &Record, test: &str) -> bool {
    let [stock, on] = Mode::ALL.map(|mode| record.runs(test, mode));
    let same = |a: &Entry| on.iter().any(|b| a.outcome == b.outcome);
    !stock.is_empty() && !on.is_empty() && !stock.iter().any(same)
}

/// Whether a test passes on stock and fails, or does not run, with ByteLog: what
/// [`EXPLAINED`] excuses.
fn one_fails(record: &Record, test: &str) -> bool {
    let [stock, on] = Mode::ALL.map(|mode| record.runs(test, mode));
    let excused = |e: &Entry| matches!(e.outcome, Outcome::Fail | Outcome::Notrun);
    stock.iter().all(|e| e.outcome == Outcome::Pass) && on.iter().all(excused)
}

/// Whether the first runs ended in different ways.
pub fn differed_once(record: &Record, test: &str) -> bool {
    let [stock, on] = Mode::ALL.map(|mode| record.runs(test, mode).first());
    matches!((stock, on), (Some(a), Some(b)) if a.outcome != b.outcome)
}

fn latest<'a>(record: &'a Record, tests: &'a [String], mode: Mode) -> Vec<&'a Entry> {
    let runs = tests.iter().map(|test| record.runs(test, mode));
    runs.filter_map(<[Entry]>::last).collect()
}

fn first_line(entry: &Entry) -> &str {
    let line = entry.text.lines().next().unwrap_or("");
    line.get(..90).unwrap_or(line)
}

/// Prints everything; true if nothing differs and all was run.
pub fn print(record: &Record, tests: &[String]) -> bool {
    let all = Mode::ALL.map(|mode| latest(record, tests, mode));
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["", "stock", "dax_fc_bytelog=on"]);
    let mut row = |name: &str, value: &dyn Fn(&[&Entry]) -> u64| {
        let values = all.each_ref().map(|entries| value(entries).to_string());
        table.add_row([name.to_owned(), values[0].clone(), values[1].clone()]);
    };
    row("tests", &|entries| entries.len() as u64);
    for (name, outcome) in [
        ("passed", Outcome::Pass),
        ("failed", Outcome::Fail),
        ("not run", Outcome::Notrun),
        ("out of time", Outcome::Timeout),
        ("machine lost", Outcome::Crash),
    ] {
        row(name, &|entries| {
            entries.iter().filter(|e| e.outcome == outcome).count() as u64
        });
    }
    row("seconds", &|entries| {
        entries.iter().map(|e| e.seconds).sum()
    });
    let sum = |entries: &[&Entry]| {
        let mut counts = Counts::default();
        entries.iter().for_each(|entry| counts += entry.counts);
        counts
    };
    row("fast commits", &|entries| sum(entries).fast);
    row("of these in ByteLog's log", &|entries| sum(entries).bytelog);
    row("tests with a fast commit", &|entries| {
        entries.iter().filter(|e| e.counts.fast > 0).count() as u64
    });
    row("mounts with ByteLog", &|entries| sum(entries).attached);
    row("TLVs replayed", &|entries| sum(entries).replayed);
    for column in 1..3 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    for (mode, entries) in Mode::ALL.iter().zip(&all) {
        for entry in entries.iter().filter(|e| e.outcome >= Outcome::Fail) {
            let (test, outcome) = (&entry.test, entry.outcome);
            println!("{}: {test} {outcome:?}: {}", mode.name(), first_line(entry));
        }
    }
    let unsure = tests
        .iter()
        .filter(|test| differed_once(record, test) && !differs(record, test));
    for test in unsure {
        println!("{test} does not end the same way each time");
    }
    let mut alike = true;
    for test in tests.iter().filter(|test| differs(record, test)) {
        let explained = EXPLAINED.iter().find(|(name, _)| name == test);
        if let Some((_, why)) = explained.filter(|_| one_fails(record, test)) {
            println!("{test} differs as it should: {why}");
            continue;
        }
        alike = false;
        let ends = Mode::ALL.map(|mode| {
            let runs = record.runs(test, mode).iter();
            let ends: Vec<_> = runs
                .map(|e| format!("{:?} ({})", e.outcome, first_line(e)))
                .collect();
            format!("{}: {}", mode.name(), ends.join(", "))
        });
        println!("DIFFERS {test}: {}", ends.join("; "));
    }
    let [stock, on] = &all;
    let logged = sum(stock).fast > 0 && sum(on).bytelog > 0;
    if !logged {
        println!("these tests say nothing: no fast commit of stock, or none in ByteLog's log");
    }
    let complete = all.iter().all(|entries| entries.len() == tests.len());
    if !complete {
        println!("not all tests have been run");
    } else if alike && logged {
        println!("no test ends differently without a reason");
    }
    alike && complete && logged
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const FAST: Counts = Counts {
        fast: 3,
        replayed: 0,
        attached: 1,
        bytelog: 2,
    };

    fn record(runs: &[(Mode, Outcome)]) -> Record {
        counted("generic/001", runs, FAST)
    }

    fn counted(test: &str, runs: &[(Mode, Outcome)], counts: Counts) -> Record {
        let mut record = Record::open(Path::new("/nonexistent/record")).unwrap();
        for (mode, outcome) in runs {
            record.note(Entry {
                test: test.into(),
                mode: *mode,
                outcome: *outcome,
                seconds: 1,
                text: String::new(),
                counts,
            });
        }
        record
    }

    #[test]
    fn what_differs() {
        use Mode::{On, Stock};
        use Outcome::{Fail, Pass};
        let test = "generic/001";
        let once = record(&[(Stock, Pass), (On, Fail)]);
        assert!(differs(&once, test) && differed_once(&once, test));
        assert!(!differs(&record(&[(Stock, Pass), (On, Pass)]), test));
        // Run again, it ends both ways.
        let unsure = record(&[(Stock, Pass), (On, Fail), (On, Pass)]);
        assert!(!differs(&unsure, test) && differed_once(&unsure, test));
        assert!(!differs(&record(&[(Stock, Pass)]), test));
        let tests = [test.to_owned()];
        assert!(!print(&once, &tests) && !print(&record(&[(Stock, Pass)]), &tests));
        assert!(print(&record(&[(Stock, Fail), (On, Fail)]), &tests));
    }

    #[test]
    fn what_says_nothing() {
        use Mode::{On, Stock};
        use Outcome::{Crash, Fail, Pass};
        let runs = [(Stock, Pass), (On, Pass)];
        let tests = ["generic/001".to_owned()];
        assert!(print(&record(&runs), &tests));
        let stock_only = Counts { bytelog: 0, ..FAST };
        for counts in [Counts::default(), stock_only] {
            assert!(!print(&counted("generic/001", &runs, counts), &tests));
        }
        // What is explained is a failure, and nothing worse.
        let (test, _) = EXPLAINED[0];
        let tests = [test.to_owned()];
        let ends = |on| counted(test, &[(Stock, Pass), (On, on)], FAST);
        assert!(print(&ends(Fail), &tests) && !print(&ends(Crash), &tests));
    }
}
