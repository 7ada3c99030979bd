// SPDX-License-Identifier: GPL-2.0

//! The tracepoints, as the module calls them. `bytelog_trace.h` has their fields.

use crate::{
    abstractions::{mapping::Mapping, tracepoint::declare_traces},
    bytelog::{reader::Log as LogSummary, writer::Commit},
    fallback::Fallback,
};
use kernel::ffi::c_int;

declare_traces! {
    fn bytelog_attach(dev: u32, area_bytes: u64, pieces: u32, synchronous: bool);
    fn bytelog_commit(
        dev: u32,
        tid: u32,
        ordinal: u32,
        records: u32,
        payload_bytes: u64,
        log_bytes: u64,
        used: u64,
        nanos: u64,
    );
    fn bytelog_abort(dev: u32, tid: u32, reason: u32, error: c_int);
    fn bytelog_full(dev: u32, tid: u32, used: u64, capacity: u64);
    fn bytelog_replay(dev: u32, tid: u32, commits: u64, records: u64, payload_bytes: u64);
}

/// A mount has begun to log.
pub(crate) fn attach(dev: u32, mapping: &Mapping) {
    let pieces = u32::try_from(mapping.segments()).unwrap_or(u32::MAX);
    bytelog_attach(dev, mapping.len(), pieces, mapping.is_synchronous());
}

/// A fast commit is durable; `used` bytes of log are filled.
#[inline]
pub(crate) fn commit(dev: u32, tid: u32, done: &Commit, used: u64, nanos: u64) {
    bytelog_commit(
        dev,
        tid,
        done.ordinal,
        done.records,
        done.payload_bytes,
        done.log_bytes,
        used,
        nanos,
    );
}

/// A fast commit is given up.
pub(crate) fn abort(dev: u32, tid: u32, why: Fallback) {
    bytelog_abort(dev, tid, why.trace_reason(), why.errno().to_errno());
}

/// A TLV found no room in the log.
pub(crate) fn full(dev: u32, tid: u32, used: u64, capacity: u64) {
    bytelog_full(dev, tid, used, capacity);
}

/// A log goes to ext4's replay, with so many bytes of TLVs.
pub(crate) fn replay(dev: u32, tid: u32, log: &LogSummary, payload_bytes: u64) {
    bytelog_replay(dev, tid, log.commits.into(), log.records, payload_bytes);
}
