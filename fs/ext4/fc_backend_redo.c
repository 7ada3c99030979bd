// SPDX-License-Identifier: GPL-2.0
/*
 * Replay that is all or nothing.
 *
 * Replay of an exact log writes no block in place.  The blocks that it changes are kept
 * in memory, clean, until the end.  Then they go to the journal, as one transaction
 * with the number that the fast commits have, and only then to their places.  A power cut
 * leaves the fast commits and the file system that they belong to, or a whole
 * transaction, which makes the fast commits stale.
 */

#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/timekeeping.h>

#include "ext4.h"
#include "ext4_jbd2.h"
#include "fc_backend_redo.h"

/* A replay that goes on.  Its buffers hang on their b_assoc_buffers. */
struct ext4_fc_redo {
	journal_t *journal;
	tid_t tid;
	bool settled;		/* nothing more will be changed */
	struct list_head buffers;
	unsigned int count;
	/* Of the journal, in its blocks: */
	u32 head;		/* behind the last whole transaction */
	u32 used;		/* from the first one on */
	u32 needed;		/* by the new one */
	struct buffer_head **log; /* so many, from @head on */
};

static u32 redo_log_size(journal_t *journal)
{
	return journal->j_last - journal->j_first;
}

/* The block @n blocks behind @block in the log, which is a circle. */
static u32 redo_wrap(journal_t *journal, u32 block, u32 n)
{
	return journal->j_first +
	       (block - journal->j_first + n) % redo_log_size(journal);
}

/* The buffer of a block of the journal.  jbd2 does not export what it has for this. */
static struct buffer_head *redo_getblk(journal_t *journal, u32 block)
{
	struct buffer_head *bh;
	sector_t nr = block;
	int err = 0;

	if (journal->j_bmap)
		err = journal->j_bmap(journal, &nr);
	else if (journal->j_inode)
		err = bmap(journal->j_inode, &nr);
	if (err)
		return ERR_PTR(err);
	if (!nr)
		return ERR_PTR(-EFSCORRUPTED);
	bh = __getblk(journal->j_dev, nr, journal->j_blocksize);
	return bh ? bh : ERR_PTR(-ENOMEM);
}

static struct buffer_head *redo_read(journal_t *journal, u32 block)
{
	struct buffer_head *bh = redo_getblk(journal, block);

	if (!IS_ERR(bh) && bh_read(bh, 0) < 0) {
		brelse(bh);
		return ERR_PTR(-EIO);
	}
	return bh;
}

static int redo_flush(journal_t *journal, struct block_device *bdev)
{
	return journal->j_flags & JBD2_BARRIER ? blkdev_issue_flush(bdev) : 0;
}

/* The start of a replay's first pass that changes something. */
int ext4_fc_backend_begin_redo(journal_t *journal, tid_t tid)
{
	struct super_block *sb = journal->j_private;
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	struct ext4_fc_redo *redo;
	int err;

	if (!sbi->s_fc_exact || !sbi->s_fc_tags || sbi->s_fc_redo)
		return 0;
	/* jbd2 will not accept this journal: its last transaction is damaged. */
	if (journal->j_failed_commit)
		return -EFSCORRUPTED;
	/*
	 * A buffer that is dirty for an earlier transaction would be written in place,
	 * with all that replay has made of it.
	 */
	err = sync_blockdev(sb->s_bdev);
	if (err)
		return err;
	redo = kzalloc_obj(*redo);
	if (!redo)
		return -ENOMEM;
	redo->journal = journal;
	redo->tid = tid;
	INIT_LIST_HEAD(&redo->buffers);
	sbi->s_fc_redo = redo;
	return 0;
}

/* A buffer was changed without a handle: whether replay keeps it. */
bool ext4_fc_backend_keeps(struct buffer_head *bh)
{
	/* ext4 has opened the device of its metadata with its superblock as the holder. */
	struct super_block *sb = bh->b_bdev->bd_holder;
	struct ext4_fc_redo *redo = EXT4_SB(sb)->s_fc_redo;

	if (!redo)
		return false;
	if (list_empty(&bh->b_assoc_buffers)) {
		get_bh(bh);
		list_add_tail(&bh->b_assoc_buffers, &redo->buffers);
		redo->count++;
	}
	return true;
}

