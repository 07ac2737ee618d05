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
    int r = -1;
    /* musl's walk may pass over entries of a big directory that changes under it. */
    for (int i = 0; i < 3 && r != 0; i++)
        r = nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return r;
}
