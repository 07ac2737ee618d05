/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/error.h"
#include "sgx/enclave_file.h"
#include "sgx/loader.h"
#include "sgx/sigstruct.h"

int sgx_sign_params_from_file(int enclave_fd, bool debug, struct sgx_sign_params *out,
                              struct error *err)
{
    struct enclave_file *file = NULL;
    int rc = enclave_file_open(enclave_fd, &file, err);

    if (rc < 0)
        return rc;
    const struct enclave_file_header *h = file->header;
    memset(out, 0, sizeof(*out));
    out->attributes.flags = (h->attributes & ~(SGX_ATTR_INIT | SGX_ATTR_DEBUG | SGX_ATTR_KSS)) |
                            SGX_ATTR_MODE64 | (debug ? SGX_ATTR_DEBUG : 0);
    out->attributes.xfrm = h->xfrm | SGX_XFRM_LEGACY;
    /* An enclave that may be debugged may also be started without; the report tells which. */
    out->attribute_mask.flags = ~(SGX_ATTR_KSS | (debug ? SGX_ATTR_DEBUG : 0));
    /* One signed enclave for machines with and without AVX: only x87 and SSE are fixed. */
    out->attribute_mask.xfrm = ~(h->xfrm & ~SGX_XFRM_LEGACY);
    out->miscselect = h->miscselect;
    out->misc_mask = ~0u;
    out->isv_prod_id = h->isv_prod_id;
    out->isv_svn = h->isv_svn;
    memcpy(out->isv_ext_prod_id, h->isv_ext_prod_id, sizeof(out->isv_ext_prod_id));
    memcpy(out->isv_family_id, h->isv_family_id, sizeof(out->isv_family_id));
    enclave_file_close(file);
    return sgx_enclave_measure(enclave_fd, out->mrenclave, err);
}
