// SPDX-License-Identifier: GPL-2.0
/*
 * Replay on a mount that uses a backend: inodes that are gone, names without counts,
 * descriptors of groups, and what was left out for want of memory.
 */

#include "ext4.h"
#include "ext4_jbd2.h"
#include "fast_commit.h"
#include "fc_backend.h"
#include "fc_backend_redo.h"

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
 * Frees an inode that is gone, with its blocks.  One of this generation, if there is
 * one, has been linked since, and stays.
 */
static void fc_backend_free_inode(struct super_block *sb, unsigned long ino,
				  bool linked, const u32 *stays)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	struct inode *inode;

	/* Lets ext4_iget() have inodes without links, and of symbolic links no others. */
	if (!linked)
		sbi->s_mount_state |= EXT4_ORPHAN_FS;
	inode = ext4_iget(sb, ino, EXT4_IGET_NORMAL);
	sbi->s_mount_state &= ~EXT4_ORPHAN_FS;
	if (IS_ERR(inode))
		return;
	if (stays && inode->i_generation == *stays) {
		if (!inode->i_nlink)
			set_nlink(inode, 1);
	} else if (!S_ISDIR(inode->i_mode) ||
		   (sbi->s_fc_exact && ino != EXT4_ROOT_INO &&
		    ext4_empty_dir(inode))) {
		clear_nlink(inode);
	}
	iput(inode);
}

/*
 * Replay: an inode whose number is another one's by now goes for good.  Only orphans
 * go if replay counts links itself, and removes the last one first.
 */
void ext4_fc_backend_drop_orphan(struct super_block *sb, unsigned long ino,
				 u32 generation)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	struct ext4_inode *raw;
	struct ext4_iloc iloc;
	bool stays, linked;

	if (!sbi->s_fc_backend || !ext4_valid_inum(sb, ino) ||
	    ext4_get_fc_inode_loc(sb, ino, &iloc))
		return;
	/* Most are alive: a look is cheaper than reading the inode. */
	raw = ext4_raw_inode(&iloc);
	linked = raw->i_links_count;
	stays = linked &&
		(!sbi->s_fc_exact || le32_to_cpu(raw->i_generation) == generation);
	brelse(iloc.bh);
	if (!stays && ext4_fc_backend_inode_used(sb, ino))
		fc_backend_free_inode(sb, ino, linked, &generation);
}

/*
 * The log tells the links of every inode whose names it changes, behind the names, or
 * the inode is gone.  So replay changes names only, which can be done again.  For
 * the backend to say, before a scan: what ext4 logs by itself is not like that.
 */
void ext4_fc_backend_exact(struct super_block *sb)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);

	if (!sbi->s_fc_exact) {
		xa_init(&sbi->s_fc_last_inode);
		xa_init(&sbi->s_fc_groups);
		xa_init(&sbi->s_fc_created);
	}
	sbi->s_fc_exact = true;
}
EXPORT_SYMBOL_GPL(ext4_fc_backend_exact);

/* Scan: @val is of an INODE, the @nth tag of the log. */
int ext4_fc_backend_saw_inode(struct super_block *sb, const u8 *val, int nth)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	__le32 ino;

	if (!sbi->s_fc_exact)
		return 0;
	memcpy(&ino, val, sizeof(ino));
	return xa_err(xa_store(&sbi->s_fc_last_inode, le32_to_cpu(ino),
			       xa_mk_value(nth), GFP_KERNEL));
}

/* Replay: whether the log has no inode of this number behind the present tag. */
bool ext4_fc_backend_is_gone(struct super_block *sb, unsigned long ino)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	int nth = sbi->s_fc_tags - sbi->s_fc_replay_state.fc_replay_num_tags;

	return sbi->s_fc_exact &&
	       xa_to_value(xa_load(&sbi->s_fc_last_inode, ino)) <= nth;
}

/*
 * Whether there has been no inode of this number yet: what is in its place in the
 * table may be left of another file system.  Tables of groups without checksums have
 * been zeroed.
 */
