/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of evidence and collateral in directories, as ../shared/attest has them. */
#pragma once

#include <jansson.h>

#include "attest.h"
#include "base/buffer.h"

/* Where the genuine data is: ATTEST_DATA, or beside the sources. NULL: nowhere. */
const char *data_root(void);

struct data_set {
    char *path;
    json_t *meta;
    struct buffer evidence;
};

/* Calls `use` for each set of a TEE ("sgx", "tdx", "ratls", "snp"); returns how many there were. */
unsigned data_each_set(const char *tee, void (*use)(const struct data_set *set));
/* One of them, by its name under the root; fails the test when it is not there. */
void data_open(const char *name, struct data_set *out);
void data_close(struct data_set *set);

/* The files of a case in meta.json, in the order of enum attest_file. */
struct data_files {
    struct buffer texts[ATTEST_FILE_COUNT];
};
void data_read_case(const struct data_set *set, const json_t *one, struct data_files *out);
void data_release_files(struct data_files *files);
struct attest_collateral *data_collateral(const struct attest_verifier *v,
                                          const struct data_files *files);
/* A file of a set, read whole; empty when it is not there. */
void data_read(const struct data_set *set, const char *name, struct buffer *out);
