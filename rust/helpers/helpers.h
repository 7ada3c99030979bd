/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _BYTELOG_HELPERS_H
#define _BYTELOG_HELPERS_H

#include <linux/types.h>

void bytelog_pmem_wmb(void);
#ifndef CONFIG_X86
u64 bytelog_cycles(void);
#endif
u64 bytelog_cycles_khz(void);

#endif /* _BYTELOG_HELPERS_H */
