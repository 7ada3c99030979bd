// SPDX-License-Identifier: GPL-2.0
/*
 * Fast commits of a mount that uses a backend: what ext4 hands over, and the rules
 * by which nothing that was acknowledged is left out.
 */

#include <linux/unaligned.h>
#include <linux/writeback.h>
#include "ext4.h"
#include "ext4_jbd2.h"
#include "fast_commit.h"
#include "fc_backend.h"

/*
 * Recovery does not look for fast commits in a journal that is marked empty,
 * as after freezing.  The next full commit takes the mark away.
 */
bool ext4_fc_backend_needs_full(struct super_block *sb)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);

	return sbi->s_fc_backend_active &&
	       READ_ONCE(sbi->s_journal->j_flags) & JBD2_FLUSHED;
}

/*
 * For what fast commits with a backend do not log, as a directory's own inode with its
 * link count and size.
 */
void ext4_fc_backend_mark_ineligible(struct super_block *sb, int reason,
				     handle_t *handle)
{
	/* A handle that could not be restarted has no transaction. */
	if (EXT4_SB(sb)->s_fc_backend_active && !is_handle_aborted(handle))
		ext4_fc_mark_ineligible(sb, reason, handle);
}

/* For jbd2, what an aborted journal has dropped is committed. */
int ext4_fc_backend_committed(struct super_block *sb, int ret)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);

	if (!ret && sbi->s_fc_backend_active && is_journal_aborted(sbi->s_journal))
		return -EIO;
	return ret;
}

/*
 * Makes all that has changed so far durable, as fsync of a directory and syncfs do.  For
 * syncfs, file data has been written out, and on another device it is owed.
 */
int ext4_fc_backend_sync(struct super_block *sb, bool data)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	journal_t *journal = sbi->s_journal;

	if (data && journal->j_fs_dev != journal->j_dev)
		/* As in ext4_fc_backend_owe_data() */
		smp_store_mb(sbi->s_fc_data_owed, 1);
	return ext4_fc_backend_committed(sb,
			ext4_fc_commit(journal, jbd2_get_latest_transaction(journal)));
}

/*
 * Whether a mapping of this inode, whose transaction has not committed, would be
 * lost: it is in no fast commit yet, or was in one that a full commit stands in for.
 */
bool ext4_fc_backend_sync_fault(struct inode *inode)
{
	struct ext4_inode_info *ei = EXT4_I(inode);
	int alloc_ctx;
	bool dirty;

	if (!list_empty(&ei->i_fc_list))
		return true;
	alloc_ctx = ext4_fc_lock(inode->i_sb);
	dirty = !list_empty(&ei->i_fc_list) ||
		EXT4_SB(inode->i_sb)->s_fc_fallback_tid == ei->i_datasync_tid;
	ext4_fc_unlock(inode->i_sb, alloc_ctx);
	return dirty;
}

static tid_t fc_backend_tid(struct ext4_sb_info *sbi)
{
	return sbi->s_journal->j_running_transaction->t_tid;
}

/* Of an INODE tag: what a reader of the log must know to replay it. */
static u32 fc_backend_inode_contents(const u8 *tlv)
{
	const struct ext4_inode *raw = (const struct ext4_inode *)
		(tlv + EXT4_FC_TAG_BASE_LEN + sizeof(struct ext4_fc_inode));
	umode_t mode = get_unaligned_le16(&raw->i_mode);

	if (S_ISREG(mode))
		return 0;
	if (S_ISDIR(mode))
		return EXT4_FC_BACKEND_DIRECTORIES;
	return get_unaligned_le32(&raw->i_flags) & (EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL) ?
	       0 : EXT4_FC_BACKEND_SPECIAL;
}

/* Notes what the TLVs in the window have.  They are ext4's own, and are not checked. */
static void fc_backend_look(struct ext4_fc_window *window)
{
	const u8 *tlv = window->start;
	u32 contents = window->contents, tl;

	for (; tlv < window->at; tlv += EXT4_FC_TAG_BASE_LEN + (tl >> 16)) {
		tl = get_unaligned_le32(tlv);
		if ((u16)tl == EXT4_FC_TAG_INODE)
			contents |= fc_backend_inode_contents(tlv);
		else if ((u16)tl == EXT4_FC_TAG_ADD_RANGE)
			contents |= EXT4_FC_BACKEND_DATA;
		else if ((u16)tl == EXT4_FC_TAG_DIR)
			contents |= EXT4_FC_BACKEND_DIRECTORIES;
	}
	window->contents = contents;
}

/* The window has no room, or there is none yet. */
static noinline u8 *fc_backend_room(struct super_block *sb, int len)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	struct ext4_fc_window *window = sbi->s_fc_backend_priv;
	u8 *tlv;

	fc_backend_look(window);
	if (!sbi->s_fc_backend->room(window, fc_backend_tid(sbi), len))
		return NULL;
	tlv = window->at;
	window->at += len;
	return tlv;
}

