/* SPDX-License-Identifier: Apache-2.0 */
/* Vendors' own evidence: each set gives its expected status, and no changed byte passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/roots.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "data.h"

/* All that can be tolerated is. */
static const char g_lenient[] =
    "{\"tcb_status\": [\"UpToDate\", \"SWHardeningNeeded\", \"ConfigurationNeeded\","
    " \"ConfigurationAndSWHardeningNeeded\", \"TDRelaunchAdvised\","
    " \"TDRelaunchAdvisedConfigurationNeeded\", \"OutOfDate\", \"OutOfDateConfigurationNeeded\"],"
    " \"allow_debug\": true, \"allow_missing_crl\": true}";

static struct attest_verifier *g_verifier;
static struct attest_policy *g_policy;

static struct attest_policy *policy(const char *json)
{
    char *error = NULL;
    struct attest_policy *p = attest_policy_parse(json, strlen(json), &error);

    if (!p)
        fail_msg("%s", error);
    return p;
}

static int set_up(void **state)
{
    g_verifier = attest_verifier_new();
    g_policy = policy(g_lenient);
    return g_verifier ? 0 : -1;
}

static int tear_down(void **state)
{
    attest_policy_free(g_policy);
    attest_verifier_free(g_verifier);
    return 0;
}

static struct attest_answer *judge(const struct buffer *evidence, const struct attest_collateral *c,
                                   const struct attest_policy *p, int64_t time)
{
    struct attest_request request = {.time = time};

    return attest_verify(g_verifier, evidence->data, evidence->size, c, p, &request);
}

static enum attest_verdict verdict(const struct buffer *evidence, const struct attest_collateral *c,
                                   const struct attest_policy *p, int64_t time)
{
    struct attest_answer *a = judge(evidence, c, p, time);
    enum attest_verdict v = attest_answer_verdict(a);

    attest_answer_free(a);
    return v;
}

static int64_t case_time(const json_t *one)
{
    return json_integer_value(json_object_get(one, "verification_time_unix"));
}

/* ---- expected statuses ---- */

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static bool has(const json_t *array, const json_t *value)
{
    const json_t *item;
    size_t i;

    json_array_foreach (array, i, item)
        if (json_equal(item, value))
            return true;
    return false;
}

static void assert_same_ids(const char *where, const json_t *expected, const json_t *found)
{
    const json_t *item;
    size_t i;

    if (json_array_size(expected) != json_array_size(found))
        fail_msg("%s: %zu advisories, expected %zu", where, json_array_size(found),
                 json_array_size(expected));
    json_array_foreach (expected, i, item)
        if (!has(found, item))
            fail_msg("%s: %s is not there", where, json_string_value(item));
}

static void assert_part(const char *where, const json_t *part, const json_t *expected,
                        const char *status, const char *date, const char *advisories)
{
    assert_string_equal(member(part, "status"), member(expected, status));
    if (date)
        assert_string_equal(member(part, "date"), member(expected, date));
    assert_same_ids(where, json_object_get(expected, advisories),
                    json_object_get(part, "advisories"));
}

static void check_case(const struct data_set *set, const json_t *one)
{
    const json_t *expected = json_object_get(one, "expected");
    cleanup_free char *where = xasprintf("%s %s", set->path, member(one, "name"));
    struct data_files files;

    data_read_case(set, one, &files);
    struct attest_collateral *c = data_collateral(g_verifier, &files);
    struct attest_answer *a = judge(&set->evidence, c, g_policy, case_time(one));
    cleanup_free char *text = attest_answer_json(a);
    cleanup_free char *for_people = attest_answer_text(a);
    cleanup_json json_t *answer = json_loads(text, 0, NULL);
    const json_t *tcb = json_object_get(answer, "tcb");

    assert_non_null(answer);
    print_message("%s: %s\n", where, member(tcb, "status"));
    if (strncmp(member(expected, "result"), "NotSupported", 12) == 0) {
        assert_string_equal(member(tcb, "status"), "NotSupported");
        assert_int_equal(attest_answer_verdict(a), ATTEST_BAD_TCB);
    } else {
        if (attest_answer_verdict(a) != ATTEST_ACCEPTED)
            fail_msg("%s: %s", where, for_people);
        assert_string_equal(member(tcb, "status"), member(expected, "result"));
        assert_part(where, json_object_get(tcb, "platform"), expected, "platform_tcb_status",
                    "platform_tcb_date", "advisory_ids");
        assert_part(where, json_object_get(tcb, "qe"), expected, "qe_status", "qe_tcb_date",
                    "qe_advisory_ids");
        if (json_object_get(expected, "tdx_module_status"))
            assert_part(where, json_object_get(tcb, "tdx_module"), expected, "tdx_module_status",
                        NULL, "tdx_module_advisory_ids");
    }
    attest_answer_free(a);
    attest_collateral_free(c);
    data_release_files(&files);
}

