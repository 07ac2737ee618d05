/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed bundles: the files of a cache entry and of one of its enclaves, side by side. */
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "enclave/bundle/internal.h"
#include "enclave/bundle/signing.h"

/* info.json is written last of the image's and manifest.json of the enclave's: with both it is
 * whole. */
static const char *const g_image_files[] = {"image", "sites", "info.json"};
static const char *const g_enclave_files[] = {"enclave", SIGNING_SIGNED, "manifest.json"};

static int copy_file(int from_dir, int to_dir, const char *name, struct error *err)
{
    cleanup_close int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    cleanup_close int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    struct stat st;
    if (from < 0 || to < 0 || fstat(from, &st) < 0)
        return error_errno(err, errno, "copy %s", name);
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = sendfile(to, from, NULL, (size_t)left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_errno(err, n < 0 ? errno : EIO, "copy %s", name);
        left -= n;
    }
    return fsync(to) < 0 ? error_errno(err, errno, "write %s", name) : 0;
}

static int copy_files(const char *from, int to, const char *const *names, size_t count,
                      struct error *err)
{
    cleanup_close int dir = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "%s", from);
    for (size_t i = 0; i < count; i++) {
        int ret = copy_file(dir, to, names[i], err);
        if (ret < 0)
            return ret;
    }
    return 0;
}

int bundle_sealed_write(const struct bundle_result *result, const char *path, struct error *err)
{
    if (!result->sigstruct)
        return error_set(err,
                         "the enclave in %s has no signature yet: sign it, import the signature, "
                         "and then write the bundle",
                         result->enclave_dir);
    cleanup_free char *tmp = xasprintf("%s.tmp", path);
    if (access(path, F_OK) == 0)
        return error_errno(err, EEXIST, "%s", path);
    int ret = path_remove_tree(AT_FDCWD, tmp, err); /* of a writer that was killed */
    if (ret < 0)
        return ret;
    if (mkdir(tmp, 0755) < 0)
        return error_errno(err, errno, "make %s", tmp);
    cleanup_close int dir = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        ret = error_errno(err, errno, "%s", tmp);
    if (ret == 0)
        ret = copy_files(result->image_dir, dir, g_image_files, array_count(g_image_files), err);
    if (ret == 0)
        ret = copy_files(result->enclave_dir, dir, g_enclave_files, array_count(g_enclave_files),
                         err);
    if (ret == 0 && renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
        ret = error_errno(err, errno, "%s", path);
    if (ret < 0)
        (void)path_remove_tree(AT_FDCWD, tmp, NULL);
    return ret < 0 ? error_wrap(err, "sealed bundle") : 0;
}

static int read_description(int dir, struct bundle_sealed *out, struct error *err)
{
    struct image_info info;
    struct sgx_sigstruct s;
    char hex[2 * BUNDLE_HASH_SIZE + 1];
    const char *mrenclave = "", *root_hash = "";
    if (!image_info_load(dir, &info))
        return error_set(err, "info.json, image and sites do not belong together, or are cut off, "
                              "or are of another release of rune");
    cleanup_json json_t *manifest = json_parse_file(dir, "manifest.json", 1 << 20, err);
    if (!manifest || json_get_string(manifest, "", "mrenclave", &mrenclave, err) < 0 ||
        json_get_string(manifest, "", "rootHash", &root_hash, err) < 0 ||
        json_get_bool(manifest, "", "kss", &out->kss, err) < 0 ||
        json_get_bool(manifest, "", "sgx2", &out->sgx2, err) < 0 ||
        json_get_bool(manifest, "", "aexnotify", &out->aexnotify, err) < 0 ||
        json_get_uint64(manifest, "", "enclaveSize", &out->enclave_size, err) < 0)
        return -1;
    hex_format(hex, info.seal.root_hash, BUNDLE_HASH_SIZE);
    if (strcmp(hex, root_hash) != 0)
        return error_set(err, "the enclave is of another image than the one beside it");
    if (sgx_sigstruct_read(out->sigstruct, &s, err) < 0 || sgx_sigstruct_check(&s, err) < 0)
        return -1;
    hex_format(hex, s.mrenclave, BUNDLE_HASH_SIZE);
    if (strcmp(hex, mrenclave) != 0)
        return error_set(err, "the signature is of another enclave than the one beside it");
    memcpy(out->mrenclave, s.mrenclave, sizeof(out->mrenclave));
    out->debug = (s.attributes.flags | ~s.attribute_mask.flags) & SGX_ATTR_DEBUG;
    return 0;
}

static void bundle_sealed_close(struct bundle_sealed *sealed);

int bundle_sealed_open(const char *path, struct bundle_sealed *out, struct error *err)
{
    const struct {
        const char *name;
        int *fd;
    } files[] = {{"enclave", &out->enclave},
                 {SIGNING_SIGNED, &out->sigstruct},
                 {"image", &out->image},
                 {"sites", &out->sites}};
    *out = (struct bundle_sealed){-1, -1, -1, -1};
    cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "sealed bundle %s", path);
    int ret = 0;
    for (size_t i = 0; ret == 0 && i < array_count(files); i++) {
        *files[i].fd = openat(dir, files[i].name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (*files[i].fd < 0)
            ret = error_errno(err, errno, "%s", files[i].name);
    }
    if (ret == 0)
        ret = read_description(dir, out, err);
    if (ret < 0) {
        bundle_sealed_close(out);
        return error_wrap(err, "sealed bundle %s", path);
    }
    return 0;
}

static void bundle_sealed_close(struct bundle_sealed *sealed)
{
    close_and_reset(&sealed->enclave);
    close_and_reset(&sealed->sigstruct);
    close_and_reset(&sealed->image);
    close_and_reset(&sealed->sites);
}
