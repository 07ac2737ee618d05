/* SPDX-License-Identifier: Apache-2.0 */
#include "sgx/measure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/sha2.h>

#include "base/error.h"

struct sgx_measurement {
    struct sha256_ctx hash;
};

/* Every leaf adds one such block to the hash; EEXTEND also adds its 256 bytes of data. */
struct measure_block {
    char tag[8];
    uint8_t body[56];
};
_Static_assert(sizeof(struct measure_block) == 64, "a block is one SHA-256 block");

int sgx_measure_create(struct sgx_measurement **out, uint64_t size, uint32_t ssa_frame_size,
                       struct error *err)
{
    struct measure_block block = {.tag = "ECREATE"};
    struct sgx_measurement *m = calloc(1, sizeof(*m));

    if (!m)
        return error_errno(err, ENOMEM, "measure the enclave");
    sha256_init(&m->hash);
    memcpy(block.body, &ssa_frame_size, sizeof(ssa_frame_size));
    memcpy(block.body + 4, &size, sizeof(size));
    sha256_update(&m->hash, sizeof(block), (const uint8_t *)&block);
    *out = m;
    return 0;
}

void sgx_sha256(const void *data, uint64_t size, uint8_t digest[32])
{
    struct sha256_ctx ctx;

    sha256_init(&ctx);
    sha256_update(&ctx, size, data);
    sha256_digest(&ctx, 32, digest);
}

/* All that a page adds to the hash, in one piece: an update costs as much as a block. */
void sgx_measure_page(struct sgx_measurement *m, uint64_t offset, uint64_t secinfo_flags,
                      const void *data, bool measure)
{
    struct measure_block add = {.tag = "EADD"};
    struct {
        struct measure_block block;
        uint8_t data[SGX_EEXTEND_SIZE];
    } extend[SGX_PAGE_SIZE / SGX_EEXTEND_SIZE];

    memcpy(add.body, &offset, sizeof(offset));
    memcpy(add.body + 8, &secinfo_flags, sizeof(secinfo_flags));
    sha256_update(&m->hash, sizeof(add), (const uint8_t *)&add);
    if (!measure)
        return;
    memset(extend, 0, sizeof(extend));
    for (unsigned i = 0; i < SGX_PAGE_SIZE / SGX_EEXTEND_SIZE; i++) {
        const uint64_t at = offset + i * SGX_EEXTEND_SIZE;
        memcpy(extend[i].block.tag, "EEXTEND", sizeof(extend[i].block.tag));
        memcpy(extend[i].block.body, &at, sizeof(at));
        if (data)
            memcpy(extend[i].data, (const uint8_t *)data + i * SGX_EEXTEND_SIZE, SGX_EEXTEND_SIZE);
    }
    sha256_update(&m->hash, sizeof(extend), (const uint8_t *)extend);
}

void sgx_measure_final(struct sgx_measurement *m, uint8_t mrenclave[32])
{
    sha256_digest(&m->hash, 32, mrenclave);
}

void sgx_measure_free(struct sgx_measurement *m)
{
    free(m);
}
