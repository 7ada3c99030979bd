// SPDX-License-Identifier: GPL-2.0
/*
 * Fast-commit backends: the list of them, and how a mount comes to use one and
 * leaves it.  How a backend keeps its log is its own business; see fc_backend.h.
 */

#include "ext4.h"
#include "fast_commit.h"
#include "fc_backend.h"

/* The backend that the mount option and the feature bit stand for. */
#define FC_BACKEND_NAME		"bytelog"
#define FC_BACKEND_GET_IT	"install and load it (modprobe ext4_bytelog)"

static LIST_HEAD(fc_backends);
static DEFINE_MUTEX(fc_backends_lock);

int ext4_fc_backend_register(struct ext4_fc_backend_ops *ops)
{
	struct ext4_fc_backend_ops *other;
	int err = 0;

	mutex_lock(&fc_backends_lock);
	list_for_each_entry(other, &fc_backends, list)
		if (!strcmp(other->name, ops->name))
			err = -EEXIST;
	if (!err)
		list_add_tail(&ops->list, &fc_backends);
	mutex_unlock(&fc_backends_lock);
	return err;
}
EXPORT_SYMBOL_GPL(ext4_fc_backend_register);

void ext4_fc_backend_unregister(struct ext4_fc_backend_ops *ops)
{
	mutex_lock(&fc_backends_lock);
	list_del(&ops->list);
	mutex_unlock(&fc_backends_lock);
}
EXPORT_SYMBOL_GPL(ext4_fc_backend_unregister);

void *ext4_fc_backend_priv(struct super_block *sb)
{
	return EXT4_SB(sb)->s_fc_backend_priv;
}
EXPORT_SYMBOL_GPL(ext4_fc_backend_priv);

static const struct ext4_fc_backend_ops *fc_backend_find(void)
{
	const struct ext4_fc_backend_ops *ops, *found = NULL;

	mutex_lock(&fc_backends_lock);
	list_for_each_entry(ops, &fc_backends, list)
		if (!strcmp(ops->name, FC_BACKEND_NAME) &&
		    try_module_get(ops->owner)) {
			found = ops;
			break;
		}
	mutex_unlock(&fc_backends_lock);
	return found;
}

/* The backend says itself why it fails; only its absence is reported here. */
static int fc_backend_attach(struct super_block *sb, journal_t *journal,
			     unsigned int flags)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	const struct ext4_fc_backend_ops *ops;
	int err;

	if (test_opt2(sb, DAX_NEVER))
		flags |= EXT4_FC_BACKEND_DAX_NEVER;

	ops = fc_backend_find();
	if (!ops) {
		request_module("ext4-fc-" FC_BACKEND_NAME);
		ops = fc_backend_find();
	}
	if (!ops) {
		if (flags & EXT4_FC_BACKEND_REQUIRED)
			ext4_msg(sb, KERN_ERR,
				 "dax_fc_bytelog: backend module missing: "
				 FC_BACKEND_GET_IT ", or convert the log with \"bytelog export\"");
		else
			ext4_msg(sb, KERN_WARNING,
				 "dax_fc_bytelog not in use: backend module missing: "
				 FC_BACKEND_GET_IT);
		return -EINVAL;
	}

	err = ops->attach(sb, journal, flags, &sbi->s_fc_backend_priv);
	if (err) {
		sbi->s_fc_backend_priv = NULL;
		module_put(ops->owner);
		ext4_fc_init(sb, journal);
		return err;
	}
	sbi->s_fc_backend = ops;
	sbi->s_fc_backend_log = flags & EXT4_FC_BACKEND_LOG;
	return 0;
}

/* Fast commits stay conventional, which the feature bit does not allow. */
static int fc_backend_unused(struct super_block *sb, const char *why)
{
	if (!ext4_has_feature_dax_fc_bytelog(sb)) {
		ext4_msg(sb, KERN_WARNING, "dax_fc_bytelog not in use: %s",
			 why);
		return 0;
	}
	ext4_msg(sb, KERN_ERR,
		 "dax_fc_bytelog impossible: %s; refused, as the feature bit is set (dax_fc_bytelog=off mounts)",
		 why);
	return -EINVAL;
}

