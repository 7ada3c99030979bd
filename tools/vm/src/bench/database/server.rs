// SPDX-License-Identifier: GPL-2.0
//! PostgreSQL in the machine, with its files on the filesystem under test.

use super::pgbench::Run;
use crate::bench::machine::Machine;
use crate::lab::WORKLOAD;
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{Cmd, CountedRun, IoCounts, RunResult};

/// The image of `scripts/programs-root`, which is the machine's second disk.
const ROOT: &str = "/database";

const SETUP: &str = "
mkdir -p /database
mount -t squashfs -o ro /dev/vdb /database
for dir in proc sys dev; do mount --rbind /$dir /database/$dir; done
mkdir -p /database/dev/shm
for dir in dev/shm tmp; do mount -t tmpfs -o mode=1777 tmpfs /database/$dir; done
ln -sf /proc/self/fd /dev/fd
";

/// How the server makes the files of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wal {
    /// As it does where nothing is said: filled with zeros, and used again. A
    /// transaction overwrites blocks that are there.
    Zeroed,
    /// `wal_init_zero=off`, `wal_recycle=off`: new, and without blocks. A transaction
    /// allocates those that it writes first.
    Sparse,
}

impl Wal {
    pub const ALL: [Self; 2] = [Self::Zeroed, Self::Sparse];

    /// Beginning of a workload's name in tables and in bench.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zeroed => "pgbench",
            Self::Sparse => "pgbench_sparse",
        }
    }

    fn options(self) -> &'static str {
        match self {
            Self::Zeroed => "",
            Self::Sparse => "-c wal_init_zero=off -c wal_recycle=off",
        }
    }
}

/// A running server.
pub struct Server<'a> {
    machine: &'a mut Machine,
}

impl<'a> Server<'a> {
    /// What a machine needs once: the root, with places to write in memory.
    pub fn prepare(machine: &mut Machine) -> Result<()> {
        machine.lab.modprobe("squashfs", false)?;
        script(machine, SETUP).context("root of the database")
    }

    /// Copies the server's files to the mounted filesystem and starts it.
    pub fn start(machine: &'a mut Machine, wal: Wal) -> Result<Self> {
        let dir = machine.dir();
        script(
            machine,
            &format!(
                "mount --bind {dir} {ROOT}/mnt\n\
                 mkdir {ROOT}/mnt/cluster\n\
                 chroot {ROOT} /usr/bin/tar -C /mnt/cluster -xf /cluster.tar\n\
                 sync\n"
            ),
        )
        .context("the server's files")?;
        let mut server = Self { machine };
        let log = "/tmp/log";
        let args = format!("-D /mnt/cluster -w -t 200 -l {log} start -o");
        let mut args: Vec<&str> = args.split_whitespace().collect();
        args.push(wal.options());
        if let Err(err) = server.run("pg_ctl", &args) {
            let said = server.machine.lab.must_run(&format!("cat {ROOT}{log}"))?;
            return Err(err.context(format!("PostgreSQL: {}", said.trim())));
        }
        // From here on the log's files are made as the options say.
        server.sql("SELECT pg_switch_wal()")?;
        Ok(server)
    }

    /// Stops it and lets go of the filesystem.
    pub fn stop(mut self) -> Result<()> {
        self.run(
            "pg_ctl",
            &["-D", "/mnt/cluster", "-w", "-m", "fast", "stop"],
        )?;
        self.machine.lab.umount(&format!("{ROOT}/mnt"))
    }

    /// Lets clients make so many transactions each; the same every time.
    pub fn load(&mut self, clients: u64, each: u64) -> Result<Run> {
        // Pages are written to the log as a whole once after each checkpoint.
        self.sql("CHECKPOINT")?;
        let said = self.run("pgbench", &args(clients, each))?;
        Run::parse(&said)
    }

    /// The same, counting what reaches the device.
    pub fn count(&mut self, clients: u64, each: u64) -> Result<(Run, IoCounts)> {
        self.sql("CHECKPOINT")?;
        let (dev, journal) = self.machine.data_and_journal()?;
        let cmd = Cmd::RunCounted {
            argv: argv("pgbench", &args(clients, each)),
            dev,
            journal,
        };
        let CountedRun { run, io } = self.machine.lab.vm()?.call_for(cmd, WORKLOAD)?;
        Ok((Run::parse(&output("pgbench", run)?)?, io))
    }

    fn sql(&mut self, statement: &str) -> Result<()> {
        let args = ["--host=/tmp", "--dbname=postgres", "-c", statement];
        self.run("psql", &args).map(|_| ())
    }

    fn run(&mut self, program: &str, args: &[impl AsRef<str>]) -> Result<String> {
        let cmd = Cmd::Run {
            argv: argv(program, args),
            stdin: String::new(),
        };
        let result = self.machine.lab.vm()?.call_for(cmd, WORKLOAD)?;
        output(program, result)
    }
}

/// Arguments of a run of pgbench. Its transaction that updates no small table: on those
/// one client would wait for the other, and none for the disk.
fn args(clients: u64, each: u64) -> Vec<String> {
    let line = format!(
        "--host=/tmp --no-vacuum --builtin=simple-update --protocol=prepared \
         --random-seed=7 --client={clients} --transactions={each} postgres"
    );
    line.split_whitespace().map(str::to_owned).collect()
}

/// One of PostgreSQL's programs in its root, which refuse to run as root.
fn argv(program: &str, args: &[impl AsRef<str>]) -> Vec<String> {
    let line = format!(
        "chroot {ROOT} /usr/bin/setpriv --reuid=postgres --regid=postgres --clear-groups \
         /usr/bin/env -i PATH=/usr/bin HOME=/tmp /postgres/{program}"
    );
    let words = line
        .split_whitespace()
        .chain(args.iter().map(AsRef::as_ref));
    words.map(str::to_owned).collect()
}

fn output(program: &str, result: RunResult) -> Result<String> {
    let RunResult { status, output } = result;
    ensure!(status == 0, "{program}: exit {status}: {}", output.trim());
    Ok(output)
}

fn script(machine: &mut Machine, text: &str) -> Result<()> {
    let cmd = Cmd::Run {
        argv: vec!["sh".to_owned(), "-e".to_owned()],
        stdin: text.to_owned(),
    };
    let result = machine.lab.vm()?.call_for(cmd, WORKLOAD)?;
    output("sh", result).map(|_| ())
}
