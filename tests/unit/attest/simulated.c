/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole path of a verification on data that the project makes itself: quotes of the software
 * SGX and its simulated authority's collateral. Needs nothing from outside.
 */
#include "../sgx/harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../../../abi/sgx_emulated.h"
#include "attest.h"
#include "attest/quote.h"
#include "attest/simulation.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "sgx/emulated.h"

#define NOW 1764547200 /* 2025-12-01 */

static const uint8_t g_cpu_svn[16] = SGX_EMULATED_CPUSVN;
static struct simulation *g_simulation;

/* One verifier, collateral and policy, and what is judged with them. */
struct world {
    struct attest_verifier *verifier;
    struct attest_collateral *collateral;
    struct attest_policy *policy;
    struct buffer files[ATTEST_FILE_COUNT], root;
};

static struct attest_collateral *collateral_of(struct world *w, const struct buffer *files)
{
    struct attest_bytes bytes[ATTEST_FILE_COUNT];

    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        bytes[i] = (struct attest_bytes){files[i].data, files[i].size};
    return attest_collateral_new(w->verifier, bytes);
}

static void world_open(struct world *w, const struct simulation_options *options,
                       const char *policy, bool with_root)
{
    cleanup_error struct error err = ERROR_INIT;
    char *problem = NULL;

    memset(w, 0, sizeof(*w));
    assert_int_equal(simulation_collateral(g_simulation, options, w->files, &w->root, &err), 0);
    w->verifier = attest_verifier_new();
    assert_non_null(w->verifier);
    if (with_root)
        assert_int_equal(attest_verifier_add_root(w->verifier, ATTEST_ROOT_SIMULATION, w->root.data,
                                                  w->root.size, &problem),
                         0);
    w->collateral = collateral_of(w, w->files);
    w->policy = attest_policy_parse(policy, strlen(policy), &problem);
    if (!w->policy)
        fail_msg("%s", problem);
}

static void world_close(struct world *w)
{
    attest_policy_free(w->policy);
    attest_collateral_free(w->collateral);
    attest_verifier_free(w->verifier);
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        buffer_release(&w->files[i]);
    buffer_release(&w->root);
}

/* Judge, and compare with what is expected; a part of the summary may be named as well. */
static void expect(struct world *w, const struct buffer *quote, enum attest_verdict verdict,
                   const char *part)
{
    struct attest_request request = {.time = NOW + 3600};
    struct attest_answer *a = attest_verify(w->verifier, quote->data, quote->size, w->collateral,
                                            w->policy, &request);
    cleanup_free char *summary = attest_answer_summary(a);
    cleanup_free char *json = attest_answer_json(a);
    cleanup_free char *text = attest_answer_text(a);

    if (attest_answer_verdict(a) != verdict || (part && !strstr(summary, part)))
        fail_msg("%s", summary);
    assert_true(attest_answer_simulated(a) || verdict == ATTEST_NOT_GENUINE);
    attest_answer_free(a);
}

static void sign(unsigned version, unsigned type, struct buffer *out)
{
    cleanup_error struct error err = ERROR_INIT;
    union {
        struct sgx_report_body sgx;
        struct td_report td;
    } body = {.sgx = {.isv_svn = 2, .attributes = {.flags = 5, .xfrm = 3}}};

    memcpy(body.sgx.cpu_svn, g_cpu_svn, sizeof(g_cpu_svn));
    memset(body.sgx.mrenclave, 0xab, sizeof(body.sgx.mrenclave));
    if (type != QUOTE_BODY_SGX) {
        memset(&body, 0, sizeof(body));
        memset(body.td.mrtd, 0xab, sizeof(body.td.mrtd));
    }
    assert_int_equal(simulation_sign(g_simulation, version, type, &body, out, &err), 0);
}

/* ---- tests ---- */

static void every_form_is_accepted(void **state)
{
    static const struct {
        unsigned version, type;
    } forms[] = {{3, QUOTE_BODY_SGX},  {4, QUOTE_BODY_SGX},  {5, QUOTE_BODY_SGX},
                 {4, QUOTE_BODY_TD10}, {5, QUOTE_BODY_TD10}, {5, QUOTE_BODY_TD15}};

    for (size_t i = 0; i < array_count(forms); i++) {
        struct simulation_options options = {.now = NOW, .tdx = forms[i].type != QUOTE_BODY_SGX};
        cleanup_buffer struct buffer quote = BUFFER_INIT;
        struct world w;

        world_open(&w, &options, "{\"allow_simulation\": true}", true);
        sign(forms[i].version, forms[i].type, &quote);
        expect(&w, &quote, ATTEST_ACCEPTED, "SIMULATED");
        /* what follows a quote is not looked at */
        buffer_append(&quote, "\0\0\0", 3);
        expect(&w, &quote, ATTEST_ACCEPTED, NULL);
        world_close(&w);
    }
}