void ext4_fc_backend_settled(struct super_block *sb)
{
	if (EXT4_SB(sb)->s_fc_redo)
		EXT4_SB(sb)->s_fc_redo->settled = true;
}

/* jbd2_block_tag_csum_verify() and jbd2_block_tag_csum_set() */
static u32 redo_data_csum(journal_t *journal, tid_t tid, const void *data)
{
	__be32 seq = cpu_to_be32(tid);
	u32 csum = jbd2_chksum(journal->j_csum_seed, &seq, sizeof(seq));

	return jbd2_chksum(csum, data, journal->j_blocksize);
}

/* journal_tag_bytes(), which is not exported */
static unsigned int redo_tag_bytes(journal_t *journal)
{
	unsigned int bytes = sizeof(journal_block_tag_t);

	if (jbd2_has_feature_csum3(journal))
		return sizeof(journal_block_tag3_t);
	if (jbd2_has_feature_csum2(journal))
		bytes += sizeof(__u16);
	return jbd2_has_feature_64bit(journal) ? bytes : bytes - sizeof(__u32);
}

/* Where the tags of a descriptor block end. */
static unsigned int redo_tag_end(journal_t *journal)
{
	return journal->j_blocksize - (jbd2_journal_has_csum_v2or3(journal) ?
				       sizeof(struct jbd2_journal_block_tail) : 0);
}

/*
 * Of a descriptor block: how many blocks it has behind it.  With @verify, these are
 * as its tags say; jbd2 finds out when it writes them in place, but does not tell.
 */
static int redo_descriptor(journal_t *journal, struct buffer_head *bh, u32 block,
			   tid_t tid, bool verify)
{
	unsigned int bytes = redo_tag_bytes(journal), at = sizeof(journal_header_t);
	unsigned int flags = 0;
	int nr = 0;

	while (at + bytes <= redo_tag_end(journal) && !(flags & JBD2_FLAG_LAST_TAG)) {
		journal_block_tag3_t tag3 = {};
		journal_block_tag_t tag = {};
		struct buffer_head *data;
		u32 csum;

		memcpy(&tag3, bh->b_data + at, min(bytes, sizeof(tag3)));
		memcpy(&tag, &tag3, sizeof(tag));
		flags = be16_to_cpu(tag.t_flags);
		at += bytes + (flags & JBD2_FLAG_SAME_UUID ? 0 : 16);
		nr++;
		if (!verify)
			continue;
		data = redo_read(journal, redo_wrap(journal, block, nr));
		if (IS_ERR(data))
			return PTR_ERR(data);
		csum = redo_data_csum(journal, tid, data->b_data);
		brelse(data);
		if (jbd2_has_feature_csum3(journal) ?
		    tag3.t_checksum != cpu_to_be32(csum) :
		    jbd2_has_feature_csum2(journal) &&
		    tag.t_checksum != cpu_to_be16(csum))
			return -EFSBADCRC;
	}
	return nr;
}

