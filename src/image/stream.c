/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer: one libarchive reader takes the compression away, a second one reads what comes out as
 * tar; the bytes between them are hashed and counted.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "image/internal.h"

static la_ssize_t read_blob(struct archive *a, void *ctx, const void **data)
{
    struct stream *s = ctx;
    uint64_t left = s->blob.size - s->at;
    ssize_t n = pread(s->blob.fd, s->buffer, left < sizeof(s->buffer) ? left : sizeof(s->buffer),
                      (off_t)(s->blob.offset + s->at));

    if (n < 0 || (n == 0 && left > 0)) {
        archive_set_error(a, n < 0 ? errno : EIO, n < 0 ? "cannot be read" : "cut off");
        return ARCHIVE_FATAL;
    }
    s->at += (uint64_t)n;
    *data = s->buffer;
    return n;
}

static la_ssize_t read_raw(struct archive *a, void *ctx, const void **data)
{
    struct stream *s = ctx;
    size_t size = 0;
    la_int64_t offset;
    int ret = archive_read_data_block(s->raw, data, &size, &offset);

    if (ret == ARCHIVE_EOF)
        return 0;
    if (ret != ARCHIVE_OK && ret != ARCHIVE_WARN) {
        archive_set_error(a, archive_errno(s->raw), "%s", archive_error_string(s->raw));
        return ARCHIVE_FATAL;
    }
    if (size > *s->room) {
        s->too_much = true;
        archive_set_error(a, EFBIG, "more data than the limit allows");
        return ARCHIVE_FATAL;
    }
    *s->room -= size;
    if (EVP_DigestUpdate(s->hash, *data, size) != 1) {
        archive_set_error(a, ENOMEM, "SHA-256 failed");
        return ARCHIVE_FATAL;
    }
    return (la_ssize_t)size;
}

int stream_error(const struct stream *s, struct error *err)
{
    const char *text = archive_error_string(s->tar);

    if (s->too_much)
        return error_code(err, EFBIG, "the image unpacks to more than the limit (--max-size)");
    return error_set(err, "not a tar file, plain or compressed by gzip or zstd: %s",
                     text ? text : "unknown format");
}

static int open_raw(struct stream *s)
{
    struct archive_entry *entry;
    int ret = 0;

    if (archive_read_support_filter_gzip(s->raw) != ARCHIVE_OK ||
        archive_read_support_filter_zstd(s->raw) != ARCHIVE_OK ||
        archive_read_support_format_raw(s->raw) != ARCHIVE_OK ||
        archive_read_support_format_empty(s->raw) != ARCHIVE_OK ||
        archive_read_open(s->raw, s, NULL, read_blob, NULL) != ARCHIVE_OK)
        return -1;
    ret = archive_read_next_header(s->raw, &entry);
    return ret == ARCHIVE_OK || ret == ARCHIVE_EOF ? 0 : -1;
}

struct stream *stream_open(const struct blob *blob, uint64_t *room, struct error *err)
{
    struct stream *s = xcalloc(1, sizeof(*s));

    s->blob = *blob;
    s->room = room;
    s->raw = archive_read_new();
    s->tar = archive_read_new();
    s->hash = EVP_MD_CTX_new();
    if (!s->raw || !s->tar || !s->hash || EVP_DigestInit_ex2(s->hash, EVP_sha256(), NULL) != 1) {
        error_errno(err, ENOMEM, "read a layer");
    } else if (open_raw(s) < 0) {
        error_set(err, "cannot be decompressed: %s", archive_error_string(s->raw));
    } else if (archive_read_support_format_tar(s->tar) != ARCHIVE_OK ||
               archive_read_support_format_empty(s->tar) != ARCHIVE_OK ||
               archive_read_open(s->tar, s, NULL, read_raw, NULL) != ARCHIVE_OK) {
        stream_error(s, err);
    } else {
        return s;
    }
    stream_close(s);
    return NULL;
}

int stream_next(struct stream *s, struct archive_entry **entry, struct error *err)
{
    int ret = archive_read_next_header(s->tar, entry);

    if (ret == ARCHIVE_EOF)
        return 0;
    if (ret == ARCHIVE_WARN)
        log_warning("layer: %s", archive_error_string(s->tar));
    else if (ret != ARCHIVE_OK)
        return stream_error(s, err);
    if (!archive_entry_pathname(*entry))
        return error_set(err, "an entry without a name that can be read");
    return 1;
}

int stream_check(struct stream *s, const uint8_t digest[DIGEST_SIZE], struct error *err)
{
    uint8_t found[DIGEST_SIZE];
    const void *data;
    la_ssize_t n;

    do { /* what the tar reader had no use for */
        n = read_raw(s->tar, s, &data);
    } while (n > 0);
    if (n < 0)
        return stream_error(s, err);
    if (EVP_DigestFinal_ex(s->hash, found, NULL) != 1)
        return error_set(err, "SHA-256 failed");
    if (memcmp(found, digest, sizeof(found)) != 0)
        return error_set(err, "its contents are not those that the configuration names "
                              "(rootfs.diff_ids); the image is damaged");
    return 0;
}

void stream_close(struct stream *s)
{
    if (!s)
        return;
    archive_read_free(s->tar);
    archive_read_free(s->raw);
    EVP_MD_CTX_free(s->hash);
    free(s);
}