static void check_set(const struct data_set *set)
{
    const json_t *one;
    size_t i;

    json_array_foreach (json_object_get(set->meta, "cases"), i, one)
        check_case(set, one);
}

static void statuses(void **state)
{
    assert_true(data_each_set("sgx", check_set) > 0);
    assert_true(data_each_set("tdx", check_set) > 0);
    assert_true(data_each_set("ratls", check_set) > 0);
}

/* ---- what the policy decides ---- */

/* Quote b is the same under four evaluations; the newest ones find it out of date. */
static void policies(void **state)
{
    static const struct {
        const char *policy;
        size_t one; /* e17, e18, e19, e21 */
        enum attest_verdict verdict;
    } rows[] = {
        {"{}", 0, ATTEST_BAD_TCB},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"]}", 0, ATTEST_ACCEPTED},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"]}", 1, ATTEST_BAD_TCB},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"advisories\": []}", 0, ATTEST_BAD_TCB},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"advisories\": [\"INTEL-SA-00615\"]}", 0,
         ATTEST_ACCEPTED},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"tcb_evaluation_number_min\": 18}", 0,
         ATTEST_BAD_TCB},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"tcb_evaluation_number_min\": 17}", 0,
         ATTEST_ACCEPTED},
        {"{\"tcb_grace\": {\"OutOfDate\": \"2025-12-31\"}}", 1, ATTEST_ACCEPTED},
        {"{\"tcb_grace\": {\"OutOfDate\": \"2025-06-01\"}}", 1, ATTEST_BAD_TCB},
        {"{\"tcb_grace\": {\"OutOfDate\": \"2025-12-31\"}, \"tcb_date_min\": \"2024-03-14\"}", 1,
         ATTEST_BAD_TCB},
        {"{\"tcb_grace\": {\"OutOfDate\": \"2025-12-31\"}, \"tcb_date_min\": \"2024-03-13\"}", 1,
         ATTEST_ACCEPTED},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"collateral_age_max_days\": 7}", 0,
         ATTEST_BAD_COLLATERAL},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"collateral_age_max_days\": 20}", 0,
         ATTEST_ACCEPTED},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"mrenclave\": "
         "\"a4f45c39dac622cb1dd32ddb35a52ec92db41d0fa88a1c911c49e59c534f61cd\"}",
         0, ATTEST_ACCEPTED},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"mrenclave\": "
         "\"a4f45c39dac622cb1dd32ddb35a52ec92db41d0fa88a1c911c49e59c534f61ce\"}",
         0, ATTEST_NOT_EXPECTED},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"isv_svn_min\": 0}", 0, ATTEST_ACCEPTED},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"isv_svn_min\": 1}", 0, ATTEST_NOT_EXPECTED},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"isv_prod_id\": 1}", 0, ATTEST_NOT_EXPECTED},
        /* a TD's field, which an enclave does not have */
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"rtmr0\": "
         "\"000000000000000000000000000000000000000000000000"
         "000000000000000000000000000000000000000000000000\"}",
         0, ATTEST_NOT_EXPECTED},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"user_data\": \"\"}", 0, ATTEST_ACCEPTED},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"user_data\": \"01\"}", 0,
         ATTEST_NOT_EXPECTED},
        {"{\"tcb_status\": [\"SWHardeningNeeded\"], \"forbid_smt\": true}", 0, ATTEST_ACCEPTED},
    };
    struct data_set set;

    data_open("sgx/quote-v3-b", &set);
    for (size_t i = 0; i < array_count(rows); i++) {
        const json_t *one = json_array_get(json_object_get(set.meta, "cases"), rows[i].one);
        struct attest_policy *p = policy(rows[i].policy);
        struct data_files files;

        data_read_case(&set, one, &files);
        struct attest_collateral *c = data_collateral(g_verifier, &files);
        enum attest_verdict found = verdict(&set.evidence, c, p, case_time(one));
        if (found != rows[i].verdict)
            fail_msg("%s: %s", rows[i].policy, attest_verdict_name(found));
        attest_collateral_free(c);
        attest_policy_free(p);
        data_release_files(&files);
    }
    data_close(&set);
}