u8 *ext4_fc_backend_reserve(struct super_block *sb, int len)
{
	struct ext4_fc_window *window = EXT4_SB(sb)->s_fc_backend_priv;
	u8 *tlv = window->at;

	if (unlikely(len > window->end - tlv))
		return fc_backend_room(sb, len);
	window->at = tlv + len;
	return tlv;
}

int ext4_fc_backend_commit(struct super_block *sb)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	struct ext4_fc_window *window = sbi->s_fc_backend_priv;
	bool owed = READ_ONCE(sbi->s_fc_data_owed) &&
		    xchg(&sbi->s_fc_data_owed, 0);

	fc_backend_look(window);
	return sbi->s_fc_backend->commit(window, fc_backend_tid(sbi), owed);
}

/* ext4 commits in full instead. */
void ext4_fc_backend_abort(struct super_block *sb)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);

	if (sbi->s_fc_backend_active)
		sbi->s_fc_backend->abort(sbi->s_fc_backend_priv,
					 sbi->s_journal->j_running_transaction ?
					 fc_backend_tid(sbi) : 0);
}

/*
 * An fsync owes the data of its file, which a journal on another device does not
 * make durable by the way.  No fast commit tells of a write into blocks that were
 * there before.  An empty file has no data.
 *
 * The barrier is for the commits' numbers: one that this fsync finds not begun
 * yet, and so waits for, sees the mark.  If that commit fails, jbd2 flushes: see
 * jbd2_trans_will_send_data_barrier().
 */
void ext4_fc_backend_owe_data(struct inode *inode)
{
	struct ext4_sb_info *sbi = EXT4_SB(inode->i_sb);
	journal_t *journal = sbi->s_journal;

	if (sbi->s_fc_backend_active && journal->j_fs_dev != journal->j_dev &&
	    i_size_read(inode))
		/* Before ext4_fc_commit() reads s_fc_begun; see above */
		smp_store_mb(sbi->s_fc_data_owed, 1);
}

/*
 * Somebody came upon the commit before: who was served by that, or is still at work,
 * comes again soon, and can be in this one.  No fsync has been told yet that it is.
 */
void ext4_fc_backend_gather(struct super_block *sb)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	ktime_t wait = min(sbi->s_fc_stats.s_fc_avg_commit_time / 8,
			   (u64)sbi->s_max_batch_time * NSEC_PER_USEC);

	WRITE_ONCE(sbi->s_fc_met, false);
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_hrtimeout(&wait, HRTIMER_MODE_REL);
}

/*
 * What is tracked while a commit is under way, or the flags still say so, is
 * staged for the next one: this is it.  An error if the transaction cannot commit
 * fast any more; with updates locked that is final.
 */
int ext4_fc_backend_take_staged(struct super_block *sb)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	int alloc_ctx;

	if (!sbi->s_fc_backend_active)
		return 0;
	alloc_ctx = ext4_fc_lock(sb);
	list_splice_tail_init(&sbi->s_fc_dentry_q[FC_Q_STAGING],
			      &sbi->s_fc_dentry_q[FC_Q_MAIN]);
	list_splice_tail_init(&sbi->s_fc_q[FC_Q_STAGING],
			      &sbi->s_fc_q[FC_Q_MAIN]);
	ext4_fc_unlock(sb, alloc_ctx);
	return ext4_test_mount_flag(sb, EXT4_MF_FC_INELIGIBLE) ? -EAGAIN : 0;
}

/*
 * The block after the last one that belongs to the file's size.  Written ones from
 * there on are being added or taken away: the inode is on the orphan list, which
 * fast commits do not log.
 */
u64 ext4_fc_backend_eof(struct inode *inode)
{
	if (!EXT4_SB(inode->i_sb)->s_fc_backend_active)
		return U64_MAX;
	return DIV_ROUND_UP_ULL(READ_ONCE(EXT4_I(inode)->i_disksize),
				i_blocksize(inode));
}

/*
 * The mapping of a block of which the extent status tree knows nothing, as behind a
 * truncation, or when the shrinker has been there.  Updates are locked: nobody who could
 * change the mapping holds i_data_sem.
 */
bool ext4_fc_backend_look_up(struct inode *inode, ext4_lblk_t lblk,
			     ext4_lblk_t len, struct extent_status *es)
{
	struct ext4_map_blocks map = { .m_lblk = lblk, .m_len = len };
	unsigned int nofs = memalloc_nofs_save();
	/* The inode is not locked: what is found is not for the cache. */
	int ret = ext4_map_blocks(NULL, inode, &map,
				  EXT4_GET_BLOCKS_IO_SUBMIT | EXT4_EX_NOCACHE);

	memalloc_nofs_restore(nofs);
	if (ret < 0 || !map.m_len)
		return false;
	es->es_lblk = lblk;
	es->es_len = map.m_len;
	ext4_es_store_pblock_status(es, map.m_pblk,
				    map.m_flags & EXT4_MAP_MAPPED ? EXTENT_STATUS_WRITTEN :
				    map.m_flags & EXT4_MAP_UNWRITTEN ? EXTENT_STATUS_UNWRITTEN :
				    EXTENT_STATUS_HOLE);
	return true;
}

