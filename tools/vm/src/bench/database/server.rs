// SPDX-License-Identifier: GPL-2.0
//! PostgreSQL in the machine, with its files on the filesystem under test.

use super::pgbench::Run;
use crate::bench::machine::Machine;
use crate::bench::programs::{self, PATIENCE, ROOT};
use anyhow::{Context, Result};
use bytelog_guest::proto::{Cmd, CountedRun, IoCounts};

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
    /// Copies the server's files to the mounted filesystem and starts it.
    pub fn start(machine: &'a mut Machine, wal: Wal) -> Result<Self> {
        programs::enter(machine)?;
        let unpack = "mkdir /mnt/cluster && tar -C /mnt/cluster -xf /cluster.tar && sync";
        programs::script_inside(machine, unpack).context("the server's files")?;
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

    /// The machine that it runs in.
    pub fn machine(&mut self) -> &mut Machine {
        self.machine
    }

    /// Stops it and lets go of the filesystem.
    pub fn stop(mut self) -> Result<()> {
        self.run(
            "pg_ctl",
            &["-D", "/mnt/cluster", "-w", "-m", "fast", "stop"],
        )?;
        programs::leave(self.machine)
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
        let CountedRun { run, io } = self.machine.lab.vm()?.call_for(cmd, PATIENCE)?;
        Ok((Run::parse(&programs::output("pgbench", run)?)?, io))
    }

    fn sql(&mut self, statement: &str) -> Result<()> {
        let args = ["--host=/tmp", "--dbname=postgres", "-c", statement];
        self.run("psql", &args).map(|_| ())
    }

    fn run(&mut self, program: &str, args: &[impl AsRef<str>]) -> Result<String> {
        programs::run(self.machine, argv(program, args), "")
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
    programs::argv(Some("postgres"), &format!("/postgres/{program}"), args)
}
