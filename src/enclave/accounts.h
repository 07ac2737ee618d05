/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups of an image, as engines look them up in its /etc/passwd and /etc/group. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"

struct account {
    uint32_t uid, gid;
    uint32_t *groups; /* in any order, some perhaps twice */
    size_t group_count;
};
#define cleanup_accounts __attribute__((cleanup(account_release)))

/*
 * user: NAME, UID, with ":GROUP" or ":GID" behind it. extra: further groups by name or number, or
 * NULL. own: the account's group is among its groups.
 */
int account_find(const char *rootfs, const char *user, const json_t *extra, bool own,
                 struct account *out, struct error *err);
void account_release(struct account *account);