/*
 * Whether a block that counts as written may not have been: its data is flushed behind the
 * snapshot, and a truncation can drop it before.  Where blocks are unwritten until their
 * data is there, or zeroed, no block is like that.
 */
bool ext4_fc_backend_stale(struct inode *inode)
{
	return !IS_DAX(inode) && !ext4_should_dioread_nolock(inode) &&
	       (mapping_tagged(inode->i_mapping, PAGECACHE_TAG_DIRTY) ||
		mapping_tagged(inode->i_mapping, PAGECACHE_TAG_WRITEBACK));
}

/*
 * Inserts a range, and joins it with those that it touches.  Where there is no room, the
 * two that are nearest to one another become one, with what is between them.
 */
static void fc_backend_insert_span(struct ext4_fc_spans *spans,
				   ext4_lblk_t first, ext4_lblk_t last)
{
	unsigned int at, end, i, near;

again:
	at = 0;
	while (at < spans->nr && (u64)spans->span[at].last + 1 < first)
		at++;
	for (end = at; end < spans->nr; end++) {
		if (spans->span[end].first > (u64)last + 1)
			break;
		first = min(first, spans->span[end].first);
		last = max(last, spans->span[end].last);
	}
	if (at == end && spans->nr == EXT4_FC_MAX_SPANS) {
		near = 0;
		for (i = 1; i + 1 < spans->nr; i++)
			if (spans->span[i + 1].first - spans->span[i].last <
			    spans->span[near + 1].first - spans->span[near].last)
				near = i;
		spans->span[near].last = spans->span[near + 1].last;
		memmove(&spans->span[near + 1], &spans->span[near + 2],
			(spans->nr - near - 2) * sizeof(spans->span[0]));
		spans->nr--;
		goto again;
	}
	memmove(&spans->span[at + 1], &spans->span[end],
		(spans->nr - end) * sizeof(spans->span[0]));
	spans->nr = spans->nr - (end - at) + 1;
	spans->span[at].first = first;
	spans->span[at].last = last;
}

/*
 * Notes that blocks have changed, with i_fc_lock.  One range needs no memory of its own; if
 * there is none for more, the range covers what is between them as well.
 */
void ext4_fc_backend_add_span(struct inode *inode, ext4_lblk_t first,
			      ext4_lblk_t last)
{
	struct ext4_inode_info *ei = EXT4_I(inode);
	ext4_lblk_t start = ei->i_fc_lblk_start, end;

	if (!ei->i_fc_lblk_len) {
		ei->i_fc_lblk_start = first;
		ei->i_fc_lblk_len = last - first + 1;
		return;
	}
	end = start + ei->i_fc_lblk_len - 1;
	if (!ei->i_fc_spans &&
	    (first > (u64)end + 1 || start > (u64)last + 1)) {
		ei->i_fc_spans = kmalloc_obj(*ei->i_fc_spans,
					     GFP_ATOMIC | __GFP_NOWARN);
		if (ei->i_fc_spans) {
			ei->i_fc_spans->nr = 1;
			ei->i_fc_spans->span[0].first = start;
			ei->i_fc_spans->span[0].last = end;
		}
	}
	if (ei->i_fc_spans)
		fc_backend_insert_span(ei->i_fc_spans, first, last);
	ei->i_fc_lblk_start = min(start, first);
	ei->i_fc_lblk_len = max(end, last) - ei->i_fc_lblk_start + 1;
}

/* The next fast commit looks at these blocks again. */
void ext4_fc_backend_keep_range(struct inode *inode, ext4_lblk_t first,
				ext4_lblk_t last)
{
	struct ext4_inode_info *ei = EXT4_I(inode);

	spin_lock(&ei->i_fc_lock);
	ext4_fc_backend_add_span(inode, first, last);
	ext4_set_inode_state(inode, EXT4_STATE_FC_REQUEUE);
	spin_unlock(&ei->i_fc_lock);
}

/*
 * A thread that locks updates and then waits for a full commit also waits for the fast
 * commit that is under way.  The fast commit must not wait for that thread: it only tries
 * this mutex.
 */
void ext4_lock_updates(struct super_block *sb)
{
	mutex_lock(&EXT4_SB(sb)->s_fc_barrier);
	jbd2_journal_lock_updates(EXT4_SB(sb)->s_journal);
}

void ext4_unlock_updates(struct super_block *sb)
{
	jbd2_journal_unlock_updates(EXT4_SB(sb)->s_journal);
	mutex_unlock(&EXT4_SB(sb)->s_fc_barrier);
}

/*
 * Recovery finds the orphans of the transaction before, and fast commits say nothing
 * of them.
 */
void ext4_fc_backend_orphan_gone(handle_t *handle, struct inode *inode)
{
	if (EXT4_SB(inode->i_sb)->s_fc_backend_active && !is_handle_aborted(handle) &&
	    EXT4_I(inode)->i_fc_orphan_tid != handle->h_transaction->t_tid)
		ext4_fc_backend_mark_ineligible(inode->i_sb,
						EXT4_FC_REASON_ORPHAN, handle);
}
