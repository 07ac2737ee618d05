/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's configuration: what the owner of this machine allows. A JSON object in
 * /etc/rune/node.json (docs/man/rune-node.json.5.md), beside the installation where that is
 * somewhere else; RUNE_CONFIG names another file, but not to a program that has more rights than
 * its caller.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

/*
 * 0 when the node allows enclaves in the software SGX. Else -1, also when there is no such file or
 * it cannot be understood; the text says which file it is and what to do.
 */
int node_allows_emulator(struct error *err);

/* What the cache of sealed images may grow to; 0: no limit. The defaults hold without a file. */
#define NODE_CACHE_GIB  32
#define NODE_CACHE_DAYS 30
struct node_cache {
    uint64_t bytes;
    uint32_t days; /* since an image was last used */
};
int node_cache_limits(struct node_cache *out, struct error *err);
