// SPDX-License-Identifier: GPL-2.0
//! Runs the test machine: the demo, the tests, or a shell in it.

mod bench;
mod channel;
mod config;
mod console;
mod cuts;
mod demo;
mod disk;
mod events;
mod fclog;
mod golden;
mod host;
mod image;
mod lab;
mod messages;
mod packages;
mod short;
mod soak;
mod suite;
mod trace;
mod vm;
mod xfstests;

use anyhow::{bail, Context, Result};
use clap::{Args, Parser, Subcommand};
use config::{Accel, VmConfig};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// The main job, with a table at the end
    Demo(Common),
    /// The tests that need a machine
    Test {
        #[command(flatten)]
        common: Common,
        /// Run only tests whose name contains this
        #[arg(long)]
        filter: Option<String>,
        /// Machines at once, each with files in a directory of its own
        #[arg(long, default_value_t = 1, overrides_with = "jobs")]
        jobs: usize,
        /// Take the names of tests from standard input, as the machine of this number
        #[arg(long, hide = true)]
        member: Option<usize>,
        /// Print the names of the tests and stop
        #[arg(long)]
        list: bool,
    },
    /// What an fsync costs, in instructions and against stock ext4
    Bench {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: bench::Options,
    },
    /// Transactions of PostgreSQL, in time and instructions, against stock ext4
    BenchDatabase {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: bench::database::Options,
    },
    /// Programs that call fsync: what that costs, and which commits are fast
    Workloads {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: bench::workloads::Options,
    },
    /// Record the stores of fast commits, for the crash-state checker
    Trace {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        args: trace::Args,
    },
    /// Mount the images that the checker made of a recording
    MountImages {
        #[command(flatten)]
        common: Common,
        /// Directory of the recording
        #[arg(long)]
        dir: PathBuf,
    },
    /// Record crashed filesystems, for the tests of the bytelog command
    Golden {
        #[command(flatten)]
        common: Common,
        /// Directory for the images
        #[arg(long)]
        out: PathBuf,
    },
    /// Random cuts, as many as are asked for
    Soak {
        #[command(flatten)]
        common: Common,
        /// Number of cuts
        #[arg(long, default_value_t = 200)]
        cuts: u64,
        /// Filesystems with their journal on a device of its own
        #[arg(long)]
        external: bool,
        /// ext4's own fast commits, without the hook
        #[arg(long)]
        stock: bool,
        /// File that says which seeds are done; a run goes on where it ends
        #[arg(long)]
        record: Option<PathBuf>,
        /// Fail if nothing is lost; stop at the first loss, unless of stock
        #[arg(long)]
        expect_loss: bool,
    },
    /// Short workloads, cut everywhere
    Short {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: short::Options,
    },
    /// xfstests on stock ext4 and with ByteLog, and what differs
    Xfstests {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        args: xfstests::Args,
    },
    /// The Debian packages, on a Debian of their own
    Packages {
        #[command(flatten)]
        common: Common,
        /// Its root filesystem, with the packages in it; it is copied
        #[arg(long)]
        root: PathBuf,
    },
    /// An interactive machine with the modules loaded and a filesystem mounted
    Shell {
        #[command(flatten)]
        common: Common,
        /// Value of the mount option dax_fc_bytelog
        #[arg(long, default_value = "on")]
        option: String,
    },
}

#[derive(Args)]
struct Common {
    /// Kernel image
    #[arg(long)]
    kernel: PathBuf,
    /// Initramfs with the agent, the modules and e2fsprogs
    #[arg(long)]
    initramfs: PathBuf,
    /// Kernel release that is expected to boot
    #[arg(long)]
    kver: Option<String>,
    /// Directory for device images and logs; made if need be
    #[arg(long)]
    workdir: PathBuf,
    #[arg(long, value_enum, default_value_t = Accel::Tcg)]
    accel: Accel,
    /// Seed of the workloads; the same seed gives the same operations
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the device images
    #[arg(long)]
    keep: bool,
}

impl Common {
    /// Checks the inputs and enters the working directory, where all files of a
    /// machine have short, fixed names.
    fn enter(&self, shell: Option<String>) -> Result<VmConfig> {
        let find = |path: &PathBuf| {
            path.canonicalize()
                .with_context(|| path.display().to_string())
        };
        let config = VmConfig {
            kernel: find(&self.kernel)?,
            initramfs: find(&self.initramfs)?,
            accel: self.accel,
            cpus: 2,
            icount: None,
            nvme: false,
            plugin: None,
            virtio_mib: config::VIRTIO_MIB,
            disk_mib: config::DISK_MIB,
            virtio_memory: false,
            watch_flushes: false,
            patience: match &self.kver {
                Some(kver) if kver.ends_with(suite::DEBUGGING) => 5,
                _ => 1,
            },
            raw_memory: false,
            read_only: Vec::new(),
            shell,
            root: None,
        };
        std::fs::create_dir_all(&self.workdir)
            .and_then(|()| std::env::set_current_dir(&self.workdir))
            .with_context(|| self.workdir.display().to_string())?;
        Ok(config)
    }