static void simulation_is_refused_by_default(void **state)
{
    struct simulation_options options = {.now = NOW};
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    struct world w;

    sign(3, QUOTE_BODY_SGX, &quote);
    world_open(&w, &options, "{}", true);
    expect(&w, &quote, ATTEST_SIMULATED, "software SGX");
    world_close(&w);
    /* allowed, but nobody named the machine's root */
    world_open(&w, &options, "{\"allow_simulation\": true}", false);
    expect(&w, &quote, ATTEST_NOT_GENUINE, "give the simulation root");
    world_close(&w);
}

/* A simulation root may not speak for a processor, nor Intel's kind of root for a simulation. */
static void roots_keep_apart(void **state)
{
    struct simulation_options options = {.now = NOW};
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    struct attest_verifier *v = attest_verifier_new();
    struct attest_request request = {.time = NOW};
    struct world w;

    world_open(&w, &options, "{\"allow_simulation\": true}", true);
    assert_int_equal(attest_verifier_add_root(v, ATTEST_ROOT_INTEL, w.root.data, w.root.size, NULL),
                     0);
    sign(3, QUOTE_BODY_SGX, &quote);
    struct attest_answer *a = attest_verify(v, quote.data, quote.size, w.collateral, w.policy,
                                            &request);
    assert_int_equal(attest_answer_verdict(a), ATTEST_NOT_GENUINE);
    attest_answer_free(a);
    attest_verifier_free(v);
    world_close(&w);
}

static void statuses_and_revocations(void **state)
{
    static const struct {
        struct simulation_options options;
        const char *policy;
        enum attest_verdict verdict;
        const char *part;
    } rows[] = {
        {{.revoke_pck = true}, "", ATTEST_NOT_GENUINE, "the PCK certificate"},
        {{.revoke_ca = true}, "", ATTEST_NOT_GENUINE, "the PCK CA's certificate"},
        {{.tcb_status = "SWHardeningNeeded"}, "", ATTEST_BAD_TCB, "SWHardeningNeeded"},
        {{.tcb_status = "SWHardeningNeeded"},
         ", \"tcb_status\": [\"SWHardeningNeeded\"]",
         ATTEST_ACCEPTED,
         NULL},
        {{.tcb_status = "Revoked"}, "", ATTEST_BAD_TCB, "Revoked"},
        {{.qe_status = "OutOfDate"}, "", ATTEST_BAD_TCB, "OutOfDate"},
        {{.qe_status = "Revoked"}, "", ATTEST_BAD_TCB, "Revoked"},
        {{.qe_status = "ConfigurationNeeded"}, "", ATTEST_BAD_TCB, "OutOfDate"},
        {{.qe_status = "SWHardeningNeeded"},
         ", \"tcb_status\": [\"UpToDate\", \"SWHardeningNeeded\"]",
         ATTEST_BAD_TCB,
         "OutOfDate"},
        {{.tcb_status = "ConfigurationNeeded", .qe_status = "OutOfDate"},
         "",
         ATTEST_BAD_TCB,
         "OutOfDateConfigurationNeeded"},
        {{.raise_component = 1},
         "",
         ATTEST_BAD_TCB,
         "SGX component 1 (simulation) has 0 and needs 1"},
        {{.raise_component = 3}, "", ATTEST_BAD_TCB, "SGX component 3 has 0 and needs 1"},
        {{.raise_component = 3},
         ", \"tcb_grace\": {\"OutOfDate\": \"2025-12-02\"}",
         ATTEST_ACCEPTED,
         NULL},
        {{.raise_component = 3},
         ", \"tcb_grace\": {\"OutOfDate\": \"2025-11-30\"}",
         ATTEST_BAD_TCB,
         "OutOfDate"},
        {{.tdx = true}, "", ATTEST_BAD_COLLATERAL, "of TDX, the quote of SGX"},
        {{.now = -40 * 86400}, "", ATTEST_BAD_COLLATERAL, "expired"},
        {{.now = 10 * 86400}, "", ATTEST_BAD_COLLATERAL, "is valid from"},
        {{.now = -40 * 86400}, ", \"allow_expired_collateral\": true", ATTEST_ACCEPTED, NULL},
        {{.now = 0}, ", \"isv_svn_min\": 3", ATTEST_NOT_EXPECTED, "it is 2"},
        {{.now = 0}, ", \"isv_svn_min\": 2, \"isv_svn_max\": 2", ATTEST_ACCEPTED, NULL},
        {{.now = 0},
         ", \"attributes\": "
         "\"05000000000000000000000000000000/37000000000000000000000000000000\"",
         ATTEST_ACCEPTED,
         NULL},
        {{.now = 0},
         ", \"attributes\": "
         "\"15000000000000000000000000000000/37000000000000000000000000000000\"",
         ATTEST_NOT_EXPECTED,
         NULL},
        {{.now = 0}, ", \"cpusvn\": \"0000000000000000454d554c41544544\"", ATTEST_ACCEPTED, NULL},
    };
    cleanup_buffer struct buffer quote = BUFFER_INIT;

    sign(3, QUOTE_BODY_SGX, &quote);
    for (size_t i = 0; i < array_count(rows); i++) {
        cleanup_free char *policy = xasprintf("{\"allow_simulation\": true%s}", rows[i].policy);
        struct simulation_options options = rows[i].options;
        struct world w;

        options.now += NOW;
        world_open(&w, &options, policy, true);
        expect(&w, &quote, rows[i].verdict, rows[i].part);
        world_close(&w);
    }
}

