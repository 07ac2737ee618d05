/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The site table of a packed image. Files are found and read through the LibOS's own EROFS reader,
 * in the image rather than in the tree it was made from, so the table describes exactly the bytes
 * that are sealed.
 */
#include "enclave/bundle/sites.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "enclave/bundle/internal.h"
#include "enclave/bundle/sealed_reader.h"
#include "enclave/bundle/trusted_shim.h"

struct nid_list {
    uint64_t *nids;
    size_t count, room;
};

struct tree_walk {
    struct nid_list files, directories;
};

static void push(struct nid_list *list, uint64_t nid)
{
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 1024;
        list->nids = xreallocarray(list->nids, list->room, sizeof(*list->nids));
    }
    list->nids[list->count++] = nid;
}

static bool note_entry(void *ctx, uint64_t nid, enum sealed_type type)
{
    struct tree_walk *walk = ctx;
    if (type == SEALED_DIRECTORY)
        push(&walk->directories, nid);
    else if (type == SEALED_REGULAR)
        push(&walk->files, nid);
    return true;
}

static int compare_nids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int collect(struct sealed_reader *reader, struct nid_list *files, struct error *err)
{
    struct tree_walk walk = {0};
    push(&walk.directories, sealed_root(reader));
    int ret = 0;
    for (size_t i = 0; ret == 0 && i < walk.directories.count; i++)
        ret = sealed_list(reader, walk.directories.nids[i], note_entry, &walk);
    free(walk.directories.nids);
    *files = walk.files;
    if (ret < 0)
        return error_errno(err, -ret, "read the packed image");
    if (files->count)
        qsort(files->nids, files->count, sizeof(*files->nids), compare_nids);
    return 0;
}

static int scan_file(struct sealed_reader *reader, uint64_t nid, struct sites_list *found,
                     struct sites_stats *stats, struct error *err)
{
    static const char magic[4] = {0x7f, 'E', 'L', 'F'};
    char head[4];
    memset(found, 0, sizeof(*found));
    int64_t size = sealed_size(reader, nid);
    if (size < 64 || size > (int64_t)(2u << 30))
        return 0;
    if (sealed_read(reader, nid, 0, head, sizeof(head)) != 0 || memcmp(head, magic, 4) != 0)
        return 0;
    cleanup_free uint8_t *file = xmalloc((size_t)size);
    int ret = sealed_read(reader, nid, 0, file, (size_t)size);
    if (ret < 0)
        return error_errno(err, -ret, "read the packed image");
    if (sites_scan(file, (size_t)size, found) < 0)
        return error_set(err, "the disassembler (capstone) cannot be used");
    stats->elf_files++;
    stats->syscalls += found->syscalls;
    return 0;
}

static int scan_files(struct sealed_reader *reader, const struct nid_list *files,
                      struct buffer *heads, struct buffer *sites, struct sites_stats *stats,
                      struct error *err)
{
    for (size_t i = 0; i < files->count; i++) {
        if (i && files->nids[i] == files->nids[i - 1])
            continue; /* a hard link */
        stats->files++;
        struct sites_list found;
        int ret = scan_file(reader, files->nids[i], &found, stats, err);
        if (ret < 0)
            return ret;
        if (found.count) {
            struct sites_file head = {.nid = files->nids[i],
                                      .first_site = (uint32_t)stats->sites,
                                      .site_count = (uint32_t)found.count};
            buffer_append(heads, &head, sizeof(head));
            buffer_append(sites, found.sites, found.count * sizeof(*found.sites));
            stats->sites += found.count;
        }
        sites_list_release(&found);
    }
    return 0;
}

static void pass_line(const char *line)
{
    log_warning("%s", line);
}

int sites_build(int image_fd, uint64_t data_size, struct buffer *table, struct sites_stats *stats,
                struct error *err)
{
    struct sealed_reader *reader = NULL;
    trusted_log_divert(pass_line);
    int ret = sealed_open(&reader, image_fd, data_size, err);
    if (ret < 0)
        return ret;
    struct nid_list files = {0};
    cleanup_buffer struct buffer heads = BUFFER_INIT, sites = BUFFER_INIT;
    ret = collect(reader, &files, err);
    if (ret == 0)
        ret = scan_files(reader, &files, &heads, &sites, stats, err);
    free(files.nids);
    sealed_close(reader);
    if (ret < 0)
        return ret;

    struct sites_header header = {
        .magic = SITES_MAGIC,
        .version = 1,
        .file_count = (uint32_t)(heads.size / sizeof(struct sites_file)),
        .site_count = stats->sites,
        .size = sizeof(header) + heads.size + sites.size,
    };
    buffer_append(table, &header, sizeof(header));
    buffer_append(table, buffer_text(&heads), heads.size);
    buffer_append(table, buffer_text(&sites), sites.size);
    return 0;
}
