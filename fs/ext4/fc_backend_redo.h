/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Replay that is all or nothing; see fc_backend_redo.c.
 */
#ifndef _EXT4_FC_BACKEND_REDO_H
#define _EXT4_FC_BACKEND_REDO_H

#include <linux/buffer_head.h>
#include <linux/jbd2.h>

int ext4_fc_backend_begin_redo(journal_t *journal, tid_t tid);
bool ext4_fc_backend_keeps(struct buffer_head *bh);
void ext4_fc_backend_settled(struct super_block *sb);
int ext4_fc_backend_commit_redo(struct super_block *sb);
void ext4_fc_backend_drop_redo(struct super_block *sb);

#endif /* _EXT4_FC_BACKEND_REDO_H */
