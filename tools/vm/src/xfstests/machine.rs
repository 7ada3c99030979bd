// SPDX-License-Identifier: GPL-2.0
//! A machine with the root that xfstests runs in, and a few tests run in it.

use super::counts::{self, Counts};
use super::output::{self, Outcome};
use super::record::{Entry, Mode};
use crate::lab::{Ext4, Lab};
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{Cmd, DeviceKind, RunResult};
use std::collections::{HashMap, VecDeque};
use std::thread::sleep;
use std::time::{Duration, Instant};

const ROOT: &str = "/xroot";
const LOOK: Duration = Duration::from_secs(1);
/// For what `check` does before its first test and after its last one.
const AROUND: Duration = Duration::from_secs(300);
/// Bytes kept of each file that a failed test leaves.
const TAIL: u32 = 20_000;

const MODULES: [&str; 8] = [
    "squashfs",
    "overlay",
    "loop",
    "dm_mod",
    "dm_flakey",
    "dm_log_writes",
    "dm_snapshot",
    "dm_thin_pool",
];

/// The root, writable in memory, with the tests in it. The disks are the machine's
/// second and third.
const SETUP: &str = r##"
mkdir -p /lower /over /xroot
mount -t squashfs -o ro /dev/vdb /lower
mount -t tmpfs tmpfs /over
mkdir /over/upper /over/work
mount -t overlay -o lowerdir=/lower,upperdir=/over/upper,workdir=/over/work overlay /xroot
mount -t squashfs -o ro /dev/vdc /xroot/xfstests
for dir in proc sys dev lib/modules; do mount --rbind /$dir /xroot/$dir; done
mkdir -p /xroot/dev/shm
# With the feature bit set, as it is while mounted, dumpe2fs shows nothing unless it
# has to; xfstests asks it whether there is a journal.
mkdir -p /xroot/usr/local/bin
printf '#!/bin/sh\nexec /usr/sbin/dumpe2fs -f "$@"\n' >/xroot/usr/local/bin/dumpe2fs
chmod +x /xroot/usr/local/bin/dumpe2fs
for dir in tmp dev/shm results; do mount -t tmpfs tmpfs /xroot/$dir; done
ln -sf /proc/self/fd /dev/fd
"##;

/// A machine in one of the modes.
pub struct Machine<'a> {
    lab: &'a mut Lab,
    mode: Mode,
}

impl<'a> Machine<'a> {
    /// Starts it, with a new filesystem on the device that the tests keep.
    pub fn start(lab: &'a mut Lab, mode: Mode) -> Result<Self> {
        lab.abandon();
        lab.with(match mode {
            Mode::Stock => Ext4::Stock,
            Mode::On => Ext4::ByteLog,
        })?;
        for name in MODULES {
            lab.modprobe(name, false).context(name)?;
        }
        let mut machine = Self { lab, mode };
        machine
            .script("sh -e", SETUP)
            .context("root of the tests")?;
        machine.script("sh -e", &counts::start(ROOT))?;
        let config = machine.config()?;
        machine.lab.call::<()>(Cmd::Write {
            path: format!("{ROOT}/results/config"),
            data: config,
        })?;
        let test = machine.lab.dev(DeviceKind::Virtio)?;
        machine.lab.must_run(&format!(
            "mke2fs -q -F -t ext4 -b 4096 -O fast_commit {}",
            test.path()
        ))?;
        Ok(machine)
    }

    fn script(&mut self, shell: &str, text: &str) -> Result<String> {
        let RunResult { status, output } = self.lab.run_with(shell, text)?;
        ensure!(status == 0, "exit {status}: {}", output.trim());
        Ok(output)
    }

    fn config(&mut self) -> Result<String> {
        let test = self.lab.dev(DeviceKind::Virtio)?.path();
        let scratch = self.lab.dev(DeviceKind::Sync)?.path();
        let option = match self.mode {
            Mode::Stock => "",
            Mode::On => ",dax_fc_bytelog=on",
        };
        let opts = format!("-o acl,user_xattr{option}");
        Ok(format!(
            "export FSTYP=ext4 TEST_DEV={test} TEST_DIR=/test SCRATCH_DEV={scratch} SCRATCH_MNT=/scratch\n\
             export RESULT_BASE=/results DIFF_LENGTH=30\n\
             export MKFS_OPTIONS='-b 4096 -O fast_commit'\n\
             export MOUNT_OPTIONS='{opts}' TEST_FS_MOUNT_OPTS='{opts}'\n"
        ))
    }

