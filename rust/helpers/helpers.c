// SPDX-License-Identifier: GPL-2.0
/*
 * Static inlines and macros that bindgen cannot translate.
 */
#include <linux/compiler.h>
#include <asm/barrier.h>
#ifdef CONFIG_X86
#include <asm/tsc.h>
#else
#include <linux/sched/clock.h>
#endif

#include "helpers.h"

/* Orders the write-backs before it against everything after. */
void bytelog_pmem_wmb(void)
{
	pmem_wmb();
}

/* A counter that is cheap to read; on x86 the module reads the CPU's own. */
#ifndef CONFIG_X86
notrace u64 bytelog_cycles(void)
{
	return local_clock();
}
#endif

/* How fast it runs. */
u64 bytelog_cycles_khz(void)
{
#ifdef CONFIG_X86
	return tsc_khz;
#else
	return NSEC_PER_SEC / 1000;
#endif
}
