/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints of ext4_bytelog, below events/ext4_bytelog in tracefs.  Sizes are
 * bytes.  trace.rs declares the same functions for Rust.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ext4_bytelog

/* Why a fast commit was given up: @reason of bytelog_abort. */
#define BYTELOG_ABORT_LOG_FULL		0
#define BYTELOG_ABORT_LOG_FEATURES	1
#define BYTELOG_ABORT_LOG_CLOSED	2
#define BYTELOG_ABORT_DEVICE_ERROR	3
#define BYTELOG_ABORT_OTHER_REFUSAL	4
#define BYTELOG_ABORT_BY_EXT4		5

#if !defined(_BYTELOG_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _BYTELOG_TRACE_H

#include <linux/types.h>
#include <linux/kdev_t.h>
#include <linux/tracepoint.h>

/* A mount has begun to log. */
TRACE_EVENT(bytelog_attach,
	TP_PROTO(u32 dev, u64 area_bytes, u32 pieces, bool synchronous),
	TP_ARGS(dev, area_bytes, pieces, synchronous),

	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u32, pieces)
		__field(u64, area_bytes)
		__field(bool, synchronous)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->pieces = pieces;
		__entry->area_bytes = area_bytes;
		__entry->synchronous = synchronous;
	),

	TP_printk("dev %d,%d area_bytes %llu pieces %u synchronous %d",
		  MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->area_bytes, __entry->pieces, __entry->synchronous)
);

/*
 * A fast commit is durable.  @ordinal counts those of the transaction, from 1; 0:
 * it had nothing to log.  @used: how far the log is filled after it.  @nanos: the
 * time from ext4's call to here.
 */
TRACE_EVENT(bytelog_commit,
	TP_PROTO(u32 dev, u32 tid, u32 ordinal, u32 records, u64 payload_bytes,
		 u64 log_bytes, u64 used, u64 nanos),
	TP_ARGS(dev, tid, ordinal, records, payload_bytes, log_bytes, used,
		nanos),

	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u32, tid)
		__field(u32, ordinal)
		__field(u32, records)
		__field(u64, payload_bytes)
		__field(u64, log_bytes)
		__field(u64, used)
		__field(u64, nanos)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->tid = tid;
		__entry->ordinal = ordinal;
		__entry->records = records;
		__entry->payload_bytes = payload_bytes;
		__entry->log_bytes = log_bytes;
		__entry->used = used;
		__entry->nanos = nanos;
	),

	TP_printk("dev %d,%d tid %u ordinal %u records %u payload_bytes %llu log_bytes %llu used %llu nanos %llu",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->tid,
		  __entry->ordinal, __entry->records, __entry->payload_bytes,
		  __entry->log_bytes, __entry->used, __entry->nanos)
);

/* A fast commit is given up; ext4 commits in full instead. */
TRACE_EVENT(bytelog_abort,
	TP_PROTO(u32 dev, u32 tid, u32 reason, int error),
	TP_ARGS(dev, tid, reason, error),

	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u32, tid)
		__field(u32, reason)
		__field(int, error)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->tid = tid;
		__entry->reason = reason;
		__entry->error = error;
	),

	TP_printk("dev %d,%d tid %u reason %s error %d",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->tid,
		  __print_symbolic(__entry->reason,
			{ BYTELOG_ABORT_LOG_FULL,	"log_full" },
			{ BYTELOG_ABORT_LOG_FEATURES,	"log_features" },
			{ BYTELOG_ABORT_LOG_CLOSED,	"log_closed" },
			{ BYTELOG_ABORT_DEVICE_ERROR,	"device_errors" },
			{ BYTELOG_ABORT_OTHER_REFUSAL,	"other_refusals" },
			{ BYTELOG_ABORT_BY_EXT4,	"dropped_by_ext4" }),
		  __entry->error)
);

/* A TLV found no room in the log.  @used of @capacity bytes are durable. */
TRACE_EVENT(bytelog_full,
	TP_PROTO(u32 dev, u32 tid, u64 used, u64 capacity),
	TP_ARGS(dev, tid, used, capacity),

	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u32, tid)
		__field(u64, used)
		__field(u64, capacity)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->tid = tid;
		__entry->used = used;
		__entry->capacity = capacity;
	),

	TP_printk("dev %d,%d tid %u used %llu capacity %llu",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->tid,
		  __entry->used, __entry->capacity)
);

/* A log was found sealed and goes to ext4's replay. */
TRACE_EVENT(bytelog_replay,
	TP_PROTO(u32 dev, u32 tid, u64 commits, u64 records, u64 payload_bytes),
	TP_ARGS(dev, tid, commits, records, payload_bytes),

	TP_STRUCT__entry(
		__field(u32, dev)
		__field(u32, tid)
		__field(u64, commits)
		__field(u64, records)
		__field(u64, payload_bytes)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->tid = tid;
		__entry->commits = commits;
		__entry->records = records;
		__entry->payload_bytes = payload_bytes;
	),

	TP_printk("dev %d,%d tid %u commits %llu records %llu payload_bytes %llu",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->tid,
		  __entry->commits, __entry->records, __entry->payload_bytes)
);

#endif /* _BYTELOG_TRACE_H */

/* Read once more for each of the things a tracepoint consists of. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE bytelog_trace
#include <trace/define_trace.h>
