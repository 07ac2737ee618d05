/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The LibOS's readers of the sealed image, over an image that the converter made from a tree of
 * known files: what they read is what was packed, and after any damage they read the same or fail,
 * never something else.
 */
#include "enclave/bundle/trusted_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/path.h"
#include "enclave/bundle/bundle.h"
#include "enclave/bundle/trusted_shim.h"
#include "image.h"
#include "manifest.h"

#define BIG_DIRECTORY 700

static char g_root[] = "/tmp/rune-sealed.XXXXXX";
static u8 *g_image; /* as made */
static u64 g_image_size;
static struct manifest_image g_manifest;
static unsigned g_log_lines;
static char g_last_line[256];

static void count_line(const char *line)
{
    g_log_lines++;
    snprintf(g_last_line, sizeof(g_last_line), "%s", line);
}

/* ---- the tree ---- */

static const struct {
    const char *name;
    size_t size;
} g_files[] = {
    {"empty", 0},  {"one", 1},      {"below", 4095},        {"block", 4096},  {"above", 4097},
    {"two", 8192}, {"tail", 10000}, {"inline-limit", 4032}, {"big", 1234567},
};

static u8 content_byte(size_t file, size_t at)
{
    return (u8)((at * 2654435761u >> 13) + file * 31);
}

static void make_file(const char *path, size_t file, size_t size)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < size; i++)
        fputc(content_byte(file, i), f);
    assert_int_equal(fclose(f), 0);
}

static char *in_tree(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/tree/%s", g_root, name);
    return path;
}

static void make_tree(void)
{
    assert_int_equal(mkdir(in_tree(""), 0755), 0);
    for (size_t i = 0; i < sizeof(g_files) / sizeof(*g_files); i++)
        make_file(in_tree(g_files[i].name), i, g_files[i].size);
    assert_int_equal(mkdir(in_tree("many"), 0700), 0);
    for (int i = 0; i < BIG_DIRECTORY; i++) {
        char name[64];
        snprintf(name, sizeof(name), "many/entry-with-a-longer-name-%d", i);
        make_file(in_tree(name), 0, 0);
    }
    assert_int_equal(symlink("/somewhere/else", in_tree("link")), 0);
    char *old = strdup(in_tree("tail"));
    assert_int_equal(link(old, in_tree("hard")), 0);
    free(old);
    assert_int_equal(mkfifo(in_tree("fifo"), 0640), 0);
    if (geteuid() == 0)
        assert_int_equal(mknod(in_tree("device"), S_IFCHR | 0666, makedev(1, 300)), 0);
    const struct timespec times[2] = {{0, 0}, {1234567890, 123456789}};
    assert_int_equal(utimensat(AT_FDCWD, in_tree("one"), times, 0), 0);
    assert_int_equal(chmod(in_tree("two"), 04751), 0);
    (void)setxattr(in_tree("block"), "user.colour", "green", 5, 0);
    (void)setxattr(in_tree("block"), "user.empty", "", 0, 0);
}

static int read_hex(const char *text, u8 *out)
{
    for (int i = 0; i < 32; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return -1;
        out[i] = (u8)byte;
    }
    return 0;
}

static u64 number_in(const char *json, const char *key)
{
    const char *at = strstr(json, key);
    assert_non_null(at);
    return strtoull(strchr(at, ':') + 1, NULL, 10);
}

static void load_manifest(const char *dir)
{
    char path[512], json[4096] = "";
    snprintf(path, sizeof(path), "%s/info.json", dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(json, 1, sizeof(json) - 1, f) > 0);
    fclose(f);
    struct manifest_image *m = &g_manifest;
    m->magic = MANIFEST_IMAGE_MAGIC;
    m->version = MANIFEST_VERSION;
    assert_int_equal(read_hex(strstr(json, "\"rootHash\": \"") + 13, m->root_hash), 0);
    assert_int_equal(read_hex(strstr(json, "\"salt\": \"") + 9, m->salt), 0);
    m->salt_size = (u32)number_in(json, "\"saltSize\"");
    m->hash_levels = (u32)number_in(json, "\"levels\"");
    m->data_blocks = number_in(json, "\"dataBlocks\"");
    m->hash_offset = number_in(json, "\"hashOffset\"");
    m->image_size = number_in(json, "\"imageSize\"");
}