/* Before the journal is looked at.  An error fails the mount. */
int ext4_fc_backend_attach(struct super_block *sb, journal_t *journal)
{
	unsigned int flags = 0;
	const char *why;
	int err = 0;

	/*
	 * On a clean filesystem, and beside a mark in the journal, the bit was
	 * set on purpose: it stays.  Whether it is set now does not matter:
	 * replay can bring back a superblock that has it.
	 */
	EXT4_SB(sb)->s_fc_bit_transient =
		ext4_has_feature_journal_needs_recovery(sb) &&
		!ext4_fc_backend_is_marked(journal);
	if (ext4_has_feature_dax_fc_bytelog(sb) ||
	    ext4_fc_backend_is_marked(journal))
		flags |= EXT4_FC_BACKEND_REQUIRED;
	if (test_opt2(sb, FC_BYTELOG_FORCE))
		flags |= EXT4_FC_BACKEND_FORCE;
	if (test_opt2(sb, FC_BYTELOG) && !test_opt2(sb, JOURNAL_FAST_COMMIT)) {
		why = ext4_has_feature_fast_commit(sb) ?
		      "data=journal allows no fast commits (data=ordered does)" :
		      "no fast_commit feature (tune2fs -O fast_commit adds it)";
		err = fc_backend_unused(sb, why);
	} else if (test_opt2(sb, FC_BYTELOG) && ext4_has_feature_bigalloc(sb)) {
		/* Replay counts and frees blocks, not clusters. */
		err = fc_backend_unused(sb, "bigalloc: fast commits do not replay its clusters");
	} else if (test_opt2(sb, FC_BYTELOG)) {
		flags |= EXT4_FC_BACKEND_LOG;
	}
	if (err || !(flags & (EXT4_FC_BACKEND_LOG | EXT4_FC_BACKEND_REQUIRED)))
		return err;

	err = fc_backend_attach(sb, journal, flags);
	if (!err || !(flags & EXT4_FC_BACKEND_REQUIRED))
		return 0;
	ext4_msg(sb, KERN_ERR, "%s: no mount without its backend",
		 ext4_has_feature_dax_fc_bytelog(sb) ?
		 "the dax_fc_bytelog feature bit is set" :
		 "the journal is marked as ByteLog's");
	return err;
}

/* Before the first write of a mount or remount.  An error fails it. */
int ext4_fc_backend_start(struct super_block *sb)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	journal_t *journal = sbi->s_journal;
	int err;

	if (!test_opt2(sb, FC_BYTELOG) || sbi->s_fc_backend_active)
		return 0;
	if (!journal)
		return fc_backend_unused(sb, ext4_has_feature_journal(sb) ?
					 "noload leaves the journal out" :
					 "no journal (tune2fs -O has_journal,fast_commit adds it)");
	/* Why not has been said at the mount. */
	if (!sbi->s_fc_backend_log || !jbd2_has_feature_fast_commit(journal))
		return 0;
	if (bdev_read_only(journal->j_dev))
		return fc_backend_unused(sb, "journal device read-only (blockdev --setrw)");

	/* Recovery can have brought another one. */
	super_set_uuid(sb, sbi->s_es->s_uuid, sizeof(sbi->s_es->s_uuid));
	err = sbi->s_fc_backend->start(sbi->s_fc_backend_priv);
	if (err >= 0) {
		sbi->s_fc_backend_flushes = err == EXT4_FC_BACKEND_FLUSHES;
		sbi->s_fc_backend_active = true;
		return 0;
	}
	ext4_fc_init(sb, journal);
	if (!ext4_has_feature_dax_fc_bytelog(sb))
		return 0;
	ext4_msg(sb, KERN_ERR,
		 "the dax_fc_bytelog feature bit is set: no writing without its backend (dax_fc_bytelog=off mounts)");
	/* ext4_setup_super() gives -EROFS a meaning of its own. */
	return err == -EROFS ? -EIO : err;
}