    fn leave(&self) {
        if !self.keep {
            let pmem = [config::SYNC_IMAGE, config::VIRTIO_IMAGE];
            for path in pmem.iter().chain(config::DISKS.iter().flatten()) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn shell(common: &Common, option: String) -> Result<bool> {
    let config = common.enter(Some(option))?;
    vm::make_images(&config)?;
    for [_, _, log] in config.disks() {
        std::fs::File::create(log)?;
    }
    let status = config.command().status().context("qemu-system-x86_64")?;
    if !status.success() {
        bail!("QEMU: {status}");
    }
    Ok(true)
}

fn run(cli: Cli) -> Result<bool> {
    match cli.command {
        Action::Demo(common) => {
            let config = common.enter(None)?;
            let outcome = demo::run(&config, common.kver.as_deref(), common.seed);
            common.leave();
            outcome
        }
        Action::Test {
            list: true, common, ..
        } => {
            suite::list(common.kver.as_deref());
            Ok(true)
        }
        Action::Test {
            mut common,
            member: Some(number),
            ..
        } => {
            common.workdir.push(number.to_string());
            let config = common.enter(None)?;
            let outcome = suite::serve(&config, common.kver.as_deref(), common.seed);
            common.leave();
            outcome
        }
        Action::Test {
            common,
            filter,
            jobs,
            ..
        } => {
            let kver = common.kver.as_deref();
            println!("seed {}", common.seed);
            let counts = if jobs > 1 {
                suite::crew::run(jobs, kver, filter.as_deref())
            } else {
                let config = common.enter(None)?;
                let counts = suite::alone(&config, kver, common.seed, filter.as_deref());
                common.leave();
                counts
            };
            Ok(suite::summary(counts))
        }
        Action::Bench { common, options } => {
            let options = options.resolve()?;
            let config = common.enter(None)?;
            let outcome = bench::run(&config, common.kver.as_deref(), common.seed, &options);
            common.leave();
            outcome
        }
        Action::BenchDatabase { common, options } => {
            let options = options.resolve()?;
            let mut config = common.enter(None)?;
            config.read_only = options.disks();
            let kver = common.kver.as_deref();
            let outcome = bench::database::run(&config, kver, common.seed, &options);
            common.leave();
            outcome.map(|()| true)
        }
        Action::Workloads { common, options } => {
            let options = options.resolve()?;
            let mut config = common.enter(None)?;
            config.read_only = options.disks();
            let kver = common.kver.as_deref();
            let outcome = bench::workloads::run(&config, kver, common.seed, &options);
            common.leave();
            outcome
        }
        Action::Trace { common, args } => {
            let args = args.resolve()?;
            let config = common.enter(None)?;
            let outcome = trace::record(&config, common.kver.as_deref(), common.seed, &args);
            common.leave();
            outcome.map(|()| true)
        }
        Action::MountImages { common, dir } => {
            let dir = dir.canonicalize().context("--dir")?;
            let config = common.enter(None)?;
            let outcome = trace::mount_images(&config, common.kver.as_deref(), &dir);
            common.leave();
            outcome
        }
        Action::Golden { common, out } => {
            let out = out.canonicalize().context("--out")?;
            let config = common.enter(None)?;
            let outcome = golden::record(&config, common.kver.as_deref(), common.seed, &out);
            common.leave();
            outcome.map(|()| true)
        }
        Action::Soak {
            common,
            cuts,
            external,
            stock,
            record,
            expect_loss,
        } => {
            let record = record.map(std::path::absolute).transpose()?;
            let config = common.enter(None)?;
            let soak = soak::Soak {
                cuts,
                seed: common.seed,
                mode: cuts::Mode { external, stock },
                record: record.as_deref(),
                expect_loss,
            };
            let outcome = soak::run(&config, common.kver.as_deref(), &soak);
            common.leave();
            outcome
        }
        Action::Short { common, options } => {
            let options = options.resolve()?;
            let config = common.enter(None)?;
            let outcome = short::run(&config, common.kver.as_deref(), common.seed, &options);
            common.leave();
            outcome
        }
        Action::Xfstests { common, args } => {
            let args = args.resolve()?;
            let mut config = common.enter(None)?;
            config.virtio_mib = config::SYNC_MIB;
            config.read_only = args.disks();
            let outcome = xfstests::run(&config, common.kver.as_deref(), &args);
            common.leave();
            outcome
        }
        Action::Packages { common, root } => {
            let root = root.canonicalize().context("--root")?;
            let config = common.enter(None)?;
            let kver = common.kver.as_deref().context("--kver is needed")?;
            let outcome = packages::run(&config, kver, common.seed, &root);
            common.leave();
            outcome
        }
        Action::Shell { common, option } => shell(&common, option),
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("bytelog-vm: {err:#}");
            ExitCode::FAILURE
        }
    }
}