static void changed_bytes_are_noticed(void **state)
{
    struct simulation_options options = {.now = NOW};
    struct attest_request request = {.time = NOW};
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    struct world w;

    world_open(&w, &options, "{\"allow_simulation\": true}", true);
    sign(4, QUOTE_BODY_SGX, &quote);
    /* Chain and QE report are known from here on. */
    expect(&w, &quote, ATTEST_ACCEPTED, NULL);
    for (size_t at = 0; at < quote.size; at++) {
        quote.data[at] ^= 1;
        struct attest_answer *a = attest_verify(w.verifier, quote.data, quote.size, w.collateral,
                                                w.policy, &request);
        if (attest_answer_verdict(a) == ATTEST_ACCEPTED)
            fail_msg("byte %zu of the quote can be changed", at);
        attest_answer_free(a);
        quote.data[at] ^= 1;
    }
    for (unsigned part = 0; part < ATTEST_PCK_CHAIN; part++)
        for (size_t at = 0; at < w.files[part].size; at += 1 + at % 3) {
            w.files[part].data[at] ^= 1;
            struct attest_collateral *c = collateral_of(&w, w.files);
            struct attest_answer *a = attest_verify(w.verifier, quote.data, quote.size, c, w.policy,
                                                    &request);
            if (attest_answer_verdict(a) == ATTEST_ACCEPTED)
                fail_msg("byte %zu of %s can be changed", at,
                         attest_file_name((enum attest_file)part));
            attest_answer_free(a);
            attest_collateral_free(c);
            w.files[part].data[at] ^= 1;
        }
    expect(&w, &quote, ATTEST_ACCEPTED, NULL);
    world_close(&w);
}

/* Certification data that is no chain: it must be of the platform whose chain is given. */
static void chains_from_elsewhere(void **state)
{
    static const struct {
        unsigned type, size;
        enum attest_verdict verdict;
    } rows[] = {{1, 36, ATTEST_ACCEPTED},     {1, 35, ATTEST_NOT_GENUINE},
                {2, 276, ATTEST_ACCEPTED},    {3, 404, ATTEST_ACCEPTED},
                {3, 276, ATTEST_NOT_GENUINE}, {4, 100, ATTEST_NOT_GENUINE}};
    struct simulation_options options = {.now = NOW};
    cleanup_buffer struct buffer signed_quote = BUFFER_INIT;
    struct quote parsed;
    struct world w;

    world_open(&w, &options, "{\"allow_simulation\": true}", true);
    sign(3, QUOTE_BODY_SGX, &signed_quote);
    assert_int_equal(quote_parse(span_of(signed_quote.data, signed_quote.size), &parsed, NULL), 0);
    size_t at = (size_t)((const char *)parsed.certification.data - signed_quote.data) - 6;
    for (size_t i = 0; i < array_count(rows); i++) {
        cleanup_buffer struct buffer quote = BUFFER_INIT;
        uint8_t data[404] = {0};
        uint32_t rest = (uint32_t)(at - 48 - 384 - 4 + 6 + rows[i].size);

        if (rows[i].type == 1)
            memcpy(data, signed_quote.data + 28, 16); /* the PPID, as the header has it */
        buffer_append(&quote, signed_quote.data, at);
        memcpy(quote.data + 48 + 384, &rest, 4);
        buffer_append(&quote, &(uint16_t){(uint16_t)rows[i].type}, 2);
        buffer_append(&quote, &rows[i].size, 4);
        buffer_append(&quote, data, rows[i].size);
        expect(&w, &quote, rows[i].verdict, NULL);
    }
    world_close(&w);
}

