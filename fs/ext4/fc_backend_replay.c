// SPDX-License-Identifier: GPL-2.0
/*
 * Replay on a mount that uses a backend: orphans whose numbers are in use again, and
 * what was left out for want of memory.
 */

#include "ext4.h"

/* Whether the bitmap has an inode; if it cannot be read, it is for others to say. */
bool ext4_fc_backend_inode_used(struct super_block *sb, unsigned long ino)
{
	struct buffer_head *bitmap;
	bool used;

	if (!ext4_valid_inum(sb, ino))
		return true;
	ino--;
	bitmap = ext4_read_inode_bitmap(sb, ino / EXT4_INODES_PER_GROUP(sb));
	if (IS_ERR(bitmap))
		return true;
	used = ext4_test_bit(ino % EXT4_INODES_PER_GROUP(sb), bitmap->b_data);
	brelse(bitmap);
	return used;
}

/*
 * Replay: an orphan whose number is another inode's by now goes for good, with its
 * blocks.  The same inode, linked since, stays as it is.
 */
void ext4_fc_backend_drop_orphan(struct super_block *sb, unsigned long ino,
				 u32 generation)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	struct ext4_iloc iloc;
	struct inode *inode;
	bool linked;

	if (!sbi->s_fc_backend || !ext4_valid_inum(sb, ino) ||
	    ext4_get_fc_inode_loc(sb, ino, &iloc))
		return;
	/* Most are no orphans: a look is cheaper than reading the inode. */
	linked = !!ext4_raw_inode(&iloc)->i_links_count;
	brelse(iloc.bh);
	if (linked || !ext4_fc_backend_inode_used(sb, ino))
		return;
	/* Lets ext4_iget() have inodes without links. */
	sbi->s_mount_state |= EXT4_ORPHAN_FS;
	inode = ext4_iget(sb, ino, EXT4_IGET_NORMAL);
	sbi->s_mount_state &= ~EXT4_ORPHAN_FS;
	if (IS_ERR(inode))
		return;
	if (!inode->i_nlink && inode->i_generation == generation)
		set_nlink(inode, 1);
	iput(inode);
}

/*
 * Replay: of an inode or a block that cannot be had ext4 thinks that it is gone,
 * and goes on.  Without memory it may well be there.
 */
void ext4_fc_backend_replay_error(struct super_block *sb, int err)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);

	if (err == -ENOMEM && sbi->s_fc_backend &&
	    sbi->s_mount_state & EXT4_FC_REPLAY)
		sbi->s_fc_replay_nomem = true;
}

/* What replay returns: an error if something was left out. */
int ext4_fc_backend_replayed(struct super_block *sb, int ret)
{
	if (ret < 0 || !EXT4_SB(sb)->s_fc_replay_nomem)
		return ret;
	ext4_msg(sb, KERN_ERR,
		 "not enough memory to replay fast commits; free some and mount again");
	return -ENOMEM;
}

/*
 * Before the journal is gone, whose inode keeps its extents in memory during a
 * replay.  Of one that has failed nobody else says that it is over.
 */
void ext4_fc_backend_end_replay(struct super_block *sb)
{
	if (EXT4_SB(sb)->s_fc_backend)
		ext4_fc_replay_cleanup(sb);
}