static void freshness(void **state)
{
    struct attest_request request = {.time = 1750416906};
    struct attest_policy *p;
    struct data_set set;
    struct data_files files;

    data_open("sgx/quote-v3-l-occlum", &set); /* report data: "test", zeros */
    data_read_case(&set, json_array_get(json_object_get(set.meta, "cases"), 0), &files);
    struct attest_collateral *c = data_collateral(g_verifier, &files);
    p = policy(g_lenient);
    static const struct {
        const char *user, *nonce;
        enum attest_verdict verdict;
    } rows[] = {{"te", "st", ATTEST_ACCEPTED},
                {NULL, "test", ATTEST_ACCEPTED},
                {"test", NULL, ATTEST_ACCEPTED},
                {"test", "1", ATTEST_NOT_EXPECTED},
                {NULL, "tes", ATTEST_NOT_EXPECTED}};
    for (size_t i = 0; i < array_count(rows); i++) {
        request.user_data = rows[i].user;
        request.user_data_size = rows[i].user ? strlen(rows[i].user) : 0;
        request.nonce = rows[i].nonce;
        request.nonce_size = rows[i].nonce ? strlen(rows[i].nonce) : 0;
        struct attest_answer *a = attest_verify(g_verifier, set.evidence.data, set.evidence.size, c,
                                                p, &request);
        assert_int_equal(attest_answer_verdict(a), rows[i].verdict);
        attest_answer_free(a);
    }
    attest_policy_free(p);
    attest_collateral_free(c);
    data_release_files(&files);
    data_close(&set);
}

/* ---- time, and what is missing ---- */

static void check_time(const struct data_set *set)
{
    struct attest_policy *strict = policy("{\"tcb_status\": [\"UpToDate\", \"SWHardeningNeeded\","
                                          "\"ConfigurationAndSWHardeningNeeded\", \"OutOfDate\","
                                          "\"OutOfDateConfigurationNeeded\"],"
                                          "\"allow_debug\": true, \"allow_missing_crl\": true,"
                                          "\"allow_expired_collateral\": true}");
    const json_t *one;
    size_t i;

    json_array_foreach (json_object_get(set->meta, "cases"), i, one) {
        struct data_files files;

        data_read_case(set, one, &files);
        struct attest_collateral *c = data_collateral(g_verifier, &files);
        int64_t until = attest_collateral_until(c), now = case_time(one);

        if (files.texts[ATTEST_ROOT_CRL].size)
            assert_true(until > now && until < now + 40 * 86400);
        assert_int_equal(verdict(&set->evidence, c, g_policy, now + 400 * 86400),
                         ATTEST_BAD_COLLATERAL);
        assert_int_equal(verdict(&set->evidence, c, g_policy, now - 400 * 86400),
                         ATTEST_BAD_COLLATERAL);
        assert_int_equal(verdict(&set->evidence, c, strict, now + 400 * 86400), ATTEST_ACCEPTED);
        assert_int_equal(verdict(&set->evidence, c, strict, now - 400 * 86400),
                         ATTEST_BAD_COLLATERAL);
        attest_collateral_free(c);
        data_release_files(&files);
    }
    attest_policy_free(strict);
}

static void times(void **state)
{
    assert_true(data_each_set("sgx", check_time) > 0);
}

static void missing_parts(void **state)
{
    struct data_set set;
    struct data_files files;

    data_open("tdx/quote-v4-a", &set);
    const json_t *one = json_array_get(json_object_get(set.meta, "cases"), 0);
    for (unsigned i = 0; i < ATTEST_PCK_CHAIN; i++) {
        data_read_case(&set, one, &files);
        buffer_clear(&files.texts[i]);
        struct attest_collateral *c = data_collateral(g_verifier, &files);
        struct attest_policy *p = policy("{}");
        /* Where the QE identity's own chain is absent the TCB info's serves. */
        assert_int_equal(verdict(&set.evidence, c, p, case_time(one)),
                         i == ATTEST_QE_IDENTITY_CHAIN ? ATTEST_ACCEPTED : ATTEST_BAD_COLLATERAL);
        attest_policy_free(p);
        attest_collateral_free(c);
        data_release_files(&files);
    }
    assert_int_equal(verdict(&set.evidence, NULL, NULL, case_time(one)), ATTEST_BAD_COLLATERAL);
    data_close(&set);
}

