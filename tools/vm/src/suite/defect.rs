// SPDX-License-Identifier: GPL-2.0
//! What is wrong with stock ext4, and in which kernels: a test that shows a defect on a
//! kernel that has it has to find nothing on one in which it has been mended.

use crate::lab::Lab;
use anyhow::{ensure, Result};
use std::fmt::Display;

/// A defect of stock ext4, and the test of it.
pub struct Defect {
    pub name: &'static str,
    /// The kernel series whose stock ext4 has it, of those that there is a hook patch for.
    pub series: &'static [&'static str],
    pub run: fn(&mut Lab, Stock) -> Result<()>,
}

/// All series that there is a hook patch for.
pub const EVERY_SERIES: &[&str] = &["7.2", "7.3"];

impl Defect {
    /// What stock ext4 of a kernel has to do with this defect.
    pub fn on(&self, release: &str) -> Stock {
        Stock {
            has: self.series.contains(&series(release)),
        }
    }
}

/// The series of a kernel release: what is in front of its second dot.
fn series(release: &str) -> &str {
    match release.match_indices('.').nth(1) {
        Some((at, _)) => &release[..at],
        None => release,
    }
}

/// Whether stock ext4 of the kernel that runs is expected to have a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stock {
    pub has: bool,
}

impl Stock {
    /// Fails if what has been seen of stock is not what is expected of it. `seen` says
    /// what that was.
    pub fn expect(self, defective: bool, seen: impl Display) -> Result<()> {
        println!("   stock: {seen}");
        ensure!(
            defective || !self.has,
            "stock has the defect no more: {seen}"
        );
        ensure!(self.has || !defective, "stock has the defect again: {seen}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MENDED: Defect = Defect {
        name: "mended",
        series: &["7.2"],
        run: |_, _| Ok(()),
    };

    #[test]
    fn series_of_releases() {
        for release in ["7.2.12+deb13-amd64", "7.2.12-debug", "7.2.0", "7.2"] {
            assert!(MENDED.on(release).has, "{release}");
        }
        for release in ["7.3.4+deb13-amd64", "7.20.1", "17.2.1", ""] {
            assert!(!MENDED.on(release).has, "{release}");
        }
    }

    #[test]
    fn what_is_seen_has_to_be_expected() {
        for has in [true, false] {
            for seen in [true, false] {
                assert_eq!(Stock { has }.expect(seen, "").is_ok(), has == seen);
            }
        }
    }

    /// A series that is given up is to be struck off here, too, and a new one added.
    #[test]
    fn every_series_has_patches() {
        let patches = |series: &str| {
            format!(
                "{}/../../fs/ext4/patches-{series}",
                env!("CARGO_MANIFEST_DIR")
            )
        };
        for defect in super::super::defects() {
            assert!(!defect.series.is_empty(), "{}", defect.name);
            for series in defect.series {
                assert!(EVERY_SERIES.contains(series), "{}: {series}", defect.name);
            }
        }
        let dir = std::fs::read_dir(patches("").trim_end_matches("patches-")).unwrap();
        let mut found: Vec<_> = dir
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| name.strip_prefix("patches-").map(str::to_owned))
            .collect();
        found.sort();
        assert_eq!(found, EVERY_SERIES);
    }
}
