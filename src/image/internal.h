/* SPDX-License-Identifier: Apache-2.0 */
/* Private to src/image. */
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <openssl/evp.h>
#include <stddef.h>

#include "base/buffer.h"
#include "image/image.h"

#define DIGEST_SIZE 32u

/* ---- store.c ---- */

/* Bytes of a file. */
struct blob {
    int fd; /* owned */
    uint64_t offset, size;
};
void blob_release(struct blob *blob);
#define cleanup_blob __attribute__((cleanup(blob_release)))

struct store; /* a directory, or an archive whose members are known by name */
int store_open(const char *path, struct store **out, struct error *err);
void store_close(struct store *store);
bool store_has(const struct store *store, const char *name);
int store_find(const struct store *store, const char *name, struct blob *out, struct error *err);
/* A whole JSON file of at most 4 MiB. With `digest` ("sha256:...") its bytes must have it. NULL
 * with err. */
json_t *store_json(const struct store *store, const char *name, const char *digest,
                   struct error *err);

/* "sha256:" and 64 digits; 0 or negative with err. */
int digest_parse(const char *text, uint8_t out[DIGEST_SIZE], struct error *err);

/* ---- stream.c ---- */

struct stream {
    struct blob blob; /* borrowed descriptor */
    uint64_t at;
    struct archive *raw, *tar; /* bytes after decompression; their entries */
    EVP_MD_CTX *hash;
    uint64_t *room; /* bytes that may still be decompressed */
    bool too_much;
    char buffer[65536];
};
struct stream *stream_open(const struct blob *blob, uint64_t *room, struct error *err);
/* 1: an entry; 0: the end; negative with err. The entry is borrowed until the next call. */
int stream_next(struct stream *stream, struct archive_entry **entry, struct error *err);
/* Read what is left, and compare the hash of all decompressed bytes. */
int stream_check(struct stream *stream, const uint8_t digest[DIGEST_SIZE], struct error *err);
void stream_close(struct stream *stream);
int stream_error(const struct stream *stream, struct error *err);

/* ---- tree.c ---- */

struct tree {
    int root;
    void *times; /* of directories, by inode (tsearch) */
    uint64_t bytes_left;
};
int tree_begin(struct tree *tree, int root, uint64_t bytes_max, struct error *err);
/* Make the object of an entry at `path` (relative, without "..", "" is the root). */
int tree_add(struct tree *tree, struct stream *stream, struct archive_entry *entry,
             const char *path, struct error *err);
/* Remove what is at path, or (contents) in it; what is not there is fine. */
int tree_remove(struct tree *tree, const char *path, bool contents, struct error *err);
/* Give directories their times; release. */
int tree_finish(struct tree *tree, struct error *err);
void tree_release(struct tree *tree);

/* ---- layer.c ---- */

int layer_apply(struct tree *tree, const struct blob *blob, const uint8_t digest[DIGEST_SIZE],
                struct image_totals *left, struct error *err);