bool ext4_fc_backend_never_used(struct super_block *sb, unsigned long ino)
{
	unsigned int nth = (ino - 1) % EXT4_INODES_PER_GROUP(sb);
	struct ext4_group_desc *gdp;

	if (!EXT4_SB(sb)->s_fc_backend || !ext4_has_group_desc_csum(sb) ||
	    !ext4_valid_inum(sb, ino))
		return false;
	gdp = ext4_get_group_desc(sb, (ino - 1) / EXT4_INODES_PER_GROUP(sb), NULL);
	return gdp && (gdp->bg_flags & cpu_to_le16(EXT4_BG_INODE_UNINIT) ||
		       nth >= EXT4_INODES_PER_GROUP(sb) -
			      ext4_itable_unused_count(sb, gdp)) &&
	       !ext4_fc_backend_inode_used(sb, ino);
}

/*
 * Whether what is in this place of the table is another inode than the one in @val, of
 * an INODE: its blocks are free.  Those of the same inode are freed, block by block, by
 * what the log has of them.  Without a backend they all count as free until the end of
 * replay.
 */
bool ext4_fc_backend_other_inode(struct super_block *sb, unsigned long ino,
				 const u8 *val)
{
	const size_t at = offsetof(struct ext4_fc_inode, fc_raw_inode) +
			  offsetof(struct ext4_inode, i_generation);
	struct ext4_iloc iloc;
	bool other;

	if (!EXT4_SB(sb)->s_fc_backend)
		return true;
	if (ext4_fc_backend_never_used(sb, ino) || !ext4_valid_inum(sb, ino) ||
	    ext4_get_fc_inode_loc(sb, ino, &iloc))
		return false;
	other = memcmp(&ext4_raw_inode(&iloc)->i_generation, val + at,
		       sizeof(__le32));
	brelse(iloc.bh);
	return other;
}

/*
 * Replay: the log makes an inode of this number.  An entry in the file of orphans, which
 * is older, is another one's.
 */
int ext4_fc_backend_created(struct super_block *sb, unsigned long ino)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);

	if (!sbi->s_fc_exact)
		return 0;
	return xa_err(xa_store(&sbi->s_fc_created, ino, xa_mk_value(1), GFP_NOFS));
}

bool ext4_fc_backend_was_created(struct super_block *sb, unsigned long ino)
{
	struct xarray *created = &EXT4_SB(sb)->s_fc_created;

	return !xa_empty(created) && xa_load(created, ino);
}

void ext4_fc_backend_forget_created(struct super_block *sb)
{
	struct xarray *created = &EXT4_SB(sb)->s_fc_created;

	/* Where there is no backend, nobody has initialized it */
	if (!xa_empty(created))
		xa_destroy(created);
}

/* An inode that is gone may be half freed, by a replay that a cut has ended. */
int ext4_fc_backend_replay_unlink(struct super_block *sb, unsigned long dir_ino,
				  const struct qstr *name, unsigned long ino)
{
	struct ext4_iloc iloc;
	struct inode *dir;
	bool linked;
	int err = 0;

	if (ext4_valid_inum(sb, ino))
		ext4_fc_backend_touched(sb, (ino - 1) / EXT4_INODES_PER_GROUP(sb));
	dir = ext4_iget(sb, dir_ino, EXT4_IGET_NORMAL);
	if (!IS_ERR(dir)) {
		if (S_ISDIR(dir->i_mode))
			err = ext4_fc_backend_drop_entry(dir, name, ino);
		iput(dir);
	}
	if (err || !ext4_fc_backend_is_gone(sb, ino) ||
	    !ext4_valid_inum(sb, ino) || ext4_get_fc_inode_loc(sb, ino, &iloc))
		return err;
	linked = !!ext4_raw_inode(&iloc)->i_links_count;
	brelse(iloc.bh);
	if (ext4_fc_backend_never_used(sb, ino))
		return 0;
	if (linked || ext4_fc_backend_inode_used(sb, ino))
		fc_backend_free_inode(sb, ino, linked, NULL);
	return 0;
}