/* A quote that names its platform by an encrypted PPID: the chain must come from elsewhere. */
static void no_chain(void **state)
{
    struct data_set set;

    data_open("sgx/quote-v3-o-ct3-fortanix", &set);
    struct attest_answer *a = judge(&set.evidence, NULL, g_policy, 1591120162);
    cleanup_free char *text = attest_answer_summary(a);

    assert_int_equal(attest_answer_verdict(a), ATTEST_BAD_COLLATERAL);
    assert_non_null(strstr(text, "PPID encrypted with RSA-3072"));
    attest_answer_free(a);
    data_close(&set);
}

/* The collateral of another platform, and of another TEE. */
static void foreign_collateral(void **state)
{
    struct data_set set, other;
    struct data_files files;

    data_open("sgx/quote-v3-a", &set);
    for (unsigned i = 0; i < 2; i++) {
        data_open(i ? "sgx/quote-v3-b" : "tdx/quote-v4-a", &other);
        data_read_case(&other, json_array_get(json_object_get(other.meta, "cases"), 0), &files);
        struct attest_collateral *c = data_collateral(g_verifier, &files);
        assert_int_equal(verdict(&set.evidence, c, g_policy, 1751624924), ATTEST_BAD_COLLATERAL);
        attest_collateral_free(c);
        data_release_files(&files);
        data_close(&other);
    }
    data_close(&set);
}

/* ---- changed bytes ---- */

static const uint8_t g_flips[] = {0x01, 0x80};

static uint32_t g_random = 12345;

static size_t pick(size_t limit)
{
    g_random = g_random * 1664525 + 1013904223;
    return (size_t)(((uint64_t)g_random * limit) >> 32);
}

static void flip_evidence(const struct data_set *set, const struct attest_collateral *c,
                          int64_t time, size_t at)
{
    struct buffer copy = BUFFER_INIT;

    buffer_append(&copy, set->evidence.data, set->evidence.size);
    copy.data[at] ^= (char)g_flips[pick(2)];
    if (verdict(&copy, c, g_policy, time) == ATTEST_ACCEPTED)
        fail_msg("%s: byte %zu of the evidence can be changed", set->path, at);
    buffer_release(&copy);
}

static void flip_part(const struct data_set *set, const struct data_files *files, int64_t time,
                      unsigned part, size_t at)
{
    struct data_files copy = *files;

    copy.texts[part] = (struct buffer)BUFFER_INIT;
    buffer_append(&copy.texts[part], files->texts[part].data, files->texts[part].size);
    copy.texts[part].data[at] ^= (char)g_flips[pick(2)];
    struct attest_collateral *c = data_collateral(g_verifier, &copy);
    if (verdict(&set->evidence, c, g_policy, time) == ATTEST_ACCEPTED)
        fail_msg("%s: byte %zu of %s can be changed", set->path, at,
                 attest_file_name((enum attest_file)part));
    attest_collateral_free(c);
    buffer_release(&copy.texts[part]);
}

/* The quote's own bytes; some stacks put zeros behind it. */
static size_t quote_size(const struct data_set *set)
{
    json_t *size = json_object_get(set->meta, "quote_len_without_trailing");

    return size ? (size_t)json_integer_value(size) : set->evidence.size;
}

static void change_set(const struct data_set *set)
{
    const json_t *one = json_array_get(json_object_get(set->meta, "cases"), 0);
    struct data_files files;

    if (!one || strstr(set->path, "nomatch"))
        return;
    data_read_case(set, one, &files);
    struct attest_collateral *c = data_collateral(g_verifier, &files);
    assert_int_equal(verdict(&set->evidence, c, g_policy, case_time(one)), ATTEST_ACCEPTED);
    for (unsigned i = 0; i < 100; i++)
        flip_evidence(set, c, case_time(one), pick(quote_size(set)));
    for (unsigned part = 0; part < ATTEST_FILE_COUNT; part++)
        for (unsigned i = 0; i < 40 && files.texts[part].size; i++)
            flip_part(set, &files, case_time(one), part, pick(files.texts[part].size));
    attest_collateral_free(c);
    data_release_files(&files);
}

