/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees in enclave memory: tmpfs, memfd and the sealed root. An inode may have a backing EROFS
 * inode: what nobody has changed is read from there (names of a directory at its first use, pages
 * one by one), what is written stays here. A page here hides the page of the image; `backing_end`
 * falls when the file is cut, so that nothing behind it comes back.
 */
#pragma once

#include "image.h"
#include "fs_private.h"

struct mem_dirent {
    struct rb_node node; /* key: position */
    struct mem_dirent *next;
    struct inode *inode; /* NULL: not loaded, see nid */
    u64 nid;
    u32 hash;
    u8 type, len;
    char name[];
};

struct mem_dir {
    struct mem_dirent **buckets;
    u32 bucket_count, count;
    struct rb_root by_position;
    u64 next_position;
    bool loaded; /* no names left in the image only */
};

struct mem_data {
    struct mutex write_lock; /* writers, one after the other; taken before inode->lock */
    void *root;              /* radix tree of pages */
    u32 height;
    u32 pins;       /* readers that copy from pages without inode->lock */
    void *deferred; /* pages to free when pins is 0, linked through their first word */
    u64 pages;
    u64 backing_end; /* bytes of the image's file that still show */
};

struct mem_xattr {
    struct mem_xattr *next;
    size_t size;
    char *name;
    u8 value[];
};

struct mem_inode {
    struct inode i;
    struct erofs_inode *backing;
    struct rb_node by_nid;
    bool shared_nid; /* in mem_super.by_nid */
    bool xattrs_loaded;
    struct mem_xattr *xattrs;
    struct mem_inode *next_dead; /* while a tree is taken apart */
    union {
        struct mem_dir dir;
        struct mem_data data;
        char *link;
    };
};

struct mem_super {
    struct super s;
    struct mutex lock;
    struct rb_root by_nid;
    struct erofs *erofs;
    u64 page_limit, pages, inodes, next_ino;
    u64 inode_limit; /* 0: none */
    u64 image_inodes, image_blocks;
};

static inline struct mem_inode *mem_of(const struct inode *i)
{
    return container_of(i, struct mem_inode, i);
}
static inline struct mem_super *mem_super_of(const struct inode *i)
{
    return container_of(i->super, struct mem_super, s);
}

extern const struct inode_ops g_mem_dir_ops, g_mem_file_ops, g_mem_link_ops, g_mem_special_ops;

/* memfs.c */
struct mem_inode *mem_inode_new(struct mem_super *s, u32 mode);
/* The inode of the image's nid, made or found. */
int mem_inode_from_image(struct mem_super *s, u64 nid, struct inode **out);
struct mem_super *mem_super_new(const char *type, u64 magic);
int mem_tmpfile(struct inode *dir, u32 mode, struct inode **out);
void mem_destroy(struct inode *i);
int mem_setattr(struct inode *i, const struct setattr *a);
int mem_getattr(struct inode *i, struct kstat *st);
ssize_t mem_getxattr(struct inode *i, const char *name, void *buf, size_t size);
int mem_setxattr(struct inode *i, const char *name, const void *buf, size_t size, int flags);
ssize_t mem_listxattr(struct inode *i, char *buf, size_t size);
int mem_removexattr(struct inode *i, const char *name);
void mem_xattrs_free(struct mem_inode *m);

struct super *memfs_over_image(struct erofs *fs);
/* As mount(2): tmpfs, ramfs, mqueue. */
struct super *memfs_mount(const char *type, const char *options);

/* memdir.c */
void mem_dir_free(struct mem_dir *dir, struct mem_inode **todo);

/* memdata.c; the first five with inode->lock held */
extern u8 g_mem_hole;
#define MEM_HOLE ((void *)&g_mem_hole) /* a page of zeros that hides a page of the image */
void *mem_tree_get(const struct mem_data *d, u64 index);
u64 mem_tree_next(const struct mem_data *d, u64 index); /* first page from index on; UINT64_MAX */
void **mem_tree_slot(struct mem_data *d, u64 index);    /* NULL: no memory */
void mem_drop_pages(struct mem_inode *m, u64 first, u64 last);
/* A page of our own for `index`; fill: with what the file has there. */
int mem_own_page(struct mem_inode *m, u64 index, bool fill, void **out);
/* What is true for the page: a page mapped shared, else our own, NULL: image or zeros. */
void *mem_current_page(struct mem_inode *m, u64 index);
void mem_data_free(struct mem_inode *m);
int mem_open(struct inode *i, struct file *f);
int mem_read_page(struct inode *i, u64 off, void *dst);
int mem_write_page(struct inode *i, u64 off, const void *src, size_t n);

/* memsize.c */
int mem_resize(struct mem_inode *m, u64 size);
int mem_fallocate(struct file *f, int mode, u64 off, u64 len);
i64 mem_seek_data_hole(struct file *f, i64 off, bool data);

#define MEM_COMMON_OPS                                                                    \
    .getattr = mem_getattr, .setattr = mem_setattr, .getxattr = mem_getxattr,             \
    .setxattr = mem_setxattr, .listxattr = mem_listxattr, .removexattr = mem_removexattr, \
    .destroy = mem_destroy