static int set_up(void **state)
{
    trusted_log_divert(count_line);
    assert_non_null(mkdtemp(g_root));
    make_tree();
    char cache[512];
    snprintf(cache, sizeof(cache), "%s/cache", g_root);
    struct bundle_options options = {.rootfs = in_tree(""), .cache_dir = cache, .image_only = true};
    struct bundle_result result;
    struct error err = ERROR_INIT;
    if (bundle_convert(&options, &result, &err) < 0) {
        fprintf(stderr, "convert: %s\n", error_text(&err));
        return -1;
    }
    trusted_log_divert(count_line);
    FILE *f = fopen(result.image, "r");
    assert_non_null(f);
    g_image = malloc(result.image_size);
    g_image_size = fread(g_image, 1, result.image_size, f);
    fclose(f);
    load_manifest(result.image_dir);
    assert_int_equal(g_image_size, g_manifest.image_size);
    bundle_result_release(&result);
    return 0;
}

static int tear_down(void **state)
{
    free(g_image);
    return path_remove_tree(AT_FDCWD, g_root, NULL);
}

/* ---- the stack as the LibOS builds it ---- */

struct stack {
    u8 *bytes; /* of the host */
    u64 size;
    struct verity verity;
    struct blockcache *cache;
    struct erofs fs;
};

static int read_host(void *ctx, u64 off, void *buf, size_t n)
{
    const struct stack *s = ctx;
    if (off > s->size || n > s->size - off)
        return -EIO;
    memcpy(buf, s->bytes + off, n);
    return 0;
}

static int fill(void *ctx, u64 block, void *page)
{
    return verity_read(ctx, block, page);
}

static int stack_open(struct stack *s, u64 cache_size)
{
    int ret = verity_open(&s->verity, &g_manifest, s->size, read_host, s);
    if (ret < 0)
        return ret;
    s->cache = blockcache_create(cache_size, g_manifest.data_blocks, fill, &s->verity);
    ret = erofs_open(&s->fs, g_manifest.hash_offset, blockcache_read_bytes, s->cache);
    if (ret < 0) {
        blockcache_destroy(s->cache);
        verity_close(&s->verity);
    }
    return ret;
}

static void stack_close(struct stack *s)
{
    blockcache_destroy(s->cache);
    verity_close(&s->verity);
}

static int find(struct stack *s, const char *path, struct erofs_inode *inode)
{
    int ret = erofs_inode_read(&s->fs, s->fs.root_nid, inode);
    while (ret == 0 && *path) {
        size_t len = strcspn(path, "/");
        u64 nid;
        u8 type;
        ret = erofs_lookup(&s->fs, inode, path, len, &nid, &type);
        if (ret == 0)
            ret = erofs_inode_read(&s->fs, nid, inode);
        path += len + (path[len] == '/');
    }
    return ret;
}

/* Every byte of every file is right, or the read failed: returns how many reads failed. */
static unsigned check_files(struct stack *s)
{
    unsigned failed = 0;
    u8 chunk[5000];
    for (size_t i = 0; i < sizeof(g_files) / sizeof(*g_files); i++) {
        struct erofs_inode inode;
        if (find(s, g_files[i].name, &inode) < 0) {
            failed++;
            continue;
        }
        assert_int_equal(inode.size, g_files[i].size);
        for (u64 at = 0; at < inode.size;) {
            ssize_t n = erofs_pread(&s->fs, &inode, at, chunk, sizeof(chunk));
            if (n < 0) {
                failed++;
                at += sizeof(chunk);
                continue;
            }
            assert_true(n > 0);
            for (ssize_t k = 0; k < n; k++)
                assert_int_equal(chunk[k], content_byte(i, at + (u64)k));
            at += (u64)n;
        }
    }
    return failed;
}

