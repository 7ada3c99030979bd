// SPDX-License-Identifier: GPL-2.0
//! The workloads, and how one is prepared and run in the machine.

use crate::bench::database::server::{Server, Wal};
use crate::bench::machine::Machine;
use crate::bench::programs;
use anyhow::{Context, Result};
use bytelog_guest::models::{Done, Model, ARGUMENT};

/// Operations for which one layer is unpacked, or one commit made: what is dear.
const OPS_PER_LAYER: u64 = 4;
const OPS_PER_COMMIT: u64 = 5;

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// What the agent can be.
    Model(Model),
    /// Commits, with `core.fsync=all`.
    Git,
    /// A package is installed, and upgraded.
    Dpkg,
    /// A tree is copied, with `--fsync`.
    Rsync,
    /// Transactions of pgbench with one client, and the checkpoint before them.
    Postgres(Wal),
}

/// All, in the order of reports.
pub const ALL: [Workload; 24] = {
    const MODELS: [Model; 19] = Model::ALL;
    const DATABASES: usize = 4;
    let programs = [
        Workload::Git,
        Workload::Dpkg,
        Workload::Rsync,
        Workload::Postgres(Wal::Zeroed),
        Workload::Postgres(Wal::Sparse),
    ];
    let mut all = [Workload::Git; 24];
    let mut i = 0;
    while i < all.len() {
        all[i] = if i < DATABASES {
            Workload::Model(MODELS[i])
        } else if i < DATABASES + programs.len() {
            programs[i - DATABASES]
        } else {
            Workload::Model(MODELS[i - programs.len()])
        };
        i += 1;
    }
    all
};

/// What git is told once.
const GIT: &str = "
mkdir /mnt/work
cd /mnt/work
git init --quiet --initial-branch=main
git config user.name somebody
git config user.email somebody@localhost
git config core.fsync all
git config gc.auto 0
git config maintenance.auto false
cp -r /source/dir1 .
git add .
git commit --quiet -m first
";

/// The files of a system without packages.
const DPKG: &str = "
mkdir -p /mnt/root/var/lib/dpkg/{info,updates,triggers}
touch /mnt/root/var/lib/dpkg/status
";

impl Workload {
    /// The name in tables and in workloads.json.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Model(model) => model.name(),
            Self::Git => "git",
            Self::Dpkg => "dpkg",
            Self::Rsync => "rsync",
            Self::Postgres(Wal::Zeroed) => "postgresql",
            Self::Postgres(Wal::Sparse) => "postgresql_sparse",
        }
    }

    /// Whether it needs the image of programs.
    pub fn is_a_program(&self) -> bool {
        !matches!(self, Self::Model(_))
    }

    /// Prepares it on the mounted filesystem, runs `around` with what is then to be
    /// measured, and lets go of the filesystem.
    pub fn with<T>(
        self,
        machine: &mut Machine,
        ops: u64,
        around: impl FnOnce(&mut Running) -> Result<T>,
    ) -> Result<T> {
        match self {
            Self::Model(model) => {
                let mut running = Running::Model(machine, model, ops);
                running.model("prepare", None)?;
                around(&mut running)
            }
            Self::Git | Self::Dpkg | Self::Rsync => {
                programs::enter(machine)?;
                let (prepare, script) = self.scripts(ops);
                programs::script_inside(machine, prepare)?;
                let outcome = around(&mut Running::Script(machine, script))?;
                programs::leave(machine)?;
                Ok(outcome)
            }
            Self::Postgres(wal) => {
                let mut server = Server::start(machine, wal)?;
                // Caches fill, queries are planned.
                server.load(1, ops.div_ceil(5))?;
                let mut running = Running::Server(server, ops);
                let outcome = around(&mut running)?;
                if let Running::Server(server, _) = running {
                    server.stop()?;
                }
                Ok(outcome)
            }
        }
    }

    /// What is run in the root before, and to be measured.
    fn scripts(self, ops: u64) -> (&'static str, String) {
        match self {
            Self::Git => {
                let commits = ops.div_ceil(OPS_PER_COMMIT);
                let script = format!(
                    "cd /mnt/work\n\
                     for ((i = 1; i <= {commits}; i++)); do\n\
                     \tmkdir -p new$((i / 8))\n\
                     \techo $i >new$((i / 8))/file$i\n\
                     \techo $i >>dir1/file1\n\
                     \tgit add .\n\
                     \tgit commit --quiet -m \"change $i\"\n\
                     done\n"
                );
                (GIT, script)
            }
            Self::Dpkg => {
                let install = "dpkg --root=/mnt/root --install";
                let script = format!("{install} /sample_1.deb\n{install} /sample_2.deb\n");
                (DPKG, script)
            }
            _ => (
                "mkdir /mnt/copy",
                "rsync --archive --fsync /source/ /mnt/copy/".to_owned(),
            ),
        }
    }
}

/// A workload that is ready to be measured.
pub enum Running<'a> {
    Model(&'a mut Machine, Model, u64),
    Script(&'a mut Machine, String),
    Server(Server<'a>, u64),
}

impl Running<'_> {
    /// The machine that it runs in.
    pub fn machine(&mut self) -> &mut Machine {
        match self {
            Self::Model(machine, ..) | Self::Script(machine, _) => machine,
            Self::Server(server, _) => server.machine(),
        }
    }

    /// Runs it; returns the fsyncs that it says it made, if it does.
    pub fn run(&mut self) -> Result<Option<u64>> {
        match self {
            Self::Model(_, Model::SymlinkTree, ops) => {
                let layers = ops.div_ceil(OPS_PER_LAYER);
                self.model("run", Some(layers))
            }
            Self::Model(_, _, ops) => {
                let ops = *ops;
                self.model("run", Some(ops))
            }
            Self::Script(machine, script) => {
                programs::script_inside(machine, script)?;
                Ok(None)
            }
            Self::Server(server, transactions) => {
                server.load(1, *transactions)?;
                Ok(None)
            }
        }
    }

    /// Has the agent be the model.
    fn model(&mut self, step: &str, ops: Option<u64>) -> Result<Option<u64>> {
        let Self::Model(machine, model, _) = self else {
            return Ok(None);
        };
        let dir = format!("{}/{}", machine.dir(), model.name());
        let mut argv = ["/init", ARGUMENT, model.name(), &dir, step]
            .map(str::to_owned)
            .to_vec();
        argv.extend(ops.map(|ops| ops.to_string()));
        let said = programs::run(machine, argv, "")?;
        if ops.is_none() {
            return Ok(None);
        }
        let done: Done = serde_json::from_str(&said).with_context(|| said.trim().to_owned())?;
        Ok(done.fsyncs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_is_there_once() {
        let names: Vec<_> = ALL.iter().map(Workload::name).collect();
        let different: HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), ALL.len());
        assert_eq!(
            names.get(..10),
            Some(
                &[
                    "sqlite_delete",
                    "sqlite_wal",
                    "sqlite_truncate",
                    "sqlite_persist",
                    "git",
                    "dpkg",
                    "rsync",
                    "postgresql",
                    "postgresql_sparse",
                    "varmail"
                ][..]
            )
        );
        for model in Model::ALL {
            assert!(names.contains(&model.name()), "{}", model.name());
        }
    }
}
