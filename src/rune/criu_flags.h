/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What checkpoint and restore share of their options. */
#include "container/checkpoint.h"
#include "rune/rune.h"

struct criu_flags {
    struct container_criu_options options;
    const char *cgroup_mode;
    struct option_list empty_namespaces;
};
extern struct criu_flags g_criu;

/* Entries of the option tables. */
/* clang-format off */
#define CRIU_COMMON_OPTIONS                                                                       \
    {"image-path", NULL, OPTION_TEXT, &g_criu.options.image_path, "dir",                          \
     "directory of criu's image files (default: ./checkpoint)"},                                  \
    {"work-path", NULL, OPTION_TEXT, &g_criu.options.work_path, "dir",                            \
     "directory for work files and logs (default: the image directory)"},                         \
    {"tcp-established", NULL, OPTION_FLAG, &g_criu.options.tcp_established, NULL,                 \
     "allow open tcp connections"},                                                               \
    {"ext-unix-sk", NULL, OPTION_FLAG, &g_criu.options.ext_unix_sk, NULL,                         \
     "allow external unix sockets"},                                                              \
    {"shell-job", NULL, OPTION_FLAG, &g_criu.options.shell_job, NULL,                             \
     "allow shell jobs"},                                                                         \
    {"file-locks", NULL, OPTION_FLAG, &g_criu.options.file_locks, NULL,                           \
     "handle file locks, for safety"},                                                            \
    {"manage-cgroups-mode", NULL, OPTION_TEXT, &g_criu.cgroup_mode, "mode",                       \
     "cgroups mode: soft (default), full, strict or ignore"},                                     \
    {"empty-ns", NULL, OPTION_LIST, &g_criu.empty_namespaces, "namespace",                        \
     "create a namespace, but do not restore its properties (network, which is always so)"},      \
    {"auto-dedup", NULL, OPTION_FLAG, &g_criu.options.auto_dedup, NULL,                           \
     "enable auto deduplication of memory images"}
/* clang-format on */

/* Check and complete the options; relative paths start from where rune was started. */
int criu_flags_finish(struct error *err);
