/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence of any kind through a whole verification: nothing made up is accepted. */
#include <stdint.h>
#include <stdlib.h>

#include "attest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char g_policy[] =
    "{\"allow_simulation\": true, \"allow_debug\": true, \"allow_missing_crl\": true,"
    " \"allow_expired_collateral\": true, \"isv_svn_min\": 1, \"user_data\": \"00\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct attest_verifier *verifier;
    static struct attest_policy *policy;
    const struct attest_request request = {.time = 1764547200};

    if (!verifier) {
        verifier = attest_verifier_new();
        policy = attest_policy_parse(g_policy, sizeof(g_policy) - 1, NULL);
    }
    /* The evidence serves as its own collateral, so that those readers meet it too. */
    const struct attest_bytes files[ATTEST_FILE_COUNT] = {
        [ATTEST_PCK_CHAIN] = {data, size}, [ATTEST_SNP_CHAIN] = {data, size}};
    struct attest_collateral *collateral = attest_collateral_new(verifier, files);
    struct attest_answer *answer = attest_verify(verifier, data, size, collateral, policy,
                                                 &request);
    char *json = attest_answer_json(answer);
    char *text = attest_answer_text(answer);

    if (attest_answer_verdict(answer) == ATTEST_ACCEPTED || !json || !text)
        abort();
    free(json);
    free(text);
    attest_answer_free(answer);
    attest_collateral_free(collateral);
    return 0;
}
