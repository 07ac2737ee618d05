/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "world.h"

#define MODEL_ROOT 5 /* the mount's descriptor */

struct model_node {
    char path[PATH_MAX], text[128]; /* a link's target, a file's contents */
    u32 mode, uid;                  /* mode 0: not there */
    u64 ino, rdev;
    size_t size;
};
void model_reset(void);
struct model_node *model_put(const char *path, u32 mode, const char *text); /* another inode */
/* The same by rename(2): who has the old one open keeps it. */
struct model_node *model_rename_over(const char *path, u32 mode, const char *text);
struct model_node *model_find(const char *path);
extern int g_model_error; /* what stat, open and read say of everything; 0: what they find */
/* Called before each answer, so that the host changes its mind between two questions. */
extern void (*g_model_hook)(const char *call, const char *path);
