// SPDX-License-Identifier: GPL-2.0
/*
 * Directories on a mount that uses a backend: what a fast commit logs of them, and how
 * replay applies it.
 *
 * A fast commit logs names, and replay makes the blocks that they need.  So a directory's
 * INODE tag does not describe its size, its blocks and their mapping; it has the link
 * count, mode, owner, times and all else.  Where only names changed, a DIR tag with times
 * and version is enough.
 */

#include <linux/iversion.h>
#include "ext4.h"
#include "ext4_jbd2.h"
#include "ext4_extents.h"
#include "fast_commit.h"
#include "fc_backend.h"

/* Flags that tell how a directory is stored. */
#define FC_DIR_STORED	(EXT4_INDEX_FL | EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL)

/*
 * Whether a directory that a handle changes belongs to the next fast commit.  All that
 * its INODE tag has is logged, unless the caller says that only names changed.
 */
bool ext4_fc_backend_track_dir(handle_t *handle, struct inode *dir)
{
	struct ext4_inode_info *ei = EXT4_I(dir);

	if (!EXT4_SB(dir->i_sb)->s_fc_backend_active)
		return false;
	/* Replay makes blocks for directories with extents only. */
	if (!ext4_test_inode_flag(dir, EXT4_INODE_EXTENTS) &&
	    !ext4_fc_backend_unfinished(dir)) {
		ext4_fc_backend_mark_ineligible(dir->i_sb, EXT4_FC_REASON_DIRECTORY,
						handle);
		return false;
	}
	if (READ_ONCE(ei->i_fc_names) != current)
		ext4_set_inode_state(dir, EXT4_STATE_FC_ATTRS);
	return true;
}

/* A directory's change is one of names, times and version only. */
int ext4_fc_backend_dirty_names(handle_t *handle, struct inode *dir)
{
	struct ext4_inode_info *ei = EXT4_I(dir);
	int err;

	/* Another thread can change an attribute without the directory's lock. */
	WRITE_ONCE(ei->i_fc_names, current);
	err = ext4_mark_inode_dirty(handle, dir);
	WRITE_ONCE(ei->i_fc_names, NULL);
	return err;
}

/* What a DIR tag has behind the inode number. */
void ext4_fc_backend_dir_times(struct inode *dir, struct ext4_fc_dir_times *times)
{
	struct timespec64 ctime = inode_get_ctime(dir);
	struct timespec64 mtime = inode_get_mtime(dir);
	u64 version = inode_peek_iversion(dir);

	times->fc_ctime = cpu_to_le32(ctime.tv_sec);
	times->fc_mtime = cpu_to_le32(mtime.tv_sec);
	times->fc_ctime_extra = ext4_encode_extra_time(ctime);
	times->fc_mtime_extra = ext4_encode_extra_time(mtime);
	times->fc_version_lo = cpu_to_le32(version);
	times->fc_version_hi = cpu_to_le32(version >> 32);
}

/* Writes an inode that replay has changed in its table. */
static int fc_backend_store(struct super_block *sb, unsigned long ino,
			    struct ext4_iloc *iloc)
{
	struct inode *inode;
	int err;

	err = ext4_handle_dirty_metadata(NULL, NULL, iloc->bh);
	if (err)
		return err;
	inode = ext4_iget(sb, ino, EXT4_IGET_NORMAL);
	if (IS_ERR(inode))
		return PTR_ERR(inode);
	ext4_reset_inode_seed(inode);
	ext4_inode_csum_set(inode, ext4_raw_inode(iloc), EXT4_I(inode));
	iput(inode);
	return ext4_handle_dirty_metadata(NULL, NULL, iloc->bh);
}

/* The group has one directory more. */
static int fc_backend_count_dir(struct super_block *sb, unsigned long ino)
{
	ext4_group_t group = (ino - 1) / EXT4_INODES_PER_GROUP(sb);
	struct buffer_head *bh;
	struct ext4_group_desc *gdp = ext4_get_group_desc(sb, group, &bh);

	if (!gdp)
		return -EFSCORRUPTED;
	ext4_lock_group(sb, group);
	ext4_used_dirs_set(sb, gdp, ext4_used_dirs_count(sb, gdp) + 1);
	ext4_group_desc_csum_set(sb, group, gdp);
	ext4_unlock_group(sb, group);
	return ext4_handle_dirty_metadata(NULL, NULL, bh);
}

/* Puts the logged inode over the one that is there, and keeps how that is stored. */
static void fc_backend_overlay_dir(struct ext4_inode *raw,
				   const struct ext4_inode *from, int len)
{
	struct ext4_inode old = *raw;
	u32 flags = (le32_to_cpu(from->i_flags) & ~FC_DIR_STORED) |
		    (le32_to_cpu(old.i_flags) & FC_DIR_STORED);

	memcpy(raw, from, len);
	raw->i_flags = cpu_to_le32(flags);
	raw->i_size_lo = old.i_size_lo;
	raw->i_size_high = old.i_size_high;
	raw->i_blocks_lo = old.i_blocks_lo;
	raw->i_blocks_high = old.i_blocks_high;
	raw->i_file_acl_lo = old.i_file_acl_lo;
	raw->i_file_acl_high = old.i_file_acl_high;
	memcpy(raw->i_block, old.i_block, sizeof(raw->i_block));
}

