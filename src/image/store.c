/* SPDX-License-Identifier: Apache-2.0 */
/* Where an image's blobs are: files of a directory, or members of a tar file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "image/internal.h"

enum { MEMBERS_MAX = 65536, JSON_MAX = 4 << 20, LINKS_MAX = 8, BLOCK = 65536 };

struct member {
    char *name, *link; /* link: where it leads, or NULL */
    uint64_t offset, size;
};

struct store {
    char *path;
    int fd; /* the directory or the tar file */
    bool archive;
    struct member *members;
    size_t count;
};

void blob_release(struct blob *blob)
{
    close_and_reset(&blob->fd);
}

void store_close(struct store *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < store->count; i++) {
        free(store->members[i].name);
        free(store->members[i].link);
    }
    free(store->members);
    close_and_reset(&store->fd);
    free(store->path);
    free(store);
}

/* ---- archives ---- */

static void free_archive(struct archive **a)
{
    archive_read_free(*a);
}
#define cleanup_archive __attribute__((cleanup(free_archive)))

/* Docker's archives of old had layers that link to one another. */
static void add_member(struct store *store, struct archive *a, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);
    const char *hard = archive_entry_hardlink(entry), *soft = archive_entry_symlink(entry);

    store->members = xreallocarray(store->members, store->count + 1, sizeof(*store->members));
    struct member *m = &store->members[store->count++];
    *m = (struct member){.name = path_clean(name),
                         .offset = (uint64_t)archive_filter_bytes(a, 0),
                         .size = (uint64_t)archive_entry_size(entry)};
    if (hard) {
        m->link = path_clean(hard);
    } else if (soft) {
        const char *slash = strrchr(name, '/');
        cleanup_free char *joined = xasprintf("%.*s/%s", slash ? (int)(slash - name) : 0, name,
                                              soft);
        m->link = path_clean(joined + (slash ? 0 : 1));
    }
}

static int not_an_image(const struct store *store, struct archive *a, struct error *err)
{
    const char *reason = a ? archive_error_string(a) : NULL;

    return error_set(err, "%s is not an image: neither an OCI layout nor a tar file of one: %s",
                     store->path, reason ? reason : "it is empty");
}

static int index_members(struct store *store, struct error *err)
{
    cleanup_archive struct archive *a = archive_read_new();
    struct archive_entry *entry = NULL;
    int ret = ARCHIVE_OK;

    if (!a || archive_read_support_format_tar(a) != ARCHIVE_OK ||
        archive_read_open_fd(a, store->fd, BLOCK) != ARCHIVE_OK)
        return not_an_image(store, a, err);
    while ((ret = archive_read_next_header(a, &entry)) == ARCHIVE_OK || ret == ARCHIVE_WARN) {
        if (store->count == MEMBERS_MAX)
            return error_set(err, "%s: more than %d files", store->path, MEMBERS_MAX);
        mode_t type = archive_entry_filetype(entry);
        bool is_link = archive_entry_hardlink(entry) || type == AE_IFLNK;
        if (archive_entry_pathname(entry) && (type == AE_IFREG || is_link))
            add_member(store, a, entry);
    }
    return ret == ARCHIVE_EOF ? 0 : not_an_image(store, a, err);
}

/* A whole archive that is compressed is laid down first: its members are read in any order. */
static int decompress(struct store *store, struct error *err)
{
    static const unsigned char gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    const char *dir = getenv("TMPDIR");
    unsigned char magic[4];
    struct archive_entry *entry;

    if (pread(store->fd, magic, sizeof(magic), 0) != (ssize_t)sizeof(magic) ||
        (memcmp(magic, gzip, sizeof(gzip)) != 0 && memcmp(magic, zstd, sizeof(zstd)) != 0))
        return 0;
    cleanup_close int plain = open(dir && *dir ? dir : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC,
                                   0600);
    if (plain < 0)
        return error_errno(err, errno, "decompress %s (TMPDIR says where)", store->path);
    cleanup_archive struct archive *a = archive_read_new();
    if (!a || archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
        archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
        archive_read_support_format_raw(a) != ARCHIVE_OK ||
        archive_read_open_fd(a, store->fd, BLOCK) != ARCHIVE_OK ||
        archive_read_next_header(a, &entry) != ARCHIVE_OK ||
        archive_read_data_into_fd(a, plain) != ARCHIVE_OK)
        return error_set(err, "decompress %s: %s", store->path,
                         a ? archive_error_string(a) : "no memory");
    close(store->fd);
    store->fd = take_fd(plain);
    return lseek(store->fd, 0, SEEK_SET) < 0 ? error_errno(err, errno, "%s", store->path) : 0;
}