/* Goes over the transactions that jbd2 has recovered, to where the next one begins. */
static int redo_find_head(struct ext4_fc_redo *redo, bool verify)
{
	journal_t *journal = redo->journal;
	u32 block = be32_to_cpu(journal->j_superblock->s_start);
	tid_t tid = be32_to_cpu(journal->j_superblock->s_sequence);

	if (block < journal->j_first || block >= journal->j_last)
		return -EFSCORRUPTED;
	redo->used = 0;
	while (tid != redo->tid) {
		struct buffer_head *bh = redo_read(journal, block);
		journal_header_t *header;
		int behind = 0;

		if (IS_ERR(bh))
			return PTR_ERR(bh);
		header = (journal_header_t *)bh->b_data;
		if (header->h_magic != cpu_to_be32(JBD2_MAGIC_NUMBER) ||
		    header->h_sequence != cpu_to_be32(tid))
			behind = -EFSCORRUPTED;
		else if (header->h_blocktype == cpu_to_be32(JBD2_DESCRIPTOR_BLOCK))
			behind = redo_descriptor(journal, bh, block, tid, verify);
		else if (header->h_blocktype == cpu_to_be32(JBD2_COMMIT_BLOCK))
			tid++;
		brelse(bh);
		if (behind < 0)
			return behind;
		redo->used += 1 + behind;
		if (redo->used > redo_log_size(journal))
			return -EFSCORRUPTED;
		block = redo_wrap(journal, block, 1 + behind);
	}
	redo->head = block;
	return 0;
}

/* Writes a buffer that has been changed, and waits for it. */
static int redo_write_now(struct buffer_head *bh)
{
	mark_buffer_dirty(bh);
	return sync_dirty_buffer(bh);
}

/*
 * What is left, in the place of the new transaction, of one with the same number must not
 * become a part of it: an attempt at it that was cut, or that of an older journal.
 */
static int redo_wipe(struct ext4_fc_redo *redo)
{
	journal_t *journal = redo->journal;
	bool wiped = false;
	int err;
	u32 i;

	for (i = 0; i < redo->needed; i++) {
		struct buffer_head *bh;
		journal_header_t *header;

		bh = redo_getblk(journal, redo_wrap(journal, redo->head, i));
		if (IS_ERR(bh))
			return PTR_ERR(bh);
		redo->log[i] = bh;
		header = (journal_header_t *)bh->b_data;
		/* jbd2 does not write through this buffer: it may be of before. */
		lock_buffer(bh);
		clear_buffer_uptodate(bh);
		unlock_buffer(bh);
		if (bh_read(bh, 0) >= 0 &&
		    (header->h_magic != cpu_to_be32(JBD2_MAGIC_NUMBER) ||
		     header->h_sequence != cpu_to_be32(redo->tid)))
			continue;
		lock_buffer(bh);
		memset(bh->b_data, 0, bh->b_size);
		set_buffer_uptodate(bh);
		unlock_buffer(bh);
		err = redo_write_now(bh);
		if (err)
			return err;
		wiped = true;
	}
	return wiped ? redo_flush(journal, journal->j_dev) : 0;
}

/*
 * The earlier transactions are in their places: the log may begin behind them.  Recovery
 * then finds no transaction and the fast commits.
 */
static int redo_move_start(struct ext4_fc_redo *redo)
{
	journal_t *journal = redo->journal;
	journal_superblock_t *jsb = journal->j_superblock;
	int err;

	err = redo_flush(journal, journal->j_fs_dev);
	if (err)
		return err;
	lock_buffer(journal->j_sb_buffer);
	jsb->s_start = cpu_to_be32(redo->head);
	jsb->s_sequence = cpu_to_be32(redo->tid);
	if (jbd2_journal_has_csum_v2or3(journal)) {
		jsb->s_checksum = 0;
		jsb->s_checksum = cpu_to_be32(jbd2_chksum(~0, jsb, sizeof(*jsb)));
	}
	unlock_buffer(journal->j_sb_buffer);
	err = redo_write_now(journal->j_sb_buffer);
	return err ? err : redo_flush(journal, journal->j_dev);
}

static void redo_header(struct ext4_fc_redo *redo, struct buffer_head *bh, u32 type)
{
	journal_header_t *header = (journal_header_t *)bh->b_data;

	memset(bh->b_data, 0, bh->b_size);
	header->h_magic = cpu_to_be32(JBD2_MAGIC_NUMBER);
	header->h_blocktype = cpu_to_be32(type);
	header->h_sequence = cpu_to_be32(redo->tid);
}

