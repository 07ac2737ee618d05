/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer onto the tree, as OCI image-spec's layer.md has it. The layer is read twice: first its
 * hash is checked, its entries are counted and its whiteouts applied, which so reach only what
 * lower layers brought; then its entries are made.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "image/internal.h"

#define WHITEOUT ".wh."
#define OPAQUE   ".wh..wh..opq"
#define INTERNAL ".wh..wh."

enum { DEPTH_MAX = 256 };

/* The name of an entry as a relative path; NULL where a component leads upwards. */
static char *clean_name(const char *name)
{
    cleanup_buffer struct buffer out = BUFFER_INIT;
    unsigned depth = 0;

    while (*name) {
        size_t size = strcspn(name, "/");
        if (size == 2 && memcmp(name, "..", 2) == 0)
            return NULL;
        if (size > 0 && !(size == 1 && *name == '.')) {
            if (out.size)
                buffer_append_char(&out, '/');
            buffer_append(&out, name, size);
            depth++;
        }
        name += size;
        name += strspn(name, "/");
    }
    return depth > DEPTH_MAX ? NULL : buffer_take(&out);
}

/* aufs' own files are in a folder of this prefix. */
static bool is_internal(const char *path)
{
    return strncmp(path, INTERNAL, sizeof(INTERNAL) - 1) == 0 || strstr(path, "/" INTERNAL);
}

static int apply_whiteout(struct tree *tree, const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    cleanup_free char *dir = xstrndup(path, slash ? (size_t)(slash - path) : 0);

    if (strcmp(base, OPAQUE) == 0)
        return tree_remove(tree, dir, true, err);
    if (strncmp(base, WHITEOUT, sizeof(WHITEOUT) - 1) != 0 || is_internal(path))
        return 0;
    base += sizeof(WHITEOUT) - 1;
    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        return error_set(err, "a whiteout of nothing: %s", path);
    cleanup_free char *target = xasprintf("%s%s%s", dir, *dir ? "/" : "", base);
    return tree_remove(tree, target, false, err);
}

static bool is_whiteout(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strncmp(slash ? slash + 1 : path, WHITEOUT, sizeof(WHITEOUT) - 1) == 0 ||
           is_internal(path);
}

/* Call fn for each entry with its cleaned name. */
static int each_entry(struct stream *stream, struct tree *tree,
                      int (*fn)(struct tree *tree, struct stream *stream,
                                struct archive_entry *entry, const char *path, void *ctx,
                                struct error *err),
                      void *ctx, struct error *err)
{
    struct archive_entry *entry;
    int ret;

    while ((ret = stream_next(stream, &entry, err)) == 1) {
        cleanup_free char *path = clean_name(archive_entry_pathname(entry));
        if (!path)
            return error_set(err, "refused: the name \"%.200s\" leads upwards, or too deep",
                             archive_entry_pathname(entry));
        ret = fn(tree, stream, entry, path, ctx, err);
        if (ret < 0)
            return error_wrap(err, "%.200s", path);
    }
    return ret;
}

static int first_pass(struct tree *tree, struct stream *stream, struct archive_entry *entry,
                      const char *path, void *ctx, struct error *err)
{
    struct image_totals *left = ctx;

    (void)stream;
    (void)entry;
    if (left->entries == 0)
        return error_code(err, EFBIG, "the image has more files than the limit (--max-files)");
    left->entries--;
    return apply_whiteout(tree, path, err);
}

static int second_pass(struct tree *tree, struct stream *stream, struct archive_entry *entry,
                       const char *path, void *ctx, struct error *err)
{
    (void)ctx;
    return is_whiteout(path) ? 0 : tree_add(tree, stream, entry, path, err);
}

int layer_apply(struct tree *tree, const struct blob *blob, const uint8_t digest[DIGEST_SIZE],
                struct image_totals *left, struct error *err)
{
    struct stream *stream = stream_open(blob, &left->bytes, err);
    if (!stream)
        return -1;
    int ret = each_entry(stream, tree, first_pass, left, err);
    if (ret == 0)
        ret = stream_check(stream, digest, err);
    stream_close(stream);
    if (ret < 0)
        return ret;

    uint64_t again = UINT64_MAX; /* the same bytes were counted above */
    stream = stream_open(blob, &again, err);
    if (!stream)
        return -1;
    ret = each_entry(stream, tree, second_pass, NULL, err);
    stream_close(stream);
    return ret;
}