static struct stack whole(void)
{
    return (struct stack){.bytes = g_image, .size = g_image_size};
}

static void test_contents(void **state)
{
    struct stack s = whole();
    assert_int_equal(stack_open(&s, 0), 0);
    assert_int_equal(check_files(&s), 0);
    stack_close(&s);
}

static void test_attributes(void **state)
{
    struct stack s = whole();
    struct erofs_inode inode;
    assert_int_equal(stack_open(&s, 1 << 20), 0);
    assert_int_equal(find(&s, "one", &inode), 0);
    assert_true(inode.mtime == 1234567890123456789ll);
    assert_int_equal(inode.nlink, 1);
    assert_int_equal(find(&s, "two", &inode), 0);
    assert_int_equal(inode.mode, S_IFREG | 04751);
    assert_int_equal(inode.uid, geteuid());
    assert_int_equal(find(&s, "hard", &inode), 0);
    assert_int_equal(inode.nlink, 2);
    u64 nid = inode.nid;
    assert_int_equal(find(&s, "tail", &inode), 0);
    assert_true(inode.nid == nid);
    assert_int_equal(find(&s, "fifo", &inode), 0);
    assert_int_equal(inode.mode, S_IFIFO | 0640);
    if (geteuid() == 0) {
        assert_int_equal(find(&s, "device", &inode), 0);
        assert_int_equal(inode.mode & S_IFMT, S_IFCHR);
        assert_true(inode.rdev == makedev(1, 300));
    }
    char target[64];
    assert_int_equal(find(&s, "link", &inode), 0);
    assert_int_equal(erofs_readlink(&s.fs, &inode, target, sizeof(target)), 15);
    assert_memory_equal(target, "/somewhere/else", 15);
    assert_int_equal(erofs_readlink(&s.fs, &inode, target, 4), 4);
    assert_int_equal(find(&s, "missing", &inode), -ENOENT);
    assert_int_equal(find(&s, "one/below", &inode), -ENOTDIR);
    stack_close(&s);
}

struct listing {
    unsigned count, room;
    u64 next;
    bool seen[BIG_DIRECTORY];
};

static bool list_entry_fn(void *ctx, const char *name, size_t len, u64 nid, u8 type, u64 next)
{
    struct listing *l = ctx;
    int index;
    char text[256];
    if (l->room == 0)
        return false;
    l->room--;
    memcpy(text, name, len);
    text[len] = 0;
    assert_int_equal(sscanf(text, "entry-with-a-longer-name-%d", &index), 1);
    assert_false(l->seen[index]);
    l->seen[index] = true;
    l->count++;
    l->next = next;
    assert_int_equal(type, 8);
    return true;
}

static void test_big_directory(void **state)
{
    struct stack s = whole();
    struct erofs_inode inode;
    struct listing l = {0};
    assert_int_equal(stack_open(&s, 1 << 20), 0);
    assert_int_equal(find(&s, "many", &inode), 0);
    for (u64 pos = 0; l.count < BIG_DIRECTORY; pos = l.next) {
        unsigned before = l.count;
        l.room = 7; /* a caller with a small buffer */
        assert_int_equal(erofs_iterate(&s.fs, &inode, pos, list_entry_fn, &l), 0);
        assert_true(l.count > before);
    }
    l.room = 1;
    assert_int_equal(erofs_iterate(&s.fs, &inode, l.next, list_entry_fn, &l), 0);
    assert_int_equal(l.count, BIG_DIRECTORY);
    for (int i = 0; i < BIG_DIRECTORY; i++) {
        char path[64];
        snprintf(path, sizeof(path), "many/entry-with-a-longer-name-%d", i);
        assert_int_equal(find(&s, path, &inode), 0);
    }
    assert_int_equal(find(&s, "many/entry-with-a-longer-name-9999", &inode), -ENOENT);
    stack_close(&s);
}