/* From EREPORT in an emulated enclave to an accepted quote; other reports are not quoted. */
static void an_enclave_is_quoted(void)
{
    const struct sgx_load_options load = {.kss = true, .config_id = {1, 2, 3}};
    struct simulation_options options = {.now = NOW};
    cleanup_error struct error err = ERROR_INIT;
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    struct sgx_enclave *enclave;
    struct sgx_targetinfo target;
    uint8_t data[64] = "nonce of a verifier";
    struct sgx_report report;
    struct sgx_enclave_run run;
    struct world w;

    assert_int_equal(harness_load(UINT64_MAX, 0, &load, &enclave, &err), 0);
    simulation_target_info(g_simulation, &target);
    struct test_call call = {TEST_REPORT, (uint64_t)&target, (uint64_t)data, (uint64_t)&report};
    assert_int_equal(harness_enter(enclave, 0, SGX_EENTER, &call, &run), SGX_EEXIT);
    assert_int_equal(simulation_quote(g_simulation, &report, &quote, &err), 0);

    world_open(&w, &options, "{\"allow_simulation\": true}", true);
    expect(&w, &quote, ATTEST_ACCEPTED, NULL);
    struct attest_request request = {.time = NOW, .nonce = data, .nonce_size = 64};
    struct attest_answer *a = attest_verify(w.verifier, quote.data, quote.size, w.collateral,
                                            w.policy, &request);
    size_t size;
    assert_int_equal(attest_answer_verdict(a), ATTEST_ACCEPTED);
    assert_memory_equal(attest_answer_field(a, "mrenclave", &size), enclave->mrenclave, 32);
    assert_int_equal(size, 32);
    assert_null(attest_answer_field(a, "mrtd", &size));
    attest_answer_free(a);
    world_close(&w);

    report.body.isv_svn++;
    assert_int_equal(simulation_quote(g_simulation, &report, &quote, &err), -EPERM);
    target.mrenclave[0] ^= 1;
    assert_int_equal(harness_enter(enclave, 0, SGX_EENTER, &call, &run), SGX_EEXIT);
    assert_int_equal(simulation_quote(g_simulation, &report, &quote, &err), -EPERM);
    sgx_enclave_free(enclave);
}

/* Many threads with one verifier, and more platforms than it remembers. */
struct crowd {
    struct world *world;
    const struct buffer *quote;
    unsigned wrong;
};

static void *judge_often(void *arg)
{
    struct crowd *c = arg;
    struct attest_request request = {.time = NOW};

    for (unsigned i = 0; i < 200; i++) {
        struct attest_answer *a = attest_verify(c->world->verifier, c->quote->data, c->quote->size,
                                                c->world->collateral, c->world->policy, &request);
        c->wrong += attest_answer_verdict(a) != ATTEST_ACCEPTED;
        attest_answer_free(a);
        if (i % 50 == 0)
            attest_verifier_forget_chains(c->world->verifier);
    }
    return NULL;
}

static void threads_share_a_verifier(void **state)
{
    struct simulation_options options = {.now = NOW};
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    struct world w;
    struct crowd crowd[4];
    pthread_t threads[4];

    world_open(&w, &options, "{\"allow_simulation\": true}", true);
    sign(3, QUOTE_BODY_SGX, &quote);
    for (unsigned i = 0; i < array_count(threads); i++) {
        crowd[i] = (struct crowd){&w, &quote, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, judge_often, &crowd[i]), 0);
    }
    for (unsigned i = 0; i < array_count(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(crowd[i].wrong, 0);
    }
    world_close(&w);
}

