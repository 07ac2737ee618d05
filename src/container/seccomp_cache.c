/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled seccomp filters, kept below the state root: compiling Docker's profile takes longer than
 * the rest of a start.
 *
 * A file is a header, the canonical form of the profile, and the program. The name is a hash of the
 * canonical form, but the form itself decides: a collision or a damaged file is a miss. The
 * directory must belong to us and be private.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <seccomp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "container/private.h"

struct cache_header {
    char magic[8]; /* names the version of this layout */
    uint32_t flags;
    uint32_t notify;
    uint64_t canonical_size;
    uint64_t code_size;
    uint64_t code_sum; /* of the program: a file cut short or torn is not loaded */
};

static const char cache_magic[8] = "RUNEBPF3";

static uint64_t hash_bytes(const void *data, size_t size)
{
    /* FNV-1a, eight bytes at a time; nothing depends on its strength. */
    const unsigned char *p = data;
    uint64_t hash = 0xcbf29ce484222325u ^ size;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        hash = (hash ^ word) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
    for (; size > 0; size--)
        hash = (hash ^ *p++) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

/* Type, length and bytes of every value in order: equal forms mean equal profiles. */
static void canonical(const json_t *value, struct buffer *out)
{
    uint32_t type = (uint32_t)json_typeof(value);
    const char *key;
    json_t *member;
    size_t index;
    buffer_append(out, &type, sizeof(type));
    switch (json_typeof(value)) {
    case JSON_STRING: {
        uint32_t size = (uint32_t)json_string_length(value);
        buffer_append(out, &size, sizeof(size));
        buffer_append(out, json_string_value(value), size);
        break;
    }
    case JSON_INTEGER: {
        int64_t number = json_integer_value(value);
        buffer_append(out, &number, sizeof(number));
        break;
    }
    case JSON_REAL: {
        double number = json_real_value(value);
        buffer_append(out, &number, sizeof(number));
        break;
    }
    case JSON_ARRAY: {
        uint32_t count = (uint32_t)json_array_size(value);
        buffer_append(out, &count, sizeof(count));
        json_array_foreach (value, index, member)
            canonical(member, out);
        break;
    }
    case JSON_OBJECT: {
        uint32_t count = (uint32_t)json_object_size(value);
        buffer_append(out, &count, sizeof(count));
        json_object_foreach ((json_t *)(uintptr_t)value, key, member) {
            uint32_t size = (uint32_t)strlen(key);
            buffer_append(out, &size, sizeof(size));
            buffer_append(out, key, size);
            canonical(member, out);
        }
        break;
    }
    default:
        break;
    }
}

static int open_cache(const char *root)
{
    cleanup_free char *path = path_join(root, ".cache/seccomp");
    cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0) {
        if (errno != ENOENT || path_mkdir_p(path, 0700, NULL) < 0)
            return -1;
        dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    struct stat st;
    if (dir < 0 || fstat(dir, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022))
        return -1;
    return take_fd(dir);
}

static bool load_cached(int dir, const char *name, const struct buffer *form,
                        struct seccomp_program *out)
{
    cleanup_close int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    struct stat st;
    struct cache_header header;
    enum { CACHE_FILE_MAX = 4 << 20 };
    if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || st.st_size < (off_t)sizeof(header) ||
        st.st_size > CACHE_FILE_MAX)
        return false;
    size_t size = (size_t)st.st_size;
    cleanup_free char *data = xmalloc(size);
    if (read_exact(fd, data, size) < 0)
        return false;
    memcpy(&header, data, sizeof(header));
    size_t room = size - sizeof(header);
    if (memcmp(header.magic, cache_magic, sizeof(cache_magic)) != 0 ||
        header.canonical_size != form->size || form->size > room ||
        header.code_size != room - form->size ||
        header.code_size % sizeof(struct sock_filter) != 0 ||
        memcmp(data + sizeof(header), form->data, form->size) != 0)
        return false;
    const char *code = data + sizeof(header) + form->size;
    if (hash_bytes(code, header.code_size) != header.code_sum)
        return false;
    out->present = true;
    out->flags = header.flags;
    out->notify = header.notify;
    buffer_append(&out->code, code, header.code_size);
    return true;
}

/* Old entries must not pile up: past this number the directory is emptied when a new one comes. */
enum { CACHE_ENTRIES_MAX = 64 };

static void trim_cache(int dir)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *entries = copy >= 0 ? fdopendir(copy) : NULL;
    size_t count = 0;
    for (int pass = 0; entries && pass < 2; pass++) {
        rewinddir(entries);
        for (struct dirent *entry; (entry = readdir(entries));) {
            if (entry->d_name[0] == '.')
                continue;
            count++;
            if (pass == 1)
                unlinkat(dir, entry->d_name, 0);
        }
        if (count < CACHE_ENTRIES_MAX)
            return;
    }
}

static void store_cached(int dir, const char *name, const struct buffer *form,
                         const struct seccomp_program *program)
{
    struct cache_header header = {
        .flags = program->flags,
        .notify = program->notify,
        .canonical_size = form->size,
        .code_size = program->code.size,
        .code_sum = hash_bytes(program->code.data, program->code.size),
    };
    memcpy(header.magic, cache_magic, sizeof(cache_magic));
    cleanup_buffer struct buffer file = BUFFER_INIT;
    buffer_append(&file, &header, sizeof(header));
    buffer_append(&file, form->data, form->size);
    buffer_append(&file, program->code.data, program->code.size);
    trim_cache(dir);
    /* Only a cache: a full disk costs time, not the container. */
    (void)!replace_file_at(dir, name, file.data, file.size, 0600, false, NULL);
}

int seccomp_filter_prepare(const char *root, json_t *profile, struct seccomp_program *out,
                           struct error *err)
{
    cleanup_buffer struct buffer form = BUFFER_INIT;
    /* What the compiler knows is part of the key: a newer libseccomp resolves more names. */
    const struct scmp_version *version = seccomp_version();
    buffer_append(&form, version, sizeof(*version));
    uint32_t arch = seccomp_arch_native();
    buffer_append(&form, &arch, sizeof(arch));
    canonical(profile, &form);
    cleanup_free char *name = xasprintf("%016llx",
                                        (unsigned long long)hash_bytes(form.data, form.size));

    cleanup_close int dir = open_cache(root);
    if (dir >= 0 && load_cached(dir, name, &form, out))
        return 0;
    if (seccomp_filter_compile(profile, out, err) < 0)
        return error_wrap(err, "seccomp");
    if (dir >= 0)
        store_cached(dir, name, &form, out);
    return 0;
}
