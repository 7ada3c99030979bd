/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fast-commit backends: what ext4 asks of a module that keeps the fast-commit
 * log in its own way.
 *
 * Included by ext4 (through the hook patch) and, through bindgen, by the
 * backend.  A backend sees the VFS superblock and the journal, no private ext4
 * structure.
 */
#ifndef _EXT4_FC_BACKEND_H
#define _EXT4_FC_BACKEND_H

#include <linux/jbd2.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/types.h>

/*
 * Second TLV of a fast-commit area that holds ByteLog records.  A kernel that
 * does not know the tag refuses the area.
 */
#define EXT4_FC_TAG_ANCHOR		0x000a

/*
 * Incompat bit in the superblock of a journal whose fast commits a backend keeps; see
 * fc_backend_mark.c.
 */
#define EXT4_FC_JOURNAL_MARK		0x00040000

/* @flags of attach(): how the mount looks that asks for the backend. */
#define EXT4_FC_BACKEND_LOG		0x1	/* new commits are wanted, not only replay */
#define EXT4_FC_BACKEND_REQUIRED	0x2	/* the mount fails without the backend */
#define EXT4_FC_BACKEND_DAX_NEVER	0x4	/* mounted with dax=never */
#define EXT4_FC_BACKEND_FORCE		0x8	/* the journal gets no mark */

/* What start() returns where a commit waits for a device to flush. */
#define EXT4_FC_BACKEND_FLUSHES		1

/* @contents of a window: what the TLVs of a fast commit have that concerns the log. */
#define EXT4_FC_BACKEND_DIRECTORIES	0x1	/* directories, or DIR tags */
#define EXT4_FC_BACKEND_SPECIAL		0x2	/* inodes with neither extents nor inline data */
#define EXT4_FC_BACKEND_DATA		0x8000	/* ranges of file data */

/**
 * struct ext4_fc_window - where the TLVs of a fast commit go
 * @start: its first byte
 * @at: where the next TLV goes; moved by ext4
 * @end: behind its last byte
 * @contents: EXT4_FC_BACKEND_*, of all TLVs of the fast commit when it comes to commit()
 *
 * A backend's state of a mount begins with one.  ext4 writes to it, and to what it shows,
 * from the return of start(), room(), commit() or abort() to the next call of one of the
 * last three, and the backend during these calls.
 */
struct ext4_fc_window {
	u8 *start;
	u8 *at;
	u8 *end;
	u32 contents;
};

/**
 * struct ext4_fc_backend_ops - a fast-commit backend
 * @owner: module that provides the functions; pinned while a mount uses them.
 * @name: the name ext4 looks the backend up by.
 * @list: for ext4's list of backends.
 * @attach: called before jbd2_journal_load(), or out of it, when replay comes
 *	upon records that nobody expected (never with %EXT4_FC_BACKEND_LOG
 *	then).  Allocates the mount's state and takes over
 *	journal->j_fc_replay_callback.  The fast-commit area need not be known
 *	yet.  Returns 0 and sets @priv, which points to a struct ext4_fc_window and what is
 *	the backend's behind it; or says why not and returns an error, and ext4 puts the
 *	callback back.
 * @start: called before the first write of the mount, or of the remount that
 *	makes it writable, if %EXT4_FC_BACKEND_LOG was given.  The journal has
 *	been loaded and has its fast-commit feature.  Maps the area; from here on
 *	every fast commit goes through the window, @room, and then @commit or @abort, one
 *	commit at a time.  Returns 0 or %EXT4_FC_BACKEND_FLUSHES.
 *	An error means: no logging; the backend says why, and may be asked again
 *	at the next such remount.
 * @detach: called after the journal has been destroyed (or was never loaded).
 * @room: the TLVs in the window are taken, and it gets room for one of @len bytes more.
 *	False: the log is full or the backend cannot go on, and ext4 commits in full.
 *	Called under the fast-commit lock.
 * @commit: makes all TLVs since the last commit durable, and before them the file data
 *	that they describe.  @owed: an fsync that waits for this commit owes data of its
 *	file on a device other than the journal's, which must be durable too.  Outside the
 *	lock.  Only when it returns 0 does fsync return.
 * @abort: the TLVs since the last commit are dropped.
 */
struct ext4_fc_backend_ops {
	struct module *owner;
	const char *name;
	struct list_head list;
	int (*attach)(struct super_block *sb, journal_t *journal,
		      unsigned int flags, void **priv);
	int (*start)(void *priv);
	void (*detach)(void *priv);
	bool (*room)(void *priv, tid_t tid, unsigned int len);
	int (*commit)(void *priv, tid_t tid, bool owed);
	void (*abort)(void *priv, tid_t tid);
};

int ext4_fc_backend_register(struct ext4_fc_backend_ops *ops);
void ext4_fc_backend_unregister(struct ext4_fc_backend_ops *ops);

/* The state that @attach made for this mount, or NULL. */
void *ext4_fc_backend_priv(struct super_block *sb);

/*
 * From the replay callback, before the scan: the log that follows is of a backend.
 * Every live inode that an UNLINK names has a later INODE tag with its link count.
 */
void ext4_fc_backend_exact(struct super_block *sb);

#endif /* _EXT4_FC_BACKEND_H */
