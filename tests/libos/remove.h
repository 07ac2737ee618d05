/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <ftw.h>
#include <stdio.h>

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

/* A test's directory with all that is in it. */
static inline int remove_tree(const char *path)
{
    /* musl goes no deeper than it may have descriptors. */
    return nftw(path, remove_one, 400, FTW_DEPTH | FTW_PHYS);
}