/* Replay: something in this group is changed, or has been, by a replay before. */
void ext4_fc_backend_touched(struct super_block *sb, ext4_group_t group)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);

	if (!sbi->s_fc_exact || !(sbi->s_mount_state & EXT4_FC_REPLAY) ||
	    xa_load(&sbi->s_fc_groups, group))
		return;
	ext4_fc_backend_replay_error(sb, xa_err(xa_store(&sbi->s_fc_groups, group,
							 xa_mk_value(1), GFP_NOFS)));
}

/* Makes the descriptor of a group of its bitmaps, unless they are made of it. */
static int fc_backend_settle_group(struct super_block *sb, ext4_group_t group)
{
	struct buffer_head *bh, *inodes, *blocks;
	struct ext4_group_desc *gdp = ext4_get_group_desc(sb, group, &bh);
	unsigned int last = EXT4_INODES_PER_GROUP(sb), used;

	if (!gdp)
		return -EFSCORRUPTED;
	inodes = ext4_read_inode_bitmap(sb, group);
	if (IS_ERR(inodes))
		return PTR_ERR(inodes);
	blocks = ext4_read_block_bitmap(sb, group);
	if (IS_ERR(blocks)) {
		brelse(inodes);
		return PTR_ERR(blocks);
	}
	ext4_lock_group(sb, group);
	if (!(gdp->bg_flags & cpu_to_le16(EXT4_BG_INODE_UNINIT))) {
		used = last - ext4_itable_unused_count(sb, gdp);
		while (last > used && !ext4_test_bit(last - 1, inodes->b_data))
			last--;
		if (ext4_has_group_desc_csum(sb))
			ext4_itable_unused_set(sb, gdp,
					       EXT4_INODES_PER_GROUP(sb) - last);
		ext4_free_inodes_set(sb, gdp,
				     ext4_count_free(inodes->b_data,
						     EXT4_INODES_PER_GROUP(sb) / 8));
		ext4_inode_bitmap_csum_set(sb, gdp, inodes);
	}
	if (!(gdp->bg_flags & cpu_to_le16(EXT4_BG_BLOCK_UNINIT))) {
		ext4_free_group_clusters_set(sb, gdp,
					     ext4_count_free(blocks->b_data,
							     EXT4_CLUSTERS_PER_GROUP(sb) / 8));
		ext4_block_bitmap_csum_set(sb, gdp, blocks);
	}
	ext4_group_desc_csum_set(sb, group, gdp);
	ext4_unlock_group(sb, group);
	brelse(inodes);
	brelse(blocks);
	return ext4_handle_dirty_metadata(NULL, NULL, bh);
}

/*
 * Replay ends.  A cut in an earlier one can have left bitmaps whose groups'
 * descriptors know nothing of what changed.
 */
void ext4_fc_backend_settle(struct super_block *sb)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	unsigned long group;
	void *entry;

	if (!sbi->s_fc_exact)
		return;
	xa_for_each(&sbi->s_fc_groups, group, entry)
		ext4_fc_backend_replay_error(sb, fc_backend_settle_group(sb, group));
	ext4_fc_backend_settled(sb);
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
	int err = 0;

	if (ret >= 0 && !EXT4_SB(sb)->s_fc_replay_nomem)
		err = ext4_fc_backend_commit_redo(sb);
	if (err == -ENOMEM)
		ext4_fc_backend_replay_error(sb, err);
	else if (err)
		return err;
	if (ret < 0 || !EXT4_SB(sb)->s_fc_replay_nomem)
		return ret;
	ext4_msg(sb, KERN_ERR,
		 "not enough memory to replay fast commits; free some and mount again");
	return -ENOMEM;
}

/*
 * Ends a replay that failed, before the journal's inode is dropped: an inode that is
 * dropped while a replay goes on leaves its extent status entries behind.
 */
void ext4_fc_backend_end_replay(struct super_block *sb)
{
	ext4_fc_backend_drop_redo(sb);
	ext4_fc_replay_cleanup(sb);
	ext4_fc_backend_forget_created(sb);
}
