// SPDX-License-Identifier: GPL-2.0
//! What pgbench prints at its end.

use anyhow::{ensure, Context, Result};

/// A run of pgbench.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Transactions of all clients together.
    pub transactions: u64,
    /// Transactions in a second, of all clients together, without the time that
    /// connecting took.
    pub per_second: f64,
}

impl Run {
    /// Reads it; a run in which a transaction failed, or was not made, is an error.
    pub fn parse(text: &str) -> Result<Self> {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
            line.map(str::trim)
                .with_context(|| format!("pgbench says nothing of \"{name}\": {}", text.trim()))
        };
        let processed = value("number of transactions actually processed:")?;
        let (done, wanted) = processed.split_once('/').context("N/N transactions")?;
        ensure!(done == wanted, "{done} of {wanted} transactions: {text}");
        let failed = value("number of failed transactions:")?;
        ensure!(
            failed.split_whitespace().next() == Some("0"),
            "{failed} transactions failed: {text}"
        );
        let rate = value("tps =")?;
        let rate = rate.split_whitespace().next().context("a rate")?;
        let per_second = rate.parse().with_context(|| format!("tps = {rate}"))?;
        ensure!(per_second > 0.0, "{rate} transactions in a second");
        let transactions = done.parse().with_context(|| processed.to_owned())?;
        ensure!(transactions > 0, "no transactions: {text}");
        Ok(Self {
            transactions,
            per_second,
        })
    }

    /// Nanoseconds from one transaction to the next, whichever client makes it.
    pub fn nanos(&self) -> f64 {
        1e9 / self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
pgbench (17.11)
transaction type: <builtin: simple update>
number of clients: 4
number of transactions per client: 100
number of transactions actually processed: 400/400
number of failed transactions: 0 (0.000%)
latency average = 16.000 ms
initial connection time = 5.103 ms
tps = 250.000000 (without initial connection time)
";

    #[test]
    fn rate_and_transactions() {
        let run = Run::parse(TEXT).unwrap();
        assert_eq!((run.transactions, run.per_second), (400, 250.0));
        assert_eq!(run.nanos(), 4e6);
    }

    #[test]
    fn a_run_that_is_not_whole_fails() {
        for (from, to) in [
            ("400/400", "399/400"),
            ("400/400", "0/0"),
            ("transactions: 0 (", "transactions: 1 ("),
            ("tps = 250.000000", "tps = 0.000000"),
            ("tps = ", "rate: "),
        ] {
            assert!(Run::parse(&TEXT.replace(from, to)).is_err(), "{to}");
        }
        assert!(Run::parse("pgbench: error: connection failed").is_err());
    }
}
