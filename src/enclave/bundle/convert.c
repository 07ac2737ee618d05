/* SPDX-License-Identifier: Apache-2.0 */
/* libenclave's door to conversion: image, then enclave. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "enclave/bundle/internal.h"

/* Root's places, or for an ordinary user those of the XDG base directory specification. */
static char *default_path(const char *system, const char *variable, const char *below_home,
                          const char *rest)
{
    const char *base = secure_getenv(variable), *home = secure_getenv("HOME");
    if (geteuid() == 0)
        return xstrdup(system);
    if (base && base[0] == '/')
        return xasprintf("%s/rune/%s", base, rest);
    if (home && home[0] == '/')
        return xasprintf("%s/%s/rune/%s", home, below_home, rest);
    return xstrdup(system);
}

char *bundle_default_cache(void)
{
    return default_path(BUNDLE_CACHE_DEFAULT, "XDG_CACHE_HOME", ".cache", "images");
}

char *bundle_default_key(void)
{
    return default_path(BUNDLE_KEY_DEFAULT, "XDG_DATA_HOME", ".local/share",
                        "keys/signing-key.pem");
}

int bundle_convert(const struct bundle_options *given, struct bundle_result *result,
                   struct error *err)
{
    cleanup_close int dir = -1;
    cleanup_free char *cache = given->cache_dir ? xstrdup(given->cache_dir)
                                                : bundle_default_cache();
    cleanup_free char *key = given->key ? xstrdup(given->key) : bundle_default_key();
    struct bundle_options filled = *given, *options = &filled;
    filled.cache_dir = cache;
    filled.key = key;
    struct image_info info;
    memset(result, 0, sizeof(*result));
    int ret = image_prepare(options, &result->image_dir, &dir, &info, &result->converted, err);
    if (ret < 0)
        return ret;
    result->image = path_join(result->image_dir, "image");
    result->sites = path_join(result->image_dir, "sites");
    memcpy(result->root_hash, info.seal.root_hash, sizeof(result->root_hash));
    result->data_size = info.seal.hash_offset;
    result->image_size = info.seal.image_size;
    result->site_count = info.site_count;
    if (!options->image_only)
        ret = enclave_prepare(options, dir, result->image_dir, &info, result, err);
    if (ret < 0)
        bundle_result_release(result);
    return ret;
}

void bundle_result_release(struct bundle_result *result)
{
    free(result->image_dir);
    free(result->image);
    free(result->sites);
    free(result->enclave_dir);
    free(result->enclave);
    free(result->sigstruct);
    free(result->manifest);
    memset(result, 0, sizeof(*result));
}