/* After the journal is gone. */
void ext4_fc_backend_detach(struct super_block *sb)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	const struct ext4_fc_backend_ops *ops = sbi->s_fc_backend;

	if (!ops)
		return;
	sbi->s_fc_backend_active = false;
	sbi->s_fc_backend_flushes = false;
	sbi->s_fc_backend_log = false;
	sbi->s_fc_backend = NULL;
	ops->detach(sbi->s_fc_backend_priv);
	sbi->s_fc_backend_priv = NULL;
	module_put(ops->owner);
	kvfree(sbi->s_fc_snaps);
	sbi->s_fc_snaps = NULL;
	sbi->s_fc_snaps_end = NULL;
	sbi->s_fc_next_snap = NULL;
}

/*
 * The journal is marked before needs_recovery is set.  Earlier versions set a bit in the
 * superblock of the filesystem instead, which goes when their log has been replayed.
 */
void ext4_fc_backend_mark_dirty(struct super_block *sb)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);

	if (test_opt2(sb, FC_BYTELOG_FORCE))
		return;
	if (sbi->s_fc_backend_active)
		ext4_fc_backend_mark_journal(sbi->s_journal);
	else
		/* Left by a crash, replayed: this mount logs conventionally. */
		ext4_fc_backend_unmark_journal(sbi->s_journal);
	ext4_fc_backend_mark_clean(sb);
}

void ext4_fc_backend_mark_clean(struct super_block *sb)
{
	if (EXT4_SB(sb)->s_fc_bit_transient &&
	    !test_opt2(sb, FC_BYTELOG_FORCE))
		ext4_clear_feature_dax_fc_bytelog(sb);
}

/* A remount may repeat the option, or turn off what is off already. */
bool ext4_fc_backend_may_remount(struct super_block *sb, unsigned int opt2)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);

	opt2 &= EXT4_MOUNT2_FC_BYTELOG_MASK;
	if (opt2 == (sbi->s_mount_opt2 & EXT4_MOUNT2_FC_BYTELOG_MASK) ||
	    (!opt2 && !sbi->s_fc_backend_active))
		return true;
	ext4_msg(sb, KERN_ERR,
		 "can't change dax_fc_bytelog mount option while remounting");
	return false;
}

/*
 * Records of a backend in the first block of the area, on a mount that did not
 * expect them.  They are never passed over: the backend replays them, or the
 * mount fails.  Returns false if there are none.
 */
bool ext4_fc_backend_replay(journal_t *journal, struct buffer_head *bh,
			    tid_t tid, int *ret)
{
	struct super_block *sb = journal->j_private;
	struct {
		struct ext4_fc_tl head_tl;
		struct ext4_fc_head head;
		struct ext4_fc_tl next_tl;
	} __packed start;

	if (EXT4_SB(sb)->s_fc_backend)
		return false;
	BUILD_BUG_ON(sizeof(start) > EXT4_MIN_BLOCK_SIZE);
	memcpy(&start, bh->b_data, sizeof(start));
	if (start.head_tl.fc_tag != cpu_to_le16(EXT4_FC_TAG_HEAD) ||
	    start.head_tl.fc_len != cpu_to_le16(sizeof(start.head)) ||
	    start.head.fc_tid != cpu_to_le32(tid) ||
	    start.next_tl.fc_tag != cpu_to_le16(EXT4_FC_TAG_ANCHOR))
		return false;

	*ret = fc_backend_attach(sb, journal, EXT4_FC_BACKEND_REQUIRED);
	if (*ret)
		ext4_msg(sb, KERN_ERR,
			 "the journal holds ByteLog records: no mount without their backend");
	else
		*ret = journal->j_fc_replay_callback(journal, bh, PASS_SCAN, 0,
						     tid);
	return true;
}
