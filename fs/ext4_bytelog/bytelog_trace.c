// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints' C side, with entry points for Rust.
 */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "bytelog_trace.h"
