// SPDX-License-Identifier: GPL-2.0
//! Tests on several machines at once. Each machine belongs to a process of its own, as its
//! files have fixed names in the working directory; it is told a test, runs it, and says
//! when that is over.

use super::{chosen, Entry, OVER};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

/// A process with a machine.
struct Member {
    child: Child,
    tests: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
}

impl Member {
    /// Starts this program once more, in a directory below the working directory.
    fn start(number: usize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .args(["--member", &number.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let tests = child.stdin.take().context("no standard input")?;
        let said = child.stdout.take().context("no standard output")?;
        Ok(Self {
            child,
            tests,
            said: BufReader::new(said).lines(),
        })
    }

    /// Runs a test; whether it passed, and what there is to print.
    fn run(&mut self, test: Entry, text: &mut String) -> Result<bool> {
        writeln!(self.tests, "{}", test.name())?;
        for line in self.said.by_ref() {
            let line = line?;
            if let Some(passed) = line.strip_prefix(OVER) {
                return Ok(passed == "true");
            }
            text.push_str(&line);
            text.push('\n');
        }
        anyhow::bail!("the process that ran it ended: {}", self.child.wait()?)
    }

    /// Has it turn off its machine; false if there was something wrong with that.
    fn end(mut self, text: &mut String) -> Result<bool> {
        drop(self.tests);
        for line in self.said {
            text.push_str(&line?);
            text.push('\n');
        }
        Ok(self.child.wait()?.success())
    }
}

#[derive(Default)]
struct Counts {
    passed: u32,
    failed: u32,
}

impl Counts {
    fn one(&mut self, passed: bool) {
        match passed {
            true => self.passed += 1,
            false => self.failed += 1,
        }
    }
}

/// Takes tests for a machine until there are none, prints each when it is over.
fn serve(number: usize, queue: &Mutex<impl Iterator<Item = Entry>>) -> Counts {
    let mut counts = Counts::default();
    let mut member = None;
    // Not in the condition of the loop: others take tests while this one runs.
    let next = || queue.lock().ok().and_then(|mut queue| queue.next());
    while let Some(test) = next() {
        let mut text = String::new();
        let ready = match member.take() {
            Some(member) => Ok(member),
            None => Member::start(number),
        };
        let outcome = ready.and_then(|mut ready| {
            let passed = ready.run(test, &mut text)?;
            member = Some(ready);
            Ok(passed)
        });
        if let Err(err) = &outcome {
            text.push_str(&format!("FAIL {}: {err:#}\n", test.name()));
        }
        print!("{text}");
        counts.one(matches!(outcome, Ok(true)));
    }
    if let Some(member) = member {
        let mut text = String::new();
        if !matches!(member.end(&mut text), Ok(true)) {
            counts.one(false);
            text.push_str(&format!("FAIL machine {number}: see above\n"));
        }
        print!("{text}");
    }
    counts
}

/// Runs the tests whose name contains the filter; how many passed and failed.
pub fn run(jobs: usize, kver: Option<&str>, filter: Option<&str>) -> (u32, u32) {
    let queue = Mutex::new(chosen(kver, filter));
    let counts = std::thread::scope(|scope| {
        let queue = &queue;
        let threads: Vec<_> = (1..=jobs)
            .map(|number| scope.spawn(move || serve(number, queue)))
            .collect();
        let lost = || Counts {
            passed: 0,
            failed: 1,
        };
        let ended = threads
            .into_iter()
            .map(|t| t.join().unwrap_or_else(|_| lost()));
        ended.collect::<Vec<_>>()
    });
    counts
        .iter()
        .fold((0, 0), |(p, f), one| (p + one.passed, f + one.failed))
}