    /// Reads the groups of a directory of tests.
    pub fn group_list(&mut self, dir: &str) -> Result<String> {
        let path = format!("{ROOT}/xfstests/tests/{dir}/group.list");
        self.lab
            .call(Cmd::Read { path })
            .context("XFSTESTS= has to name an installed xfstests (what its make install makes)")
    }

    fn read(&mut self, file: &str) -> Result<String> {
        // Not Cmd::Read: a test may print what is not text.
        self.lab.must_run(&format!("tail -c {TAIL} {ROOT}{file}"))
    }

    /// Runs tests, and reports each with what it left as soon as it has ended. A test
    /// that is not through when `limit` is over ends this, and so does one that the
    /// machine does not survive.
    pub fn run(
        &mut self,
        tests: &[String],
        limit: Duration,
        mut report: impl FnMut(Entry, &[(String, String)]) -> Result<()>,
    ) -> Result<()> {
        let check = format!(
            "cd /xfstests && ./check {} </dev/null >/results/log 2>&1; logger end",
            tests.join(" ")
        );
        let argv = format!("chroot {ROOT} /usr/bin/env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin HOME=/root TERM=dumb HOST_OPTIONS=/results/config /bin/bash -c");
        let mut argv: Vec<String> = argv.split_whitespace().map(str::to_owned).collect();
        argv.push(check);
        let id = self.lab.vm()?.start(Cmd::Run {
            argv,
            stdin: String::new(),
        })?;
        let mut seen = 0;
        let mut waiting: VecDeque<Entry> = VecDeque::new();
        let mut current: Option<String> = None;
        let mut since = Instant::now();
        let broken = loop {
            sleep(LOOK);
            let looked = self.lab.vm()?.answered(id).and_then(|ended| {
                let counts = self.counts()?;
                let said = self.lab.run(&format!("cat {ROOT}/results/log"))?.output;
                Ok((ended, counts, output::parse(&said, ended)))
            });
            let (ended, counts, (said, running)) = match looked {
                Ok(found) => found,
                // The machine is gone, or does not answer any more.
                Err(err) => break Some((Outcome::Crash, format!("{err:#}"))),
            };
            for said in said.into_iter().skip(seen) {
                seen += 1;
                waiting.push_back(Entry {
                    test: said.name,
                    mode: self.mode,
                    outcome: said.outcome,
                    seconds: since.elapsed().as_secs(),
                    text: said.text,
                    counts: Counts::default(),
                });
                since = Instant::now();
            }
            // What happened during a test is known when the next one starts.
            while let Some(mut entry) = waiting.pop_front() {
                match counts.get(&entry.test) {
                    Some(counts) => entry.counts = *counts,
                    None if ended => {}
                    None => {
                        waiting.push_front(entry);
                        break;
                    }
                }
                let files = self.files(&entry);
                report(entry, &files)?;
            }
            if ended {
                break None;
            }
            if running != current {
                current = running;
                since = Instant::now();
            }
            let allowed = if current.is_some() {
                limit
            } else {
                limit + AROUND
            };
            if since.elapsed() > allowed {
                let text = format!("no end after {} s", limit.as_secs());
                break Some((Outcome::Timeout, text));
            }
        };
        for entry in waiting {
            report(entry, &[])?;
        }
        if let Some((outcome, text)) = broken {
            let test = current.with_context(|| format!("xfstests did not start: {text}"))?;
            let log = self.lab.console_tail(60);
            self.lab.abandon();
            let entry = Entry {
                test,
                mode: self.mode,
                outcome,
                seconds: since.elapsed().as_secs(),
                text,
                counts: Counts::default(),
            };
            report(entry, &[("console".into(), log)])?;
        }
        Ok(())
    }

    /// What the kernel counted during each test that has ended.
    fn counts(&mut self) -> Result<HashMap<String, Counts>> {
        let text = self.lab.run(&format!("cat {ROOT}{}", counts::FILE))?.output;
        Ok(counts::of_tests(&text).into_iter().collect())
    }

    /// What a failed test left.
    fn files(&mut self, entry: &Entry) -> Vec<(String, String)> {
        if entry.outcome != Outcome::Fail {
            return Vec::new();
        }
        let kinds = ["out.bad", "full", "dmesg"].into_iter();
        kinds
            .filter_map(|kind| {
                let text = self.read(&format!("/results/{}.{kind}", entry.test)).ok()?;
                Some((kind.to_owned(), text))
            })
            .collect()
    }
}
