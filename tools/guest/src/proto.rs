// SPDX-License-Identifier: GPL-2.0
//! The protocol between host and guest: one JSON object per line, both ways.
//!
//! The host sends [`Request`]s. The guest answers each with a [`Message::Reply`]
//! of the same id, in any order, and sends [`Message::Ack`] for every fsync of
//! a workload that has returned 0, before it starts the next operation. What counts
//! is what has arrived when the power goes.

use crate::database;
use crate::load::Load;
use crate::ops::Op;
use crate::short;
use crate::stress::Job;
use crate::timed::Timed;
use crate::workload::Spec;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name of the virtio-serial port that carries the protocol.
pub const PORT: &str = "bytelog.0";

/// What an interactive shell of the guest reads first (scripts/initramfs).
pub const SHELL_RC: &str = "/etc/shellrc";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub cmd: Cmd,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cmd {
    /// Kernel version and block devices: [`Hello`].
    Hello,
    /// Load a module file: nothing.
    Insmod { path: String, params: String },
    /// Load a module of the running kernel and what it depends on: nothing.
    /// With `deps_only`, only the dependencies.
    Modprobe { name: String, deps_only: bool },
    /// Unload a module: nothing.
    Rmmod { name: String },
    /// Run a program: [`RunResult`].
    Run { argv: Vec<String>, stdin: String },
    /// Run a program and count what reaches the device meanwhile: [`CountedRun`].
    RunCounted {
        argv: Vec<String>,
        dev: String,
        /// As for `Measure`.
        journal: Vec<(u64, u64)>,
    },
    /// Mount or remount ext4: [`MountResult`].
    Mount(MountArgs),
    /// Unmount: nothing.
    Umount { dir: String },
    /// Make a call whose N-th allocation fails, from 1; 0: none: [`Attempt`].
    Failing { nth: u32, call: Call },
    /// Shut a mounted filesystem down: nothing.
    Shutdown { dir: String, how: Shutdown },
    /// Resize a mounted filesystem to so many blocks, or to what it has: nothing.
    Resize { dir: String, blocks: u64 },
    /// Preallocate the first bytes of a file, and leave its size alone: nothing.
    Preallocate { path: String, len: u64 },
    /// Have the journal written back: nothing.
    Checkpoint { dir: String },
    /// Read the first bytes of a block device, and keep the kernel's copy of them: nothing.
    Hold { path: String, bytes: usize },
    /// Keep no such copies any more: nothing.
    Release,
    /// Read a small text file: its contents.
    Read { path: String },
    /// Write a small text file: nothing.
    Write { path: String, data: String },
    /// Run a workload, acknowledging every fsync: [`WorkloadResult`].
    Workload {
        spec: Spec,
        dir: String,
        dev: String,
    },
    /// Run random steps in a directory, acknowledging each, until they are stopped.
    Stress { job: Job, dir: String },
    /// Commit transactions to a database in a directory, acknowledging each, until
    /// they are stopped.
    Database { job: database::Job, dir: String },
    /// One of the two in a process of its own, which nothing but an error ends.
    Apart(Box<Cmd>),
    /// Stop steps and transactions, in all directories: nothing.
    StressStop,
    /// Judge what a cut left of the steps: [`crate::stress::Verdict`].
    StressCheck { job: Job, dir: String, acked: u64 },
    /// Judge what a cut left of a database: [`crate::stress::Verdict`].
    DatabaseCheck {
        job: database::Job,
        dir: String,
        acked: u64,
    },
    /// Run a workload and count what reaches the device: [`IoCounts`].
    Measure {
        spec: Spec,
        dir: String,
        dev: String,
        /// Journal blocks of the filesystem: (first, length) in sectors.
        journal: Vec<(u64, u64)>,
        /// The journal's device, if it has one of its own.
        journal_dev: Option<String>,
    },
    /// Run a load and take the time of each fsync, with marks around it for who
    /// counts: [`Costs`].
    Cost {
        load: Load,
        dir: String,
        dev: String,
        fsyncs: u64,
        /// Files or names of a batch.
        batch: u64,
        /// Look at the counters after each so many fsyncs; 0: never.
        look_every: u64,
    },
    /// Run a load and count what reaches the device: [`IoCounts`].
    CostIo {
        load: Load,
        dir: String,
        dev: String,
        fsyncs: u64,
        /// As for `Measure`.
        journal: Vec<(u64, u64)>,
        journal_dev: Option<String>,
    },
    /// Run a job and time it: [`IoCounts`], of which nothing but the time and the
    /// fsyncs is there unless what reaches the device is counted as well.
    Timed {
        job: Timed,
        dir: String,
        dev: String,
        ops: u64,
        /// Journal blocks, as for `Measure`, if it is to be counted.
        count: Option<Vec<(u64, u64)>>,
    },
    /// The tree under a directory: `Vec<Entry>`.
    Tree { dir: String },
    /// Commit counts of a mounted filesystem: [`FcStats`].
    Stats { dev: String },
    /// Kernel log since a sequence number: [`Kmsg`].
    Kmsg { since: u64 },
    /// Where stores are recorded, start with this segment, or stop: nothing.
    Trace { segment: Option<u64> },
    /// Where instructions are counted, count each of these functions of the kernel as a
    /// call: nothing.
    WatchCalls { functions: Vec<String> },
    /// Run and cut short workloads: [`short::Report`].
    Short(short::Job),
    /// Sync and switch the machine off; the answer may not arrive.
    Poweroff,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MountArgs {
    pub dev: String,
    pub dir: String,
    pub opts: String,
    pub read_only: bool,
    pub remount: bool,
    /// Leave marks around the call, for who counts.
    pub counted: bool,
}

/// What can be done with an allocation failing in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// A mount or a remount.
    Mount(MountArgs),
    Umount {
        dir: String,
    },
    Freeze {
        dir: String,
    },
    Thaw {
        dir: String,
    },
    /// An operation and its fsync.
    Synced {
        op: Op,
        dir: String,
    },
}

