/* SPDX-License-Identifier: Apache-2.0 */
/* libenclave's door to conversion: image, then enclave. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "enclave/bundle/internal.h"

int bundle_convert(const struct bundle_options *options, struct bundle_result *result,
                   struct error *err)
{
    cleanup_close int dir = -1;
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