static void bad_policies_are_errors(void **state)
{
    static const char *const policies[] = {
        "",
        "[]",
        "{\"mrenclave\": 1}",
        "{\"mrenclave\": \"00\"}",
        "{\"mrenclave\": []}",
        "{\"mrenclave\": \"zz\"}",
        "{\"mrenclav\": \"00\"}",
        "{\"cpusvn\": \"00000000000000000000000000000001/00000000000000000000000000000000\"}",
        "{\"cpusvn\": \"00000000000000000000000000000001/00\"}",
        "{\"isv_svn_min\": -1}",
        "{\"isv_svn_min\": \"1\"}",
        "{\"mrenclave_min\": 1}",
        "{\"tcb_status\": [\"Revoked\"]}",
        "{\"tcb_status\": [\"NotSupported\"]}",
        "{\"tcb_status\": \"UpToDate\"}",
        "{\"tcb_grace\": {\"OutOfDate\": \"2025-13-01\"}}",
        "{\"allow_debug\": 1}",
        "{\"allow_debug\": true, \"allow_debug\": false}",
        "{\"user_data\": \"0\"}",
        "{\"collateral_age_max_days\": 0}",
    };

    for (size_t i = 0; i < array_count(policies); i++) {
        char *problem = NULL;
        if (attest_policy_parse(policies[i], strlen(policies[i]), &problem))
            fail_msg("%s is a policy", policies[i]);
        assert_non_null(problem);
        free(problem);
    }
}

/* Too deep, too much, too long: an answer, soon. */
static void bombs_are_defused(void **state)
{
    static const struct {
        enum attest_file file;
        const char *head, *repeated;
        unsigned times;
    } rows[] = {
        {ATTEST_TCB_INFO, "{\"x\":", "[", 3000000},
        {ATTEST_TCB_INFO, "", "{\"tcbInfo\":", 300000},
        {ATTEST_QE_IDENTITY, "{\"enclaveIdentity\":{\"tcbLevels\":[",
         "{\"tcb\":{\"isvsvn\":1},\"tcbDate\":\"2024-01-01\",\"tcbStatus\":\"UpToDate\"},", 40000},
        {ATTEST_QE_IDENTITY, "{\"x\":", "9", 3000000},
        {ATTEST_TCB_INFO_CHAIN, "",
         "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 40000},
        {ATTEST_PCK_CRL, "", "30", 1000000},
        {ATTEST_ROOT_CRL, "\x30\x83\xff\xff\xff", "\x30\x83\xff\xff\xff", 500000},
    };
    struct simulation_options options = {.now = NOW};
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    char *problem = NULL;
    struct world w;

    world_open(&w, &options, "{\"allow_simulation\": true}", true);
    sign(3, QUOTE_BODY_SGX, &quote);
    for (size_t i = 0; i < array_count(rows); i++) {
        struct buffer kept = w.files[rows[i].file];
        struct buffer bomb = BUFFER_INIT;

        buffer_append_text(&bomb, rows[i].head);
        for (unsigned n = 0; n < rows[i].times; n++)
            buffer_append_text(&bomb, rows[i].repeated);
        attest_collateral_free(w.collateral);
        w.files[rows[i].file] = bomb;
        w.collateral = collateral_of(&w, w.files);
        expect(&w, &quote, ATTEST_BAD_COLLATERAL, NULL);
        w.files[rows[i].file] = kept;
        if (rows[i].file == ATTEST_TCB_INFO)
            assert_null(attest_policy_parse(bomb.data, 1 << 19, &problem));
        free(problem);
        problem = NULL;
        buffer_release(&bomb);
    }
    buffer_reserve(&quote, 1 << 22);
    quote.size = 1 << 22;
    expect(&w, &quote, ATTEST_NOT_GENUINE, "too many");
    world_close(&w);
}

static int set_up(void **state)
{
    struct error err = ERROR_INIT;

    if (harness_open() < 0)
        return -1;
    if (simulation_open(&g_simulation, &err) < 0) {
        print_error("%s\n", error_text(&err));
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    simulation_free(g_simulation);
    return harness_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_accepted),
        cmocka_unit_test(simulation_is_refused_by_default),
        cmocka_unit_test(roots_keep_apart),
        cmocka_unit_test(statuses_and_revocations),
        cmocka_unit_test(changed_bytes_are_noticed),
        cmocka_unit_test(chains_from_elsewhere),
        cmocka_unit_test(threads_share_a_verifier),
        cmocka_unit_test(bad_policies_are_errors),
        cmocka_unit_test(bombs_are_defused),
        EMULATED(an_enclave_is_quoted),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
