// SPDX-License-Identifier: GPL-2.0
//! As many random cuts as are asked for, with a record, so that a run that was
//! interrupted goes on where it was.

use crate::config::VmConfig;
use crate::cuts::{self, Lost, Mode, Tally};
use crate::lab::Lab;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Instant;

pub struct Soak<'a> {
    pub cuts: u64,
    pub seed: u64,
    pub mode: Mode,
    /// Lines "seed cuts in-replay again failed", of seeds that are done. A single cut
    /// has no use for it: whoever asks for one wants to see it.
    pub record: Option<&'a Path>,
    /// What is tested is known to be defective, and fails unless it loses something:
    /// once is enough of a module, of stock all are counted.
    pub expect_loss: bool,
}

/// Seeds that are done, cuts they made, cuts in replay and in a second one, seeds that
/// failed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    next: Option<u64>,
    cuts: u64,
    in_replay: u64,
    again: u64,
    failed: Vec<u64>,
}

impl Done {
    fn parse(text: &str) -> Self {
        let mut done = Self::default();
        for line in text.lines() {
            let words = line.split_whitespace();
            let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
            if let [seed, cuts, in_replay, again, failed] = numbers[..] {
                let tally = Tally {
                    cuts,
                    in_replay,
                    again,
                    ..Tally::default()
                };
                done.note(seed, &tally, failed != 0);
            }
        }
        done
    }

    fn note(&mut self, seed: u64, tally: &Tally, failed: bool) {
        self.next = Some(seed + 1);
        self.cuts += tally.cuts;
        self.in_replay += tally.in_replay;
        self.again += tally.again;
        if failed {
            self.failed.push(seed);
        }
    }

    fn read(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(err) if err.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(err) => Err(err).with_context(|| path.display().to_string()),
        }
    }
}

/// A seed's line of the record.
fn line(seed: u64, tally: &Tally, failed: bool) -> String {
    let (cuts, in_replay, again) = (tally.cuts, tally.in_replay, tally.again);
    format!("{seed} {cuts} {in_replay} {again} {}", u64::from(failed))
}

/// True if nothing was lost; if a loss was expected, true if there was one.
pub fn run(config: &VmConfig, kver: Option<&str>, soak: &Soak) -> Result<bool> {
    let record = soak.record.filter(|_| soak.cuts > 1);
    let mut done = match record {
        Some(path) => Done::read(path)?,
        None => Done::default(),
    };
    let first = done.next.unwrap_or(soak.seed);
    if done.cuts > 0 {
        println!(
            "{} cuts were made before: going on with seed {first}",
            done.cuts
        );
    }
    let mut all = Tally::default();
    let mut losses = 0;
    let start = Instant::now();
    let mut lab = Lab::new(config, kver, first);
    if done.cuts < soak.cuts {
        let left = soak.cuts - done.cuts;
        cuts::run(&mut lab, first, left, soak.mode, |seed, outcome| {
            let failed = outcome.is_err();
            let lost = matches!(&outcome, Err(err) if err.is::<Lost>());
            let tally = match outcome {
                Ok(tally) => {
                    println!("ok seed {seed}: {tally}");
                    tally
                }
                Err(err) => {
                    println!("FAIL seed {seed}: {err:#}");
                    Tally {
                        cuts: 1,
                        ..Tally::default()
                    }
                }
            };
            all += tally;
            done.note(seed, &tally, failed);
            losses += u64::from(lost);
            if let Some(path) = record {
                let mut file = File::options().create(true).append(true).open(path)?;
                writeln!(file, "{}", line(seed, &tally, failed))?;
            }
            Ok(!(lost && soak.expect_loss) || soak.mode.stock)
        })?;
    }
    lab.power_off()?;
    println!("this run: {all}; {:.0} s", start.elapsed().as_secs_f64());
    println!(
        "{} cuts, {} in replay, {} of them in the second one, {} seeds failed: {:?}",
        done.cuts,
        done.in_replay,
        done.again,
        done.failed.len(),
        done.failed
    );
    Ok(if soak.expect_loss {
        println!("{losses} seeds lost something");
        losses > 0
    } else {
        done.failed.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back() {
        let tally = Tally {
            cuts: 3,
            in_replay: 2,
            again: 1,
            ..Tally::default()
        };
        let first = line(4, &tally, false);
        let done = Done::parse(&format!("{first}\n5 1 0 0 1\ngarbage\n6 1"));
        let want = Done {
            next: Some(6),
            cuts: 4,
            in_replay: 2,
            again: 1,
            failed: vec![5],
        };
        assert_eq!(done, want);
    }
}
