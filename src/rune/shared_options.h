/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Entries that the option tables of several commands have; `target` is where the value goes. */
#include "rune/rune.h"

/* clang-format off */
#define OPTION_BUNDLE(target)                                                                     \
    {"bundle", "b", OPTION_TEXT, (target), "dir",                                                 \
     "path to the root of the bundle directory, defaults to the current directory"}
#define OPTION_CONSOLE_SOCKET(target)                                                             \
    {"console-socket", NULL, OPTION_TEXT, (target), "path",                                       \
     "path to an AF_UNIX socket which will receive a file descriptor referencing the master end " \
     "of the console's pseudoterminal"}
#define OPTION_DETACH(target)                                                                     \
    {"detach", "d", OPTION_FLAG, (target), NULL, "detach from the container's process"}
#define OPTION_PID_FILE(target)                                                                   \
    {"pid-file", NULL, OPTION_TEXT, (target), "file",                                             \
     "specify the file to write the process id to"}
#define OPTION_NO_SUBREAPER(target)                                                               \
    {"no-subreaper", NULL, OPTION_FLAG, (target), NULL,                                           \
     "disable the use of the subreaper used to reap reparented processes"}
#define OPTION_NO_PIVOT(target)                                                                   \
    {"no-pivot", NULL, OPTION_FLAG, (target), NULL,                                               \
     "do not use pivot root to jail process inside rootfs. This should be used whenever the "     \
     "rootfs is on top of a ramdisk"}
#define OPTION_NO_NEW_KEYRING(target)                                                             \
    {"no-new-keyring", NULL, OPTION_FLAG, (target), NULL,                                         \
     "do not create a new session keyring for the container"}
#define OPTION_PRESERVE_FDS(target)                                                               \
    {"preserve-fds", NULL, OPTION_NUMBER, (target), "N",                                          \
     "pass N additional file descriptors to the container (stdio + $LISTEN_FDS + N in total)"}
#define OPTION_LAZY_PAGES(target)                                                                 \
    {"lazy-pages", NULL, OPTION_FLAG, (target), NULL,                                             \
     "use userfaultfd to lazily restore memory pages"}
/* clang-format on */