static void random_changes(void **state)
{
    data_each_set("sgx", change_set);
    data_each_set("tdx", change_set);
    data_each_set("ratls", change_set);
}

static void every_byte(void **state)
{
    struct data_set set;
    struct data_files files;

    data_open("sgx/quote-v3-b", &set);
    const json_t *one = json_array_get(json_object_get(set.meta, "cases"), 0);
    data_read_case(&set, one, &files);
    struct attest_collateral *c = data_collateral(g_verifier, &files);
    for (size_t at = 0; at < set.evidence.size; at++)
        flip_evidence(&set, c, case_time(one), at);
    for (size_t size = 0; size < set.evidence.size; size++) {
        struct buffer cut = {.data = xmemdup(set.evidence.data, size + 1), .size = size};
        assert_int_equal(verdict(&cut, c, g_policy, case_time(one)), ATTEST_NOT_GENUINE);
        free(cut.data);
    }
    for (unsigned part = 0; part < ATTEST_FILE_COUNT; part++)
        for (size_t at = 0; at < files.texts[part].size; at++)
            flip_part(&set, &files, case_time(one), part, at);
    attest_collateral_free(c);
    data_release_files(&files);
    data_close(&set);
}

/* ---- what is known is not verified ---- */

static uint32_t g_seen; /* of the known certificates, bit n */

static void see_chain(const struct buffer *text)
{
    struct p256 *p256 = p256_new();
    struct trust_root wary = g_intel_root;
    const struct trust_root *root;
    struct error err = ERROR_INIT;
    struct chain chain;

    wary.known_count = 0;
    if (chain_read(span_of(text->data, text->size), &chain, &err) == 0 &&
        chain_verify(&chain, p256, &wary, &root, &err) == 0)
        for (size_t i = 0; i < chain.count; i++) {
            uint8_t digest[32];
            p256_hash(p256, chain.certs[i].der, digest);
            for (size_t k = 0; k < g_intel_root.known_count; k++)
                if (memcmp(digest, g_intel_root.known[k], 32) == 0)
                    g_seen |= 1u << k;
        }
    error_release(&err);
    chain_release(&chain);
    p256_free(p256);
}

static void see_set(const struct data_set *set)
{
    static const char *const names[] = {"pck_chain.pem", "tcb_issuer_chain.pem",
                                        "tcb_issuer_chain.e14.pem", "tcb_issuer_chain.e17.pem",
                                        "qe_issuer_chain.pem"};

    for (size_t i = 0; i < array_count(names); i++) {
        cleanup_buffer struct buffer text = BUFFER_INIT;
        data_read(set, names[i], &text);
        if (text.size)
            see_chain(&text);
    }
}

/* Signatures of Intel's root that are taken for good without looking are good: those of all
 * certificates that the data has a chain of. */
static void known_certificates_are_signed(void **state)
{
    data_each_set("sgx", see_set);
    data_each_set("tdx", see_set);
    data_each_set("ratls", see_set);
    assert_int_equal(__builtin_popcount(g_seen), g_intel_root.known_count);
}

/* ---- SEV-SNP ---- */

static struct attest_collateral *snp_collateral(const struct data_set *set, const char *crl,
                                                struct data_files *files)
{
    static const char *const parts[] = {"vcek.pem", "vlek.pem", "ask.pem", "ark.pem"};

    memset(files, 0, sizeof(*files));
    for (size_t i = 0; i < array_count(parts); i++) {
        struct buffer text = BUFFER_INIT;
        data_read(set, parts[i], &text);
        buffer_append(&files->texts[ATTEST_SNP_CHAIN], text.data, text.size);
        if (text.size && text.data[text.size - 1] != '\n')
            buffer_append_char(&files->texts[ATTEST_SNP_CHAIN], '\n');
        buffer_release(&text);
    }
    if (crl)
        data_read(set, crl, &files->texts[ATTEST_SNP_CRL]);
    return data_collateral(g_verifier, files);
}

