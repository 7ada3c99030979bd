/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel crate's own bindings lack: jbd2's journal, DAX, persistence,
 * the fast-commit backend interface and our own tracepoints.
 */
#include <linux/crc32.h>
#include <linux/dax.h>
#include <linux/jbd2.h>
#include <linux/libnvdimm.h>
#include <linux/pagemap.h>

#include "fc_backend.h"
#include "helpers.h"
#include "bytelog_trace.h"
