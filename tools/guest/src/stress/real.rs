// SPDX-License-Identifier: GPL-2.0
//! Steps carried out in directories of the host: they do what the state says, and each
//! thread's oracle sees what is its own.

use super::{judge, look, Action, Generator, How, Job, Member, Sync, Tree, Verdict};
use crate::ops::fill;
use std::fs;
use std::path::{Path, PathBuf};

/// A directory of the host, as long as the value lives.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("bytelog-{name}-{}", std::process::id());
        let scratch = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(scratch.0.join("shared")).unwrap();
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

struct Thread {
    job: Job,
    steps: Generator,
    root: PathBuf,
}

impl Thread {
    fn new(scratch: &Scratch, number: u64, member: Option<Member>) -> Self {
        let job = Job {
            seed: 9 + number,
            calm: false,
            aligned: false,
            mapped: true,
            member,
        };
        let root = scratch.0.join(format!("thread{number}"));
        fs::create_dir_all(&root).unwrap();
        let steps = Generator::new(&job);
        Self { job, steps, root }
    }

    fn step(&mut self) {
        let mut step = self.steps.step().unwrap();
        if let Action::Write { how, .. } = &mut step.action {
            // Elsewhere than on DAX that wants an alignment.
            if *how == How::Direct {
                *how = How::Plain;
            }
        }
        step.sync = Sync::None;
        step.run(&self.root).unwrap();
    }

    fn tree(&self) -> Tree {
        let mut tree = look(&self.root, self.job.member).unwrap();
        // Not every host filesystem counts subdirectories as links.
        let state = self.steps.state();
        for (path, found) in &mut tree {
            if let (Some(id), None) = (state.id(path), state.file(path)) {
                found.nlink = state.node(id).nlink;
            }
        }
        tree
    }

    fn verdict(&self, steps: u64) -> Verdict {
        judge(&self.job, steps, &self.tree()).unwrap()
    }
}

/// The first file in the shared directory whose name begins like this.
fn file_of(shared: &Path, prefix: &str) -> PathBuf {
    let items = fs::read_dir(shared).unwrap().map(Result::unwrap);
    let mut files = items.filter(|item| {
        item.file_type().unwrap().is_file()
            && item.file_name().to_string_lossy().starts_with(prefix)
    });
    files.next().unwrap().path()
}

#[test]
fn a_real_directory_is_what_the_state_says() {
    let scratch = Scratch::new("stress");
    let mut thread = Thread::new(&scratch, 0, None);
    (0..400).for_each(|_| thread.step());
    let verdict = thread.verdict(400);
    assert_eq!(verdict.state, Some(400), "{verdict:?}");
    assert_eq!(fs::read_dir(scratch.0.join("shared")).unwrap().count(), 0);
}

#[test]
fn threads_that_share_a_directory_are_judged_apart() {
    let scratch = Scratch::new("shared");
    let thread = |number| Thread::new(&scratch, number, Some(Member(number)));
    let mut threads = [thread(0), thread(1)];
    for _ in 0..400 {
        threads.iter_mut().for_each(Thread::step);
    }
    let good = || {
        threads
            .each_ref()
            .map(|thread| thread.verdict(400).is_good())
    };
    assert_eq!(good(), [true, true]);
    let shared = scratch.0.join("shared");
    // What was lost of one of them, and what nobody made.
    fs::remove_file(file_of(&shared, "t1-")).unwrap();
    assert_eq!(good(), [true, false]);
    fs::write(shared.join("t0-stray"), fill(1, 1)).unwrap();
    assert_eq!(good(), [false, false]);
}
