/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _BYTELOG_HELPERS_H
#define _BYTELOG_HELPERS_H

void bytelog_pmem_wmb(void);

#endif /* _BYTELOG_HELPERS_H */
