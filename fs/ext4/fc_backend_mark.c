// SPDX-License-Identifier: GPL-2.0
/*
 * The mark of a log that a backend keeps: an incompat bit in the journal's superblock.
 *
 * What does not know the bit leaves the journal alone: e2fsck aborts and other kernels do
 * not mount.  What does not look at the journal works: boot loaders, blkid, and tools that
 * change the filesystem's superblock or resize a mounted filesystem.
 *
 * The bit is durable before the first record is, for there is no fast commit in a journal
 * that is marked empty, and the write that says otherwise has the bit.  It goes when a full
 * commit has made the log redundant.
 */

#include <linux/buffer_head.h>
#include "ext4.h"
#include "ext4_jbd2.h"
#include "fc_backend.h"

static bool fc_mark_is_set(const journal_superblock_t *jsb)
{
	return jsb->s_header.h_magic == cpu_to_be32(JBD2_MAGIC_NUMBER) &&
	       jsb->s_header.h_blocktype == cpu_to_be32(JBD2_SUPERBLOCK_V2) &&
	       jsb->s_feature_incompat & cpu_to_be32(EXT4_FC_JOURNAL_MARK);
}

/* As jbd2 does it, which exports nothing for this */
static __be32 fc_mark_csum(const journal_superblock_t *jsb)
{
	const __be32 none = 0;
	size_t at = offsetof(journal_superblock_t, s_checksum);
	u32 csum = jbd2_chksum(~0, jsb, at);

	csum = jbd2_chksum(csum, &none, sizeof(none));
	at += sizeof(none);
	csum = jbd2_chksum(csum, (const u8 *)jsb + at, sizeof(*jsb) - at);
	return cpu_to_be32(csum);
}

static bool fc_mark_has_csum(const journal_superblock_t *jsb)
{
	return jsb->s_feature_incompat &
	       cpu_to_be32(JBD2_FEATURE_INCOMPAT_CSUM_V2 |
			   JBD2_FEATURE_INCOMPAT_CSUM_V3);
}

/* Changes the bit in memory.  A checksum that was wrong stays wrong. */
static void fc_mark_set(struct buffer_head *bh, bool on)
{
	journal_superblock_t *jsb = (journal_superblock_t *)bh->b_data;
	bool sound;

	lock_buffer(bh);
	sound = fc_mark_has_csum(jsb) && jsb->s_checksum == fc_mark_csum(jsb);
	if (on)
		jsb->s_feature_incompat |= cpu_to_be32(EXT4_FC_JOURNAL_MARK);
	else
		jsb->s_feature_incompat &= ~cpu_to_be32(EXT4_FC_JOURNAL_MARK);
	if (sound)
		jsb->s_checksum = fc_mark_csum(jsb);
	unlock_buffer(bh);
}

/*
 * jbd2 has a list of the bits that it knows, and refuses others when it opens a journal.
 * Where ext4 alone is patched, the bit is not in that list: take it out of the buffer while
 * jbd2 looks at it.  Returns the buffer for ext4_fc_backend_show_mark(), or NULL if there
 * is no mark.  Nothing writes the buffer in between.
 */
struct buffer_head *ext4_fc_backend_hide_mark(struct block_device *bdev,
					      sector_t block, unsigned int size)
{
	struct buffer_head *bh = getblk_unmovable(bdev, block, size);

	if (bh && bh_read(bh, 0) >= 0 && fc_mark_is_set((void *)bh->b_data)) {
		fc_mark_set(bh, false);
		return bh;
	}
	/* What is wrong with it jbd2 says. */
	brelse(bh);
	return NULL;
}

void ext4_fc_backend_show_mark(struct buffer_head *bh)
{
	if (bh)
		fc_mark_set(bh, true);
	brelse(bh);
}

/* Whether the journal has transactions, and the log behind them may be a backend's. */
bool ext4_fc_backend_is_marked(journal_t *journal)
{
	return fc_mark_is_set(journal->j_superblock) &&
	       journal->j_superblock->s_start;
}

/* What is not written here is written when the journal stops being empty. */
static void fc_mark_write(journal_t *journal)
{
	if (!(READ_ONCE(journal->j_flags) & JBD2_FLUSHED))
		jbd2_journal_update_sb_errno(journal);
}

/* Before needs_recovery is set, and the first record can be written */
void ext4_fc_backend_mark_journal(journal_t *journal)
{
	if (fc_mark_is_set(journal->j_superblock))
		return;
	fc_mark_set(journal->j_sb_buffer, true);
	fc_mark_write(journal);
}

/* Where the log has been replayed, and this mount writes none that needs the mark */
void ext4_fc_backend_unmark_journal(journal_t *journal)
{
	if (!fc_mark_is_set(journal->j_superblock))
		return;
	fc_mark_set(journal->j_sb_buffer, false);
	jbd2_journal_update_sb_errno(journal);
}

/*
 * Before the journal is marked empty for good, by a write that then lacks the bit.  The
 * commit makes the log redundant; if it fails, the bit stays.
 */
void ext4_fc_backend_unmark(struct super_block *sb, journal_t *journal)
{
	if (test_opt2(sb, FC_BYTELOG_FORCE) ||
	    !fc_mark_is_set(journal->j_superblock) ||
	    is_journal_aborted(journal) || jbd2_journal_force_commit(journal) < 0)
		return;
	fc_mark_set(journal->j_sb_buffer, false);
	/* Marked empty already, perhaps with the bit */
	if (READ_ONCE(journal->j_flags) & JBD2_FLUSHED && !sb_rdonly(sb))
		jbd2_journal_update_sb_errno(journal);
}
