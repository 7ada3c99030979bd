// SPDX-License-Identifier: GPL-2.0

//! A histogram in powers of two, as the module writes it: a line for each bucket, with
//! the least value that falls into it and how many have.

use super::counters::odd;
use crate::error::Result;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;

/// A run of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Bucket {
    /// The least value that falls into it.
    pub from: u64,
    /// The least value above it that does not; `None` for the last bucket.
    pub below: Option<u64>,
    /// Values that have.
    pub count: u64,
}

/// How values are spread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Histogram {
    /// In ascending order.
    pub buckets: Vec<Bucket>,
}

impl Histogram {
    /// Reads `text`, the contents of file `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let mut buckets: Vec<Bucket> = Vec::new();
        for line in text.lines() {
            let (from, count) = line
                .split_once(": ")
                .and_then(|(from, count)| Some((from.parse().ok()?, count.parse().ok()?)))
                .filter(|(from, _)| buckets.last().is_none_or(|last| last.from < *from))
                .ok_or_else(|| odd(path, format_args!("no line of a histogram: {line}")))?;
            if let Some(last) = buckets.last_mut() {
                last.below = Some(from);
            }
            buckets.push(Bucket {
                from,
                below: None,
                count,
            });
        }
        Ok(Self { buckets })
    }

    /// Values in it.
    pub fn total(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, bucket| bucket.count.saturating_add(sum))
    }

    /// What has been added since `earlier`, or all of it, where that is no earlier state
    /// of the same.
    pub fn since(&self, earlier: &Self) -> Self {
        if earlier.buckets.len() != self.buckets.len() {
            return self.clone();
        }
        let mut added = self.clone();
        for (now, before) in added.buckets.iter_mut().zip(&earlier.buckets) {
            match now.count.checked_sub(before.count) {
                Some(difference) => now.count = difference,
                None => return self.clone(),
            }
        }
        added
    }

    /// The bucket that the value is in which `permille` of a thousand values do not
    /// exceed. `None`: there are no values.
    pub fn quantile(&self, permille: u64) -> Option<Bucket> {
        let total = self.total();
        let rank = u128::from(total) * u128::from(permille);
        let rank = rank.div_ceil(1000).max(1);
        let mut seen = 0;
        self.buckets.iter().copied().find(|bucket| {
            seen += u128::from(bucket.count);
            seen >= rank
        })
    }

    /// The buckets between the first and the last that have a value.
    pub fn occupied(&self) -> &[Bucket] {
        let has = |bucket: &Bucket| bucket.count > 0;
        let first = self.buckets.iter().position(has);
        let last = self.buckets.iter().rposition(has);
        match (first, last) {
            (Some(first), Some(last)) => self.buckets.get(first..=last).unwrap_or_default(),
            _ => &[],
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Histogram> {
        Histogram::parse(text, Path::new("commit_latency_ns"))
    }

    #[test]
    fn buckets_and_quantiles() {
        let histogram = parse("0: 0\n1: 0\n2: 90\n4: 9\n8: 1\n16: 0\n").unwrap();
        assert_eq!(histogram.total(), 100);
        let below = |permille| histogram.quantile(permille).unwrap().below;
        assert_eq!(
            [0, 500, 900, 901, 990, 991, 1000].map(below),
            [4, 4, 4, 8, 8, 16, 16].map(Some)
        );
        let occupied = histogram.occupied();
        assert_eq!((occupied[0].from, occupied.len()), (2, 3));
        assert_eq!(histogram.buckets[5].below, None);
    }

    #[test]
    fn nothing_in_it() {
        let histogram = parse("0: 0\n1: 0\n").unwrap();
        assert_eq!(histogram.quantile(500), None);
        assert_eq!(histogram.occupied(), []);
        assert_eq!(parse("").unwrap().quantile(500), None);
    }

    #[test]
    fn what_was_added() {
        let earlier = parse("0: 1\n1: 2\n").unwrap();
        let later = parse("0: 1\n1: 5\n").unwrap();
        assert_eq!(later.since(&earlier).total(), 3);
        assert_eq!(earlier.since(&later), earlier);
        assert_eq!(later.since(&Histogram::default()), later);
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["1", "1:2", "a: 1", "1: b", "2: 1\n1: 1", "1: 1\n1: 1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
