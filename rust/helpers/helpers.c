// SPDX-License-Identifier: GPL-2.0
/*
 * Static inlines and macros that bindgen cannot translate.
 */
#include <linux/compiler.h>
#include <linux/sched/clock.h>
#include <asm/barrier.h>
#ifdef CONFIG_X86
#include <asm/tsc.h>
#endif

#include "helpers.h"

/* Orders the write-backs before it against everything after. */
void bytelog_pmem_wmb(void)
{
	pmem_wmb();
}

/* A counter that is cheap to read, and how fast it runs. */
notrace u64 bytelog_cycles(void)
{
#ifdef CONFIG_X86
	return rdtsc();
#else
	return local_clock();
#endif
}

u64 bytelog_cycles_khz(void)
{
#ifdef CONFIG_X86
	return tsc_khz;
#else
	return NSEC_PER_SEC / 1000;
#endif
}
