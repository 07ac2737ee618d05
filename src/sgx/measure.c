/* SPDX-License-Identifier: Apache-2.0 */
#include "sgx/measure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/error.h"

struct sgx_measurement {
    EVP_MD_CTX *hash;
};

/* Every leaf adds one such block to the hash; EEXTEND also adds its 256 bytes of data. */
struct measure_block {
    char tag[8];
    uint8_t body[56];
};
_Static_assert(sizeof(struct measure_block) == 64, "a block is one SHA-256 block");

static int update(struct sgx_measurement *m, const void *data, size_t size, struct error *err)
{
    if (EVP_DigestUpdate(m->hash, data, size) != 1)
        return error_code(err, EIO, "measure the enclave: SHA-256 failed");
    return 0;
}

int sgx_measure_create(struct sgx_measurement **out, uint64_t size, uint32_t ssa_frame_size,
                       struct error *err)
{
    struct measure_block block = {.tag = "ECREATE"};
    struct sgx_measurement *m = calloc(1, sizeof(*m));

    if (!m)
        return error_errno(err, ENOMEM, "measure the enclave");
    m->hash = EVP_MD_CTX_new();
    if (!m->hash || EVP_DigestInit_ex(m->hash, EVP_sha256(), NULL) != 1) {
        sgx_measure_free(m);
        return error_code(err, EIO, "measure the enclave: no SHA-256");
    }
    memcpy(block.body, &ssa_frame_size, sizeof(ssa_frame_size));
    memcpy(block.body + 4, &size, sizeof(size));
    int rc = update(m, &block, sizeof(block), err);
    if (rc < 0) {
        sgx_measure_free(m);
        return rc;
    }
    *out = m;
    return 0;
}

static int measure_add(struct sgx_measurement *m, uint64_t offset, uint64_t secinfo_flags,
                       struct error *err)
{
    struct measure_block block = {.tag = "EADD"};

    memcpy(block.body, &offset, sizeof(offset));
    memcpy(block.body + 8, &secinfo_flags, sizeof(secinfo_flags));
    return update(m, &block, sizeof(block), err);
}

/* All that a page adds to the hash, in one piece: an update costs as much as a block. */
int sgx_measure_page(struct sgx_measurement *m, uint64_t offset, uint64_t secinfo_flags,
                     const void *data, int measure, struct error *err)
{
    struct {
        struct measure_block block;
        uint8_t data[SGX_EEXTEND_SIZE];
    } extend[SGX_PAGE_SIZE / SGX_EEXTEND_SIZE];
    int rc = measure_add(m, offset, secinfo_flags, err);

    if (rc < 0 || !measure)
        return rc;
    memset(extend, 0, sizeof(extend));
    for (unsigned i = 0; i < SGX_PAGE_SIZE / SGX_EEXTEND_SIZE; i++) {
        const uint64_t at = offset + i * SGX_EEXTEND_SIZE;
        memcpy(extend[i].block.tag, "EEXTEND", sizeof(extend[i].block.tag));
        memcpy(extend[i].block.body, &at, sizeof(at));
        if (data)
            memcpy(extend[i].data, (const uint8_t *)data + i * SGX_EEXTEND_SIZE, SGX_EEXTEND_SIZE);
    }
    return update(m, extend, sizeof(extend), err);
}

int sgx_measure_final(struct sgx_measurement *m, uint8_t mrenclave[32], struct error *err)
{
    unsigned size = 0;

    if (EVP_DigestFinal_ex(m->hash, mrenclave, &size) != 1 || size != 32)
        return error_code(err, EIO, "measure the enclave: SHA-256 failed");
    return 0;
}

void sgx_measure_free(struct sgx_measurement *m)
{
    if (!m)
        return;
    EVP_MD_CTX_free(m->hash);
    free(m);
}