static const struct member *find_member(const struct store *store, const char *name)
{
    cleanup_free char *clean = path_clean(name);

    for (int links = 0; links <= LINKS_MAX; links++) {
        const struct member *found = NULL;
        for (size_t i = 0; i < store->count && !found; i++)
            if (strcmp(store->members[i].name, clean) == 0)
                found = &store->members[i];
        if (!found || !found->link)
            return found;
        free(clean);
        clean = xstrdup(found->link);
    }
    return NULL;
}

/* ---- both ---- */

int store_open(const char *path, struct store **out, struct error *err)
{
    struct store *store = xcalloc(1, sizeof(*store));
    struct stat st;
    int ret = 0;

    store->path = xstrdup(path);
    store->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (store->fd < 0 || fstat(store->fd, &st) < 0) {
        ret = error_errno(err, errno, "image %s", path);
    } else if (S_ISREG(st.st_mode)) {
        store->archive = true;
        ret = decompress(store, err);
        if (ret == 0)
            ret = index_members(store, err);
    } else if (!S_ISDIR(st.st_mode)) {
        ret = error_set(err, "image %s is neither a file nor a directory", path);
    }
    if (ret < 0) {
        store_close(store);
        return ret;
    }
    *out = store;
    return 0;
}

bool store_has(const struct store *store, const char *name)
{
    if (store->archive)
        return find_member(store, name) != NULL;
    cleanup_close int fd = path_open_in_root(store->fd, name, O_PATH, 0, NULL);
    return fd >= 0;
}

int store_find(const struct store *store, const char *name, struct blob *out, struct error *err)
{
    struct stat st;

    if (store->archive) {
        const struct member *m = find_member(store, name);
        if (!m)
            return error_code(err, ENOENT, "%s has no file %s", store->path, name);
        *out = (struct blob){fcntl(store->fd, F_DUPFD_CLOEXEC, 3), m->offset, m->size};
        return out->fd < 0 ? error_errno(err, errno, "%s", store->path) : 0;
    }
    cleanup_close int fd = path_open_in_root(store->fd, name, O_RDONLY | O_NONBLOCK, 0, NULL);
    if (fd < 0)
        return error_errno(err, -fd, "%s/%s", store->path, name);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, "%s/%s is not a file", store->path, name);
    *out = (struct blob){take_fd(fd), 0, (uint64_t)st.st_size};
    return 0;
}

int digest_parse(const char *text, uint8_t out[DIGEST_SIZE], struct error *err)
{
    static const char name[] = "sha256:";

    if (strncmp(text, name, sizeof(name) - 1) != 0)
        return error_set(err, "the digest \"%.80s\" is not a SHA-256", text);
    text += sizeof(name) - 1;
    if (strlen(text) != 2 * DIGEST_SIZE || strspn(text, "0123456789abcdef") != 2 * DIGEST_SIZE)
        return error_set(err, "the digest \"sha256:%.80s\" has not 64 hexadecimal digits", text);
    for (unsigned i = 0; i < DIGEST_SIZE; i++) {
        unsigned byte = 0;
        (void)sscanf(text + 2ul * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
    return 0;
}

static int check_digest(const struct buffer *text, const char *digest, struct error *err)
{
    uint8_t expected[DIGEST_SIZE], found[DIGEST_SIZE];

    int ret = digest_parse(digest, expected, err);
    if (ret < 0)
        return ret;
    if (EVP_Digest(buffer_text(text), text->size, found, NULL, EVP_sha256(), NULL) != 1)
        return error_set(err, "SHA-256 failed");
    if (memcmp(expected, found, sizeof(found)) != 0)
        return error_set(err, "its contents have not the digest %s; the image is damaged", digest);
    return 0;
}

json_t *store_json(const struct store *store, const char *name, const char *digest,
                   struct error *err)
{
    cleanup_blob struct blob blob = {.fd = -1};
    cleanup_buffer struct buffer text = BUFFER_INIT;

    if (store_find(store, name, &blob, err) < 0)
        return NULL;
    if (blob.size > JSON_MAX) {
        error_set(err, "%s: %s has %llu bytes, more than a description has", store->path, name,
                  (unsigned long long)blob.size);
        return NULL;
    }
    char *to = buffer_reserve(&text, blob.size);
    ssize_t n = pread(blob.fd, to, blob.size, (off_t)blob.offset);
    if (n < 0 || (uint64_t)n != blob.size) {
        error_set(err, "%s: %s is cut off", store->path, name);
        return NULL;
    }
    text.size = (size_t)n;
    json_t *json = NULL;
    if (!digest || check_digest(&text, digest, err) == 0)
        json = json_parse(buffer_text(&text), text.size, name, err);
    if (!json)
        error_wrap(err, "%s", store->path);
    return json;
}
