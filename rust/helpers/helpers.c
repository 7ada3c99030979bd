// SPDX-License-Identifier: GPL-2.0
/*
 * Static inlines and macros that bindgen cannot translate.
 */
#include <linux/compiler.h>
#include <asm/barrier.h>

#include "helpers.h"

/* Orders the write-backs before it against everything after. */
void bytelog_pmem_wmb(void)
{
	pmem_wmb();
}