static void check_snp(const struct data_set *set)
{
    bool genoa = strstr(set->path, "genoa") != NULL;
    /* The lists are of 2022 and 2023; of the reports one is of then. */
    struct attest_policy *p = policy("{\"allow_expired_collateral\": true, \"allow_debug\": true}");
    int64_t time = strstr(set->path, "genoa")  ? 1767225600
                   : strstr(set->path, "vlek") ? 1746057600
                                               : 1680000000;
    struct data_files files;
    struct attest_collateral *c = snp_collateral(
        set, genoa ? "../crl/ARK-Genoa.crl" : "../crl/ARK-Milan.crl", &files);
    struct attest_answer *a = judge(&set->evidence, c, p, time);
    cleanup_free char *text = attest_answer_text(a);

    if (attest_answer_verdict(a) != ATTEST_ACCEPTED)
        fail_msg("%s: %s", set->path, text);
    print_message("%s: accepted\n", set->path);
    assert_int_equal(attest_answer_tee(a), ATTEST_TEE_SNP);
    size_t size;
    unsigned microcode = *(const uint8_t *)attest_answer_field(a, "tcb_microcode", &size);
    assert_int_equal(microcode, genoa ? 0x54 : strstr(set->path, "vlek") ? 0xd9 : 0x73);
    attest_answer_free(a);
    for (unsigned more = 0; more < 2; more++) {
        cleanup_free char *json = xasprintf("{\"allow_expired_collateral\": true, "
                                            "\"allow_debug\": true, \"tcb_microcode_min\": %u}",
                                            microcode + more);
        struct attest_policy *demanding = policy(json);
        assert_int_equal(verdict(&set->evidence, c, demanding, time),
                         more ? ATTEST_NOT_EXPECTED : ATTEST_ACCEPTED);
        attest_policy_free(demanding);
    }
    for (size_t at = 0; at < set->evidence.size; at++) {
        struct buffer copy = BUFFER_INIT;
        /* Behind R and S there is room that nothing signs. */
        if (at >= 0x2a0 + 144 || (at >= 0x2a0 + 48 && at < 0x2a0 + 72) || at >= 0x2a0 + 120)
            continue;
        buffer_append(&copy, set->evidence.data, set->evidence.size);
        copy.data[at] ^= (char)g_flips[at % 2];
        if (at % 7 == 0 && verdict(&copy, c, p, time) == ATTEST_ACCEPTED)
            fail_msg("%s: byte %zu of the report can be changed", set->path, at);
        buffer_release(&copy);
    }
    for (unsigned i = 0; i < 60; i++) {
        struct data_files changed = files;
        unsigned part = i % 2 ? ATTEST_SNP_CHAIN : ATTEST_SNP_CRL;
        size_t at = pick(files.texts[part].size);
        changed.texts[part] = (struct buffer)BUFFER_INIT;
        buffer_append(&changed.texts[part], files.texts[part].data, files.texts[part].size);
        changed.texts[part].data[at] ^= 1;
        struct attest_collateral *other = data_collateral(g_verifier, &changed);
        if (verdict(&set->evidence, other, p, time) == ATTEST_ACCEPTED)
            fail_msg("%s: byte %zu of %s can be changed", set->path, at,
                     attest_file_name((enum attest_file)part));
        attest_collateral_free(other);
        buffer_release(&changed.texts[part]);
    }
    attest_collateral_free(c);
    data_release_files(&files);
    c = snp_collateral(set, NULL, &files);
    assert_int_equal(verdict(&set->evidence, c, p, time), ATTEST_BAD_COLLATERAL);
    assert_int_equal(verdict(&set->evidence, NULL, p, time), ATTEST_BAD_COLLATERAL);
    attest_collateral_free(c);
    data_release_files(&files);
    attest_policy_free(p);
}

static void snp(void **state)
{
    assert_int_equal(data_each_set("snp", check_snp), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses),
        cmocka_unit_test(policies),
        cmocka_unit_test(freshness),
        cmocka_unit_test(times),
        cmocka_unit_test(missing_parts),
        cmocka_unit_test(no_chain),
        cmocka_unit_test(foreign_collateral),
        cmocka_unit_test(random_changes),
        cmocka_unit_test(every_byte),
        cmocka_unit_test(snp),
        cmocka_unit_test(known_certificates_are_signed),
    };

    if (!data_root()) {
        print_message("skipped: no genuine data in %s (ATTEST_DATA names the directory)\n",
                      GENUINE_DATA);
        return 77;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
