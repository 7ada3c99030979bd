// SPDX-License-Identifier: GPL-2.0
/*
 * Static inlines and macros that bindgen cannot translate.
 */
#include <linux/compiler.h>
#include <linux/crc32.h>
#include <asm/barrier.h>
#ifdef CONFIG_X86
#include <asm/cpufeature.h>
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

/*
 * CRC32C of a header or of a few TLVs: as the kernel's, which goes through fewer than 512 bytes
 * by eight in each turn of a loop, but by 64.
 */
#ifdef CONFIG_X86_64
u32 bytelog_crc32c(u32 seed, const u8 *p, size_t len)
{
	u64 crc = seed;

	if (len >= 512 || !cpu_feature_enabled(X86_FEATURE_XMM4_2))
		return crc32c(seed, p, len);
	for (; len >= 64; len -= 64, p += 64)
		asm("crc32q (%[p]), %[crc]\n\t"
		    "crc32q 8(%[p]), %[crc]\n\t"
		    "crc32q 16(%[p]), %[crc]\n\t"
		    "crc32q 24(%[p]), %[crc]\n\t"
		    "crc32q 32(%[p]), %[crc]\n\t"
		    "crc32q 40(%[p]), %[crc]\n\t"
		    "crc32q 48(%[p]), %[crc]\n\t"
		    "crc32q 56(%[p]), %[crc]"
		    : [crc] "+r" (crc)
		    : [p] "r" (p), "m" (*(const u8 (*)[64])p));
	for (; len >= 8; len -= 8, p += 8)
		asm("crc32q %1, %0" : "+r" (crc) : "m" (*(const u64 *)p));
	if (len & 4) {
		asm("crc32l %1, %k0" : "+r" (crc) : "m" (*(const u32 *)p));
		p += 4;
	}
	if (len & 2) {
		asm("crc32w %1, %k0" : "+r" (crc) : "m" (*(const u16 *)p));
		p += 2;
	}
	if (len & 1)
		asm("crc32b %1, %k0" : "+r" (crc) : "m" (*p));
	return crc;
}
#else
u32 bytelog_crc32c(u32 seed, const u8 *p, size_t len)
{
	return crc32c(seed, p, len);
}
#endif

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