/* Fills @copy with a block as the log has it, and the tag at @at of it. */
static void redo_copy(struct ext4_fc_redo *redo, struct buffer_head *bh,
		      struct buffer_head *copy, char *at, unsigned int flags)
{
	journal_t *journal = redo->journal;
	journal_block_tag_t tag = {};
	journal_block_tag3_t tag3 = {};
	u32 csum;

	memcpy(copy->b_data, bh->b_data, bh->b_size);
	if (*(__be32 *)copy->b_data == cpu_to_be32(JBD2_MAGIC_NUMBER)) {
		*(__be32 *)copy->b_data = 0;
		flags |= JBD2_FLAG_ESCAPE;
	}
	csum = redo_data_csum(journal, redo->tid, copy->b_data);
	if (jbd2_has_feature_csum3(journal)) {
		tag3.t_blocknr = cpu_to_be32(lower_32_bits(bh->b_blocknr));
		tag3.t_flags = cpu_to_be32(flags);
		if (jbd2_has_feature_64bit(journal))
			tag3.t_blocknr_high = cpu_to_be32(upper_32_bits(bh->b_blocknr));
		tag3.t_checksum = cpu_to_be32(csum);
		memcpy(at, &tag3, sizeof(tag3));
		return;
	}
	tag.t_blocknr = cpu_to_be32(lower_32_bits(bh->b_blocknr));
	tag.t_flags = cpu_to_be16(flags);
	if (jbd2_has_feature_csum2(journal))
		tag.t_checksum = cpu_to_be16(csum);
	if (jbd2_has_feature_64bit(journal))
		tag.t_blocknr_high = cpu_to_be32(upper_32_bits(bh->b_blocknr));
	memcpy(at, &tag, min(sizeof(tag), redo_tag_bytes(journal)));
}

/* Blocks that a descriptor block has room for; the first one's tag has a UUID behind it. */
static unsigned int redo_per_descriptor(journal_t *journal)
{
	return (redo_tag_end(journal) - sizeof(journal_header_t) - 16) /
	       redo_tag_bytes(journal);
}

/* Fills the log's buffers: descriptors, what they describe, and the commit block. */
static void redo_fill(struct ext4_fc_redo *redo)
{
	journal_t *journal = redo->journal;
	unsigned int per = redo_per_descriptor(journal), left = redo->count, nth = 0;
	struct buffer_head **log = redo->log, *descriptor = NULL, *bh;
	struct jbd2_journal_block_tail *tail;
	struct commit_header *commit;
	struct timespec64 now;
	char *at = NULL;

	list_for_each_entry(bh, &redo->buffers, b_assoc_buffers) {
		unsigned int flags = nth ? JBD2_FLAG_SAME_UUID : 0;

		if (!nth) {
			descriptor = *log++;
			redo_header(redo, descriptor, JBD2_DESCRIPTOR_BLOCK);
			at = descriptor->b_data + sizeof(journal_header_t);
		}
		left--;
		if (!left || nth == per - 1)
			flags |= JBD2_FLAG_LAST_TAG;
		redo_copy(redo, bh, *log++, at, flags);
		at += redo_tag_bytes(journal);
		if (!nth) {
			memcpy(at, journal->j_uuid, 16);
			at += 16;
		}
		nth++;
		if (!(flags & JBD2_FLAG_LAST_TAG))
			continue;
		nth = 0;
		if (jbd2_journal_has_csum_v2or3(journal)) {
			tail = (void *)descriptor->b_data + redo_tag_end(journal);
			tail->t_checksum =
				cpu_to_be32(jbd2_chksum(journal->j_csum_seed,
							descriptor->b_data,
							journal->j_blocksize));
		}
	}
	/* Without a checksum of all blocks, which a journal with that feature may lack. */
	redo_header(redo, *log, JBD2_COMMIT_BLOCK);
	commit = (struct commit_header *)(*log)->b_data;
	ktime_get_coarse_real_ts64(&now);
	commit->h_commit_sec = cpu_to_be64(now.tv_sec);
	commit->h_commit_nsec = cpu_to_be32(now.tv_nsec);
	if (jbd2_journal_has_csum_v2or3(journal))
		commit->h_chksum[0] = cpu_to_be32(jbd2_chksum(journal->j_csum_seed,
							      (*log)->b_data,
							      journal->j_blocksize));
}

