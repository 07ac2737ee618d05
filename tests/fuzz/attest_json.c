/* SPDX-License-Identifier: Apache-2.0 */
/* TCB info, QE identity and policies: what is said to be signed is an object in the document. */
#include <stdint.h>
#include <stdlib.h>

#include "attest/signed_json.h"
#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_span(const struct signed_json *json, const uint8_t *data, size_t size)
{
    struct span s = json->signed_bytes;

    if (s.data < data || s.data + s.size > data + size || s.size < 2 || s.data[0] != '{' ||
        s.data[s.size - 1] != '}')
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    struct qe_identity identity;
    struct tcb_info info;
    char *problem = NULL;

    if (tcb_info_parse(span_of(data, size), &info, &err) == 0) {
        check_span(&info.json, data, size);
        for (size_t i = 0; i + 1 < info.level_count; i++)
            if (memcmp(info.levels[i].sgx, info.levels[i + 1].sgx, 16) < 0)
                abort();
    } else if (!err.message) {
        abort();
    }
    tcb_info_release(&info);
    if (qe_identity_parse(span_of(data, size), &identity, &err) == 0)
        check_span(&identity.json, data, size);
    qe_identity_release(&identity);
    struct attest_policy *policy = attest_policy_parse((const char *)data, size, &problem);
    if (!policy && !problem)
        abort();
    attest_policy_free(policy);
    free(problem);
    error_release(&err);
    return 0;
}
