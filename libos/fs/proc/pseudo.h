/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems whose files are made up when read: proc, sys, cgroup, /dev/attestation. A tree is a
 * table of entries; a file's text is made by `show` when it is first read (and again when read from
 * its start). Entries of a process (or of a thread or descriptor of it) get that in struct
 * pseudo_inode.
 */
#pragma once

#include "fs_private.h"

struct text {
    char *buf;
    size_t used, size;
    bool failed; /* out of memory */
};
void text_add(struct text *t, const void *data, size_t n);
void text_printf(struct text *t, const char *fmt, ...) __printf(2, 3);
void text_free(struct text *t);
/* Processors as Linux writes them: "3,00000001" and "0-2,5"; without a newline. */
void text_cpu_mask(struct text *t, const u64 mask[16]);
void text_cpu_list(struct text *t, const u64 mask[16]);

struct pseudo_inode;
struct pseudo_entry {
    const char *name; /* NULL ends a table */
    u32 mode;
    const struct pseudo_entry *children;                 /* a directory */
    int (*show)(struct pseudo_inode *p, struct text *t); /* a file's text; a link's target */
    ssize_t (*store)(struct pseudo_inode *p, const char *buf,
                     size_t n);                                 /* all of one write; buf[n] is 0 */
    int (*follow)(struct pseudo_inode *p, struct dentry **out); /* a magic link */
    /* A directory with names of its own, besides the table's. */
    int (*lookup)(struct pseudo_inode *dir, const char *name, size_t len, struct inode **out);
    int (*iterate)(struct pseudo_inode *dir, u64 pos, dirent_fn *fn, void *ctx);
    const struct file_ops *fops;                             /* instead of show and store */
    long (*ioctl)(struct pseudo_inode *p, u32 cmd, u64 arg); /* NULL: -ENOTTY */
    /* A number that changes when the file has news: poll(2) tells of it once, by POLLPRI. */
    u64 (*news)(void);
    struct waitq *news_wait; /* woken then */
    const char *text;        /* constant text (or link target) instead of show */
};
/* The usual entries: a file whose text `function` makes, one of constant text, a directory. */
#define PSEUDO_SHOW(entry_name, function)                            \
    {                                                                \
        .name = entry_name, .mode = S_IFREG | 0444, .show = function \
    }
#define PSEUDO_TEXT(entry_name, lines)                                 \
    {                                                                  \
        .name = entry_name, .mode = S_IFREG | 0444, .text = lines "\n" \
    }
#define PSEUDO_DIR(entry_name, table)                                 \
    {                                                                 \
        .name = entry_name, .mode = S_IFDIR | 0555, .children = table \
    }
struct pseudo_inode {
    struct inode i;
    const struct pseudo_entry *entry;
    i32 pid, tid, fd;
    u64 start;  /* of the process: a pid may come again */
    char *name; /* of one that has no row in a table, where its directory wants it; kmalloc'ed */
};
static inline struct pseudo_inode *pseudo_of(struct inode *i)
{
    return container_of(i, struct pseudo_inode, i);
}
/* parent gives pid, tid and owner; NULL: no memory. */
struct inode *pseudo_inode_new(struct super *s, const struct pseudo_entry *e,
                               const struct pseudo_inode *parent);
struct super *pseudo_super(const char *type, u64 magic, const struct pseudo_entry *root);
#define PSEUDO_POS_TABLE \
    (1ull << 40) /* positions of the table's entries; a directory's own are below */