static void test_xattrs(void **state)
{
    struct stack s = whole();
    struct erofs_inode inode;
    char value[64], names[128];
    if (getxattr(in_tree("block"), "user.colour", value, sizeof(value)) < 0) {
        print_message("no user xattrs on /tmp\n");
        skip();
    }
    assert_int_equal(stack_open(&s, 1 << 20), 0);
    assert_int_equal(find(&s, "block", &inode), 0);
    assert_int_equal(erofs_getxattr(&s.fs, &inode, "user.colour", value, 64), 5);
    assert_memory_equal(value, "green", 5);
    assert_int_equal(erofs_getxattr(&s.fs, &inode, "user.colour", NULL, 0), 5);
    assert_int_equal(erofs_getxattr(&s.fs, &inode, "user.colour", value, 4), -ERANGE);
    assert_int_equal(erofs_getxattr(&s.fs, &inode, "user.empty", value, 4), 0);
    assert_int_equal(erofs_getxattr(&s.fs, &inode, "user.none", value, 4), -ENODATA);
    ssize_t n = erofs_listxattr(&s.fs, &inode, names, sizeof(names));
    assert_int_equal(n, sizeof("user.colour") + sizeof("user.empty"));
    assert_int_equal(erofs_listxattr(&s.fs, &inode, NULL, 0), n);
    assert_int_equal(erofs_listxattr(&s.fs, &inode, names, 5), -ERANGE);
    stack_close(&s);
}

/* ---- damage ---- */

static void test_flipped_bytes(void **state)
{
    unsigned refused = 0, errors = 0, untouched = 0;
    u8 *bytes = malloc(g_image_size);
    memcpy(bytes, g_image, g_image_size);
    srand(42);
    for (int round = 0; round < 400; round++) {
        u64 at = ((u64)rand() << 16 ^ (u64)rand()) % g_image_size;
        if (round % 4 == 0) /* more of the tree, which is small */
            at = g_manifest.hash_offset + at % (g_image_size - g_manifest.hash_offset);
        u8 flip = (u8)(1 + rand() % 255);
        bytes[at] ^= flip;
        struct stack s = {.bytes = bytes, .size = g_image_size};
        g_log_lines = 0;
        if (stack_open(&s, 1 << 20) < 0) {
            refused++;
            assert_true(g_log_lines > 0);
        } else {
            unsigned failed = check_files(&s);
            assert_true(failed == 0 || g_log_lines > 0);
            assert_true(g_log_lines <= 17);
            errors += failed > 0;
            untouched += failed == 0;
            stack_close(&s);
        }
        bytes[at] ^= flip;
    }
    print_message("refused at open %u, read errors %u, not read %u\n", refused, errors, untouched);
    assert_true(refused > 0 && errors > 100);
    free(bytes);
}

/* Flipping any single byte of a small range is noticed: no bit is unprotected. */
static void test_every_byte_of_a_block(void **state)
{
    struct stack s = whole();
    struct erofs_inode inode;
    assert_int_equal(stack_open(&s, 1 << 20), 0);
    assert_int_equal(find(&s, "big", &inode), 0);
    u64 block = inode.data / IMAGE_BLOCK;
    stack_close(&s);
    u8 *bytes = malloc(g_image_size), page[IMAGE_BLOCK], zero[IMAGE_BLOCK] = {0};
    memcpy(bytes, g_image, g_image_size);
    s = (struct stack){.bytes = bytes, .size = g_image_size};
    assert_int_equal(stack_open(&s, 1 << 20), 0);
    for (u32 i = 0; i < IMAGE_BLOCK; i++) {
        bytes[block * IMAGE_BLOCK + i] ^= 1;
        assert_int_equal(verity_read(&s.verity, block, page), -EIO);
        assert_memory_equal(page, zero, sizeof(page));
        bytes[block * IMAGE_BLOCK + i] ^= 1;
    }
    assert_int_equal(verity_read(&s.verity, block, page), 0);
    assert_int_equal(verity_read(&s.verity, g_manifest.data_blocks, page), -EIO);
    assert_int_equal(verity_read(&s.verity, UINT64_MAX, page), -EIO);
    stack_close(&s);
    free(bytes);
}