/* Writes the transaction, and its commit block once all else is durable. */
static int redo_write(struct ext4_fc_redo *redo)
{
	journal_t *journal = redo->journal;
	u32 last = redo->needed - 1, i;
	int err = 0, err2;

	for (i = 0; i < last; i++) {
		mark_buffer_dirty(redo->log[i]);
		write_dirty_buffer(redo->log[i], REQ_SYNC);
	}
	for (i = 0; i < last; i++) {
		wait_on_buffer(redo->log[i]);
		if (!buffer_uptodate(redo->log[i]))
			err = -EIO;
	}
	err2 = redo_flush(journal, journal->j_dev);
	if (err || err2)
		return err ? err : err2;
	err = redo_write_now(redo->log[last]);
	return err ? err : redo_flush(journal, journal->j_dev);
}

/* Whether there is not enough room behind the earlier transactions. */
static bool redo_must_move(struct ext4_fc_redo *redo)
{
	return redo->used + redo->needed > redo_log_size(redo->journal);
}

/* Whether the earlier transactions, which are in their places, may go from the log. */
static bool redo_may_move(struct ext4_fc_redo *redo)
{
	return redo->needed <= redo_log_size(redo->journal) &&
	       !redo_find_head(redo, true);
}

static int redo_log(struct ext4_fc_redo *redo)
{
	bool move = redo_must_move(redo);
	int err;
	u32 i;

	redo->log = kvcalloc(redo->needed, sizeof(*redo->log), GFP_KERNEL);
	if (!redo->log)
		return -ENOMEM;
	err = redo_wipe(redo);
	if (!err && move)
		err = redo_move_start(redo);
	if (!err) {
		redo_fill(redo);
		err = redo_write(redo);
	}
	for (i = 0; i < redo->needed; i++)
		brelse(redo->log[i]);
	kvfree(redo->log);
	return err;
}

/* Lets go of the buffers.  jbd2 writes them to their places, or all is as on the medium. */
static void redo_end(struct super_block *sb, bool commit)
{
	struct ext4_fc_redo *redo = EXT4_SB(sb)->s_fc_redo;
	struct buffer_head *bh, *next;

	EXT4_SB(sb)->s_fc_redo = NULL;
	list_for_each_entry_safe(bh, next, &redo->buffers, b_assoc_buffers) {
		list_del_init(&bh->b_assoc_buffers);
		if (commit) {
			mark_buffer_dirty(bh);
		} else {
			lock_buffer(bh);
			clear_buffer_uptodate(bh);
			unlock_buffer(bh);
			/* Others may have the device open. */
			bh_read(bh, 0);
		}
		brelse(bh);
	}
	kfree(redo);
}

/* Replay ends.  After an error nothing of it may be written. */
int ext4_fc_backend_commit_redo(struct super_block *sb)
{
	struct ext4_fc_redo *redo = EXT4_SB(sb)->s_fc_redo;
	int err;

	if (!redo || !redo->settled)
		return 0;
	if (redo->count) {
		redo->needed = redo->count + 1 +
			DIV_ROUND_UP(redo->count,
				     redo_per_descriptor(redo->journal));
		err = redo_find_head(redo, false);
		if (err)
			return err;
		if (redo_must_move(redo) && !redo_may_move(redo))
			ext4_msg(sb, KERN_WARNING,
				 "no room in the journal for the %u blocks that replay changes: a power cut can leave a part of them",
				 redo->count);
		else
			err = redo_log(redo);
		if (err)
			return err;
	}
	redo_end(sb, true);
	return 0;
}

/* Replay has failed: what it has changed is forgotten. */
void ext4_fc_backend_drop_redo(struct super_block *sb)
{
	if (EXT4_SB(sb)->s_fc_redo)
		redo_end(sb, false);
}