/// What became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    /// What it failed with.
    pub error: Option<String>,
    /// Whether it came to the allocation that was to fail.
    pub met: bool,
    /// Kernel log lines that appeared during the call.
    pub log: Vec<String>,
}

/// What comes before a filesystem refuses everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shutdown {
    /// It is frozen and thawed: all is written.
    Freeze,
    /// The running transaction is committed.
    Flush,
    /// Nothing.
    NoFlush,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The agent is up.
    Ready,
    Reply {
        id: u64,
        result: Result<Value, String>,
    },
    /// `n` fsyncs of workload `id` have returned 0.
    Ack {
        id: u64,
        n: u64,
        stats: Option<FcStats>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// Stores are durable once written back and fenced.
    Sync,
    /// virtio-pmem: durable once the host has been asked to flush.
    Virtio,
    /// An ordinary disk.
    Disk,
    /// A disk with untorn writes; few machines have it.
    Nvme,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub name: String,
    pub kind: DeviceKind,
    pub bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    pub release: String,
    pub devices: Vec<Device>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunResult {
    /// Exit status; 128 + signal for a killed program.
    pub status: i32,
    /// Standard output and standard error, as they came.
    pub output: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MountResult {
    /// 0, or what mount(2) failed with.
    pub errno: i32,
    pub error: String,
    /// Kernel log lines that appeared during the call.
    pub log: Vec<String>,
}

/// Counters of one mount, as ext4 and jbd2 show them in /proc.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FcStats {
    pub fast: u64,
    pub ineligible: u64,
    pub full: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkloadResult {
    pub fsyncs: u64,
    pub before: FcStats,
    pub after: FcStats,
}

/// Counters of ByteLog, as the module shows them in debugfs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStats {
    pub commits: u64,
    pub records: u64,
    /// Bytes of log: headers, TLVs and padding to lines.
    pub log_bytes: u64,
    /// Bytes of the running log, and what it can have.
    pub used: u64,
    pub capacity: u64,
}

/// What each fsync of a load took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// One number for each fsync, in order, in nanoseconds of the guest.
    pub nanos: Vec<u64>,
    pub before: FcStats,
    pub after: FcStats,
    /// Before and after, where the mount has ByteLog.
    pub log: Option<[LogStats; 2]>,
    pub looks: Vec<Look>,
}

/// The counters after so many fsyncs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    pub fsyncs: u64,
    pub stats: FcStats,
    pub log: Option<LogStats>,
}

/// What a measured workload did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoCounts {
    pub fsyncs: u64,
    pub fast: u64,
    pub full: u64,
    /// Block writes with data, to the journal and elsewhere.
    pub journal_writes: u64,
    pub other_writes: u64,
    /// Flushes that reached the device's persistence domain.
    pub flushes: u64,
    /// Flushes asked of the filesystem's device, if the journal has its own.
    pub data_flushes: u64,
    /// Calls of nvdimm_flush, whatever they led to.
    pub nvdimm_flushes: u64,
    pub nanos: u64,
}

/// A program that has been run, and what reached the device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CountedRun {
    pub run: RunResult,
    /// Without fsyncs.
    pub io: IoCounts,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kmsg {
    pub next: u64,
    pub lines: Vec<String>,
}