static void test_truncated(void **state)
{
    for (u64 size = 0; size < g_image_size; size += 1 + g_image_size / 50) {
        struct stack s = {.bytes = g_image, .size = size};
        assert_int_equal(stack_open(&s, 1 << 20), -EIO);
        assert_non_null(strstr(g_last_line, "truncated"));
    }
    /* The host claims the full size and then fails to deliver. */
    struct stack s = whole();
    assert_int_equal(stack_open(&s, 1 << 20), 0);
    s.size = g_image_size / 2;
    assert_true(check_files(&s) > 0);
    stack_close(&s);
}

static void test_swapped(void **state)
{
    u8 *bytes = malloc(g_image_size);
    /* Two blocks of data change places. */
    memcpy(bytes, g_image, g_image_size);
    memcpy(bytes + 20 * IMAGE_BLOCK, g_image + 21 * IMAGE_BLOCK, IMAGE_BLOCK);
    memcpy(bytes + 21 * IMAGE_BLOCK, g_image + 20 * IMAGE_BLOCK, IMAGE_BLOCK);
    struct stack s = {.bytes = bytes, .size = g_image_size};
    u8 page[IMAGE_BLOCK];
    if (memcmp(g_image + 20 * IMAGE_BLOCK, g_image + 21 * IMAGE_BLOCK, IMAGE_BLOCK) != 0) {
        assert_int_equal(stack_open(&s, 1 << 20), 0);
        assert_int_equal(verity_read(&s.verity, 20, page), -EIO);
        assert_int_equal(verity_read(&s.verity, 21, page), -EIO);
        stack_close(&s);
    }
    /* Another manifest's root hash: refused at the start. */
    struct manifest_image saved = g_manifest;
    g_manifest.root_hash[0] ^= 1;
    s = whole();
    assert_int_equal(stack_open(&s, 1 << 20), -EIO);
    g_manifest = saved;
    g_manifest.salt[3] ^= 1;
    assert_int_equal(stack_open(&s, 1 << 20), -EIO);
    g_manifest = saved;
    free(bytes);
}

static void test_impossible_manifests(void **state)
{
    struct manifest_image saved = g_manifest;
    struct stack s = whole();
    g_manifest.data_blocks = 0;
    assert_int_equal(stack_open(&s, 0), -EINVAL);
    g_manifest = saved;
    g_manifest.data_blocks = UINT64_MAX;
    assert_int_equal(stack_open(&s, 0), -EINVAL);
    g_manifest = saved;
    g_manifest.salt_size = 33;
    assert_int_equal(stack_open(&s, 0), -EINVAL);
    g_manifest = saved;
    g_manifest.hash_levels++;
    assert_int_equal(stack_open(&s, 0), -EINVAL);
    g_manifest = saved;
    g_manifest.image_size += IMAGE_BLOCK;
    assert_int_equal(stack_open(&s, 0), -EINVAL);
    g_manifest = saved;
}

/* Malformed contents with a tree that fits them: the packer, not the host, is wrong. No wrong
 * access, no endless loop. */
static bool count_entry(void *ctx, const char *name, size_t len, u64 nid, u8 type, u64 next)
{
    unsigned *count = ctx;
    return ++*count < 100000;
}

static void test_malformed_filesystem(void **state)
{
    u8 *bytes = malloc(g_image_size);
    srand(99);
    u64 metadata = 64 * IMAGE_BLOCK;
    for (int round = 0; round < 3000; round++) {
        memcpy(bytes, g_image, metadata);
        memcpy(bytes + metadata, g_image + metadata, 0);
        struct stack s = {.bytes = bytes, .size = metadata};
        for (int i = 0; i < 8; i++) {
            u64 at = round % 2 ? 1024 + (u64)rand() % 4096 : (u64)rand() % metadata;
            bytes[at] = (u8)rand();
        }
        if (erofs_open(&s.fs, metadata, read_host, &s) < 0)
            continue;
        struct erofs_inode inode;
        for (u64 nid = s.fs.root_nid; nid < s.fs.root_nid + 64; nid++) {
            char buf[600];
            u64 child;
            u8 type;
            unsigned count = 0;
            if (erofs_inode_read(&s.fs, nid, &inode) < 0)
                continue;
            (void)erofs_iterate(&s.fs, &inode, 0, count_entry, &count);
            (void)erofs_lookup(&s.fs, &inode, "tail", 4, &child, &type);
            (void)erofs_pread(&s.fs, &inode, inode.size / 2, buf, sizeof(buf));
            (void)erofs_pread(&s.fs, &inode, inode.size - 1, buf, sizeof(buf));
            (void)erofs_listxattr(&s.fs, &inode, buf, sizeof(buf));
            (void)erofs_getxattr(&s.fs, &inode, "user.colour", buf, sizeof(buf));
        }
    }
    free(bytes);
}

