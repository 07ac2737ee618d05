/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"

enum { FILE_MAX = 1 << 20 };

const char *data_root(void)
{
    const char *path = getenv("ATTEST_DATA");

    if (!path || !*path)
        path = GENUINE_DATA;
    return access(path, R_OK | X_OK) == 0 ? path : NULL;
}

void data_read(const struct data_set *set, const char *name, struct buffer *out)
{
    cleanup_free char *path = xasprintf("%s/%s", set->path, name);

    if (access(path, F_OK) == 0)
        assert_int_equal(read_file_at(AT_FDCWD, path, out, FILE_MAX, NULL), 0);
}

void data_open(const char *name, struct data_set *out)
{
    cleanup_error struct error err = ERROR_INIT;

    *out = (struct data_set){.path = xasprintf("%s/%s", data_root(), name)};
    cleanup_free char *meta = xasprintf("%s/meta.json", out->path);
    out->meta = json_parse_file(AT_FDCWD, meta, FILE_MAX, &err);
    if (!out->meta)
        fail_msg("%s", error_text(&err));
    data_read(out, "quote.bin", &out->evidence);
    if (!out->evidence.size)
        data_read(out, "report.bin", &out->evidence);
    assert_true(out->evidence.size > 0);
}

void data_close(struct data_set *set)
{
    json_decref(set->meta);
    buffer_release(&set->evidence);
    free(set->path);
}

unsigned data_each_set(const char *tee, void (*use)(const struct data_set *set))
{
    cleanup_free char *path = xasprintf("%s/%s", data_root(), tee);
    cleanup_dir DIR *dir = opendir(path);
    unsigned count = 0;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        cleanup_free char *name = xasprintf("%s/%s", tee, entry->d_name);
        cleanup_free char *meta = xasprintf("%s/%s/meta.json", path, entry->d_name);
        struct data_set set;

        if (entry->d_name[0] == '.' || access(meta, F_OK) < 0)
            continue;
        data_open(name, &set);
        use(&set);
        data_close(&set);
        count++;
    }
    return count;
}

void data_read_case(const struct data_set *set, const json_t *one, struct data_files *out)
{
    static const char *const names[ATTEST_FILE_COUNT] = {
        [ATTEST_TCB_INFO] = "tcb_info",       [ATTEST_TCB_INFO_CHAIN] = "tcb_issuer_chain",
        [ATTEST_QE_IDENTITY] = "qe_identity", [ATTEST_QE_IDENTITY_CHAIN] = "qe_issuer_chain",
        [ATTEST_PCK_CRL] = "pck_crl",         [ATTEST_ROOT_CRL] = "root_ca_crl",
    };
    const json_t *files = json_object_get(one, "files");

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++) {
        const char *name = names[i] ? json_string_value(json_object_get(files, names[i])) : NULL;
        if (name)
            data_read(set, name, &out->texts[i]);
    }
}

void data_release_files(struct data_files *files)
{
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        buffer_release(&files->texts[i]);
}

struct attest_collateral *data_collateral(const struct attest_verifier *v,
                                          const struct data_files *files)
{
    struct attest_bytes bytes[ATTEST_FILE_COUNT];

    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        bytes[i] = (struct attest_bytes){files->texts[i].data, files->texts[i].size};
    return attest_collateral_new(v, bytes);
}