/* A directory that is not there yet has no block; its CREAT tag gives it the first. */
static void fc_backend_new_dir(struct super_block *sb, struct ext4_inode *raw,
			       const struct ext4_inode *from, int len)
{
	struct ext4_extent_header *eh = (struct ext4_extent_header *)raw->i_block;

	memset(raw, 0, EXT4_INODE_SIZE(sb));
	raw->i_flags = cpu_to_le32(EXT4_EXTENTS_FL);
	fc_backend_overlay_dir(raw, from, len);
	eh->eh_magic = EXT4_EXT_MAGIC;
	eh->eh_max = cpu_to_le16((sizeof(raw->i_block) - sizeof(*eh)) /
				 sizeof(struct ext4_extent));
}

/* Replay of a directory's INODE tag; @len bytes of the inode are in it. */
int ext4_fc_backend_replay_dir(struct super_block *sb, unsigned long ino,
			       const struct ext4_inode *from, int len)
{
	bool used = ext4_fc_backend_inode_used(sb, ino) &&
		    !ext4_fc_backend_never_used(sb, ino);
	struct ext4_inode *raw;
	struct ext4_iloc iloc;
	int err;

	if (used) {
		ext4_fc_backend_drop_orphan(sb, ino,
					    le32_to_cpu(from->i_generation));
		used = ext4_fc_backend_inode_used(sb, ino);
	}
	err = ext4_get_fc_inode_loc(sb, ino, &iloc);
	if (err)
		return err;
	raw = ext4_raw_inode(&iloc);
	if (used && S_ISDIR(le16_to_cpu(raw->i_mode)) &&
	    raw->i_links_count && raw->i_generation == from->i_generation) {
		fc_backend_overlay_dir(raw, from, len);
	} else {
		fc_backend_new_dir(sb, raw, from, len);
		err = ext4_mark_inode_used(sb, ino);
		if (!err && !used)
			err = fc_backend_count_dir(sb, ino);
	}
	if (!err)
		err = fc_backend_store(sb, ino, &iloc);
	brelse(iloc.bh);
	return err;
}

/* Replay of a DIR tag. */
int ext4_fc_backend_replay_times(struct super_block *sb, const u8 *val)
{
	struct ext4_fc_dir tag;
	struct ext4_inode *raw;
	struct ext4_iloc iloc;
	struct inode *dir;
	unsigned int end;
	int err;

	memcpy(&tag, val, sizeof(tag));
	dir = ext4_iget(sb, le32_to_cpu(tag.fc_ino), EXT4_IGET_NORMAL);
	if (IS_ERR(dir))
		return 0;
	err = S_ISDIR(dir->i_mode) ? ext4_get_inode_loc(dir, &iloc) : -ENOTDIR;
	if (err) {
		iput(dir);
		return err == -ENOTDIR ? 0 : err;
	}
	raw = ext4_raw_inode(&iloc);
	end = EXT4_GOOD_OLD_INODE_SIZE + EXT4_I(dir)->i_extra_isize;
	raw->i_ctime = tag.fc_times.fc_ctime;
	raw->i_mtime = tag.fc_times.fc_mtime;
	raw->i_disk_version = tag.fc_times.fc_version_lo;
	if (end >= offsetofend(struct ext4_inode, i_ctime_extra))
		raw->i_ctime_extra = tag.fc_times.fc_ctime_extra;
	if (end >= offsetofend(struct ext4_inode, i_mtime_extra))
		raw->i_mtime_extra = tag.fc_times.fc_mtime_extra;
	if (end >= offsetofend(struct ext4_inode, i_version_hi))
		raw->i_version_hi = tag.fc_times.fc_version_hi;
	ext4_inode_csum_set(dir, raw, EXT4_I(dir));
	err = ext4_handle_dirty_metadata(NULL, NULL, iloc.bh);
	brelse(iloc.bh);
	iput(dir);
	return err;
}

/* A directory gets its first block, or another parent. */
static int fc_backend_attach_dir(struct inode *inode, struct inode *parent)
{
	unsigned int nlink = inode->i_nlink;
	int err;

	if (inode->i_size)
		return ext4_fc_backend_set_parent(inode, parent->i_ino);
	err = ext4_init_new_dir(NULL, parent, inode);
	if (err)
		return err;
	set_nlink(inode, nlink);
	ext4_ext_replay_set_iblocks(inode);
	return ext4_mark_inode_dirty(NULL, inode);
}

/*
 * Replay of CREAT and LINK where the log is a backend's: the name, and nothing else of the
 * inode, which its INODE tag describes.
 */
int ext4_fc_backend_replay_name(struct super_block *sb, unsigned long parent,
				const struct qstr *name, struct inode *inode)
{
	struct inode *dir = ext4_iget(sb, parent, EXT4_IGET_NORMAL);
	loff_t size;
	int err = 0;

	if (IS_ERR(dir)) {
		ext4_debug("Dir with inode %lu not found.", parent);
		return 0;
	}
	if (!S_ISDIR(dir->i_mode) || dir == inode)
		goto out;
	size = dir->i_size;
	if (S_ISDIR(inode->i_mode))
		err = fc_backend_attach_dir(inode, dir);
	if (!err)
		err = ext4_fc_backend_add_name(dir, name, inode);
	if (!err && dir->i_size != size)
		ext4_ext_replay_set_iblocks(dir);
out:
	iput(dir);
	return err;
}