/* ---- the cache ---- */

static unsigned g_fills;
static int fill_counted(void *ctx, u64 block, void *page)
{
    g_fills++;
    if (block == 1000)
        return -EIO;
    memset(page, (int)block, IMAGE_BLOCK);
    return 0;
}

static void test_cache_is_bounded(void **state)
{
    struct blockcache *cache = blockcache_create(64 * IMAGE_BLOCK, 0, fill_counted, NULL);
    struct blockcache_stats stats;
    u8 byte = 7;
    for (u64 block = 0; block < 500; block++) {
        assert_int_equal(blockcache_read(cache, block, 4095, &byte, 1), 0);
        assert_int_equal(byte, (u8)block);
    }
    blockcache_stats(cache, &stats);
    assert_true(stats.blocks <= 64);
    assert_int_equal(stats.misses, 500);
    g_fills = 0;
    assert_int_equal(blockcache_read(cache, 499, 0, &byte, 1), 0);
    assert_int_equal(g_fills, 0);
    byte = 9;
    assert_int_equal(blockcache_read(cache, 1000, 0, &byte, 1), -EIO);
    assert_int_equal(byte, 9);
    assert_int_equal(blockcache_read(cache, 1, 4096, &byte, 1), -EINVAL);
    assert_int_equal(blockcache_read(cache, 1, 1, &byte, 4096), -EINVAL);
    u64 freed = blockcache_shrink(cache, 1000);
    assert_true(freed > 0);
    blockcache_stats(cache, &stats);
    assert_int_equal(stats.blocks, 0);
    blockcache_destroy(cache);
}

/* What programs read page by page goes to their memory, and is kept when it is asked for again. */
static void test_a_whole_block_is_kept_from_the_second_time_on(void **state)
{
    struct blockcache *cache = blockcache_create(64 * IMAGE_BLOCK, 100, fill_counted, NULL);
    struct blockcache_stats stats;
    static u8 page[IMAGE_BLOCK];
    for (unsigned time = 0; time < 3; time++) {
        g_fills = 0;
        memset(page, 0, sizeof(page));
        assert_int_equal(blockcache_read(cache, 7, 0, page, IMAGE_BLOCK), 0);
        assert_int_equal(page[IMAGE_BLOCK - 1], 7);
        assert_int_equal(g_fills, time < 2);
        blockcache_stats(cache, &stats);
        assert_int_equal(stats.blocks, time > 0);
    }
    g_fills = 0;
    assert_int_equal(blockcache_read(cache, 8, 1, page, 1), 0);
    assert_int_equal(blockcache_read(cache, 8, 0, page, IMAGE_BLOCK), 0);
    assert_int_equal(g_fills, 1);
    assert_int_equal(blockcache_read(cache, 1000, 0, page, IMAGE_BLOCK), -EIO);
    blockcache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_big_directory),
        cmocka_unit_test(test_xattrs),
        cmocka_unit_test(test_flipped_bytes),
        cmocka_unit_test(test_every_byte_of_a_block),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_swapped),
        cmocka_unit_test(test_impossible_manifests),
        cmocka_unit_test(test_malformed_filesystem),
        cmocka_unit_test(test_cache_is_bounded),
        cmocka_unit_test(test_a_whole_block_is_kept_from_the_second_time_on),
    };
    return cmocka_run_group_tests_name("sealed-image", tests, set_up, tear_down);
}
