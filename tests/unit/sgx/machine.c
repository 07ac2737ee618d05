/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lesser machines of the emulator, one a run: meson gives RUNE_SGX_EMULATOR_EPC or
 * RUNE_SGX_EMULATOR_FEATURES and the name of the group. The EPC is 4 MiB; of each test enclave 1
 * MiB stays in it, 64 TCS with their SSA frames.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sgx/emulator/emulator.h"

#define RW      (SGX_SECINFO_R | SGX_SECINFO_W)
#define PENDING (RW | SGX_SECINFO_PENDING | SGX_SECINFO_TYPE(SGX_PT_REG))
#define MANY    2048u /* pages: twice the EPC */

static int load(int sites, bool kss, struct sgx_enclave **out, struct error *err)
{
    const struct sgx_load_options options = {.debug = true, .kss = kss};

    return harness_load(sites ? 0 : UINT64_MAX, sites, &options, out, err);
}

static struct sgx_enclave *loaded(int sites)
{
    struct error err = ERROR_INIT;
    struct sgx_enclave *e = NULL;

    if (load(sites, false, &e, &err) < 0)
        fail_msg("%s", error_text(&err));
    return e;
}

static int call(struct sgx_enclave *e, unsigned slot, struct test_call *c,
                struct sgx_enclave_run *run)
{
    return harness_enter(e, slot, SGX_EENTER, c, run);
}

static uint64_t ok_call(struct sgx_enclave *e, enum test_command command, uint64_t a, uint64_t b,
                        uint64_t c)
{
    struct test_call t = {command, a, b, c, 0, 0};
    struct sgx_enclave_run run;

    assert_int_equal(call(e, 0, &t, &run), SGX_EEXIT);
    return t.result;
}

static uint64_t hole(const struct sgx_enclave *e, unsigned page)
{
    return e->base + TEST_HOLE + page * SGX_PAGE_SIZE;
}

/* ---- EPC with room behind it ---- */

static void pages_come_back(void)
{
    struct emu_epc_stats before, after;
    struct sgx_enclave *e = loaded(0);

    emu_epc_stats(&before);
    assert_int_equal(ok_call(e, TEST_ACCEPT_MANY, hole(e, 0), 0, MANY), 0);
    for (unsigned i = 0; i < MANY; i++)
        ok_call(e, TEST_WRITE, hole(e, i), i * 7 + 1, 0);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(ok_call(e, TEST_READ, hole(e, i), 0, 0), i * 7 + 1);
    emu_epc_stats(&after);
    assert_true(after.used <= after.size);
    assert_true(after.backed >= MANY - after.size);
    assert_true(after.written - before.written >= 2 * (MANY - after.size));
    assert_true(after.loaded - before.loaded >= MANY - after.size);
    sgx_enclave_free(e);
    emu_epc_stats(&after);
    assert_int_equal(after.used, 0);
    assert_int_equal(after.backed, 0);
}

/* What was taken away from a page stays away when it comes back, and a removed page is new. */
static void states_come_back(void)
{
    struct sgx_enclave_restrict_permissions restrict_ = {
        .offset = TEST_HOLE, .length = SGX_PAGE_SIZE, .permissions = SGX_SECINFO_R};
    struct sgx_enclave_modify_types trim = {
        .offset = TEST_HOLE, .length = SGX_PAGE_SIZE, .page_type = SGX_PT_TRIM};
    struct sgx_enclave_remove_pages gone = {.offset = TEST_HOLE, .length = SGX_PAGE_SIZE};
    struct sgx_enclave *e = loaded(0);
    struct test_call write = {TEST_WRITE, hole(e, 0), 9, 0, 0, 0},
                     look = {TEST_SKIP, 3, 0, 0, 0, 0};
    struct sgx_enclave_run run;

    ok_call(e, TEST_ACCEPT, hole(e, 0), PENDING, 0);
    ok_call(e, TEST_WRITE, hole(e, 0), 5, 0);
    ok_call(e, TEST_ACCEPT_MANY, hole(e, 1), 0, MANY - 1);
    assert_int_equal(g_driver->restrict_permissions(e->handle, &restrict_, NULL), 0);
    assert_int_equal(ok_call(e, TEST_ACCEPT, hole(e, 0),
                             SGX_SECINFO_R | SGX_SECINFO_PR | SGX_SECINFO_TYPE(SGX_PT_REG), 0),
                     0);
    for (unsigned i = 1; i < MANY; i++)
        ok_call(e, TEST_WRITE, hole(e, i), i, 0);
    assert_int_equal(ok_call(e, TEST_READ, hole(e, 0), 0, 0), 5);
    assert_int_equal(harness_enter(e, 0, SGX_EENTER, &write, &run), SGX_ERESUME);
    assert_int_equal(run.exception_error_code & X86_PF_SGX, X86_PF_SGX);
    assert_int_equal(harness_enter(e, 0, SGX_EENTER, &look, &run), SGX_EEXIT);
    assert_int_equal(harness_enter(e, 0, SGX_ERESUME, &write, &run), SGX_EEXIT);
    ok_call(e, TEST_ACCEPT_MANY, hole(e, 1), 0, MANY - 1); /* mismatches, but loads them */
    assert_int_equal(g_driver->modify_types(e->handle, &trim, NULL), 0);
    assert_int_equal(ok_call(e, TEST_ACCEPT, hole(e, 0),
                             SGX_SECINFO_MODIFIED | SGX_SECINFO_TYPE(SGX_PT_TRIM), 0),
                     0);
    assert_int_equal(g_driver->remove_pages(e->handle, &gone, NULL), 0);
    assert_int_equal(ok_call(e, TEST_ACCEPT, hole(e, 0), PENDING, 0), 0);
    assert_int_equal(ok_call(e, TEST_READ, hole(e, 0), 0, 0), 0);
    sgx_enclave_free(e);
}

static void enclaves_share_it(void)
{
    struct sgx_enclave *first = loaded(0), *second = loaded(0);
    struct sgx_enclave *both[] = {first, second};

    for (unsigned k = 0; k < 2; k++) {
        assert_int_equal(ok_call(both[k], TEST_ACCEPT_MANY, hole(both[k], 0), 0, 300), 0);
        for (unsigned i = 0; i < 300; i++)
            ok_call(both[k], TEST_WRITE, hole(both[k], i), i + 1000 * k, 0);
    }
    for (unsigned i = 0; i < 300; i++)
        for (unsigned k = 0; k < 2; k++)
            assert_int_equal(ok_call(both[k], TEST_READ, hole(both[k], i), 0, 0), i + 1000 * k);
    sgx_enclave_free(first);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(ok_call(second, TEST_READ, hole(second, i), 0, 0), i + 1000);
    sgx_enclave_free(second);
}

/* ---- threads, which take each other's stacks and code away all the time ---- */

struct worker {
    struct sgx_enclave *e;
    unsigned slot;
    uint64_t bad;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct sgx_enclave_run run;

    for (unsigned i = 0; i < MANY / 4; i++) {
        const uint64_t page = hole(w->e, w->slot * (MANY / 4) + i);
        struct test_call add = {TEST_SITE_ADD, page, i, 1, 0, 0};
        struct test_call write = {TEST_WRITE | TEST_BY_SITE, page, page ^ 5, 0, 0, 0};
        w->bad += call(w->e, w->slot, &add, &run) != SGX_EEXIT || add.result != page + i;
        w->bad += call(w->e, w->slot, &write, &run) != SGX_EEXIT;
    }
    for (unsigned i = 0; i < MANY / 4; i++) {
        const uint64_t page = hole(w->e, w->slot * (MANY / 4) + i);
        struct test_call read = {TEST_READ | TEST_BY_SITE, page, 0, 0, 0, 0};
        w->bad += call(w->e, w->slot, &read, &run) != SGX_EEXIT || read.result != (page ^ 5);
    }
    return NULL;
}

static void threads_share_it(void)
{
    struct sgx_enclave *e = loaded(1);
    struct worker workers[4];
    pthread_t threads[4];

    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){e, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].bad, 0);
    }
    sgx_enclave_free(e);
}

/* ---- EPC without ---- */

static void ends_with_a_message(void)
{
    struct error err = ERROR_INIT;
    struct sgx_enclave *e = loaded(0), *more = NULL, *third = NULL;
    struct test_call accept = {TEST_ACCEPT_MANY, hole(e, 0), 0, MANY, 0, 0};
    struct sgx_enclave_run run;

    /* on demand there is nothing to say it with but the fault of a page that is not there */
    assert_int_equal(call(e, 0, &accept, &run), SGX_ERESUME);
    assert_int_equal(run.exception_vector, X86_PF);
    assert_int_equal(run.exception_error_code & X86_PF_PRESENT, 0);
    assert_int_equal(load(0, false, &more, &err), -ENOMEM);
    assert_non_null(strstr(error_text(&err), "RUNE_SGX_EMULATOR_EPC"));
    error_release(&err);
    sgx_enclave_free(e);
    assert_int_equal(load(0, false, &third, &err), 0);
    sgx_enclave_free(third);
}

/* ---- SGX1, no KSS ---- */

static uint8_t fault_of(struct sgx_enclave *e, unsigned slot, enum test_command command, uint64_t a,
                        uint64_t b)
{
    struct test_call c = {command, a, b, 0, 0, 0};
    struct sgx_enclave_run run;

    assert_int_equal(call(e, slot, &c, &run), SGX_ERESUME);
    return (uint8_t)run.exception_vector;
}

static void has_no_sgx2(void)
{
    struct sgx_enclave *e = loaded(0);
    struct sgx_enclave_restrict_permissions restrict_ = {
        .offset = TEST_DATA, .length = SGX_PAGE_SIZE, .permissions = SGX_SECINFO_R};
    struct sgx_enclave_modify_types trim = {
        .offset = TEST_DATA, .length = SGX_PAGE_SIZE, .page_type = SGX_PT_TRIM};
    struct sgx_enclave_remove_pages gone = {.offset = TEST_DATA, .length = SGX_PAGE_SIZE};

    assert_false(g_driver->sgx2);
    assert_int_equal(g_driver->restrict_permissions(e->handle, &restrict_, NULL), -ENODEV);
    assert_int_equal(g_driver->modify_types(e->handle, &trim, NULL), -ENODEV);
    assert_int_equal(g_driver->remove_pages(e->handle, &gone, NULL), -ENODEV);
    assert_int_equal(fault_of(e, 0, TEST_ACCEPT, e->base + TEST_DATA, PENDING), X86_GP);
    assert_int_equal(fault_of(e, 1, TEST_EXTEND, e->base + TEST_DATA, SGX_SECINFO_X), X86_GP);
    assert_int_equal(fault_of(e, 2, TEST_WRITE, hole(e, 0), 1), X86_PF);
    assert_int_equal(fault_of(e, 3, TEST_ENCLU, SGX_EDECCSSA, 0), X86_GP);
    ok_call(e, TEST_WRITE, e->base + TEST_DATA + SGX_PAGE_SIZE, 3, 0);
    assert_int_equal(ok_call(e, TEST_READ, e->base + TEST_DATA + SGX_PAGE_SIZE, 0, 0), 3);
    sgx_enclave_free(e);

    if (!g_driver->emulated)
        return;
    e = loaded(1); /* the same from a rewritten site */
    struct test_call add = {TEST_SITE_ADD, e->base + TEST_DATA, 0, 1, 0, 0};
    struct sgx_enclave_run run;
    assert_int_equal(call(e, 0, &add, &run), SGX_ERESUME);
    assert_int_equal(run.exception_vector, X86_GP);
    sgx_enclave_free(e);
}

static void has_no_kss(void)
{
    struct sgx_targetinfo target = {0};
    struct error err = ERROR_INIT;
    struct sgx_enclave *e = NULL;
    struct sgx_report report;
    uint8_t data[64] = {1};

    assert_false(g_driver->kss);
    g_test_attributes = SGX_ATTR_AEX_NOTIFY;
    assert_int_equal(load(0, false, &e, &err), -ENODEV);
    error_release(&err);
    g_test_attributes = 0;
    assert_int_equal(load(0, true, &e, &err), -EINVAL);
    error_release(&err);
    e = loaded(0);
    ok_call(e, TEST_REPORT, (uint64_t)&target, (uint64_t)data, (uint64_t)&report);
    assert_int_equal(report.body.attributes.flags & SGX_ATTR_KSS, 0);
    /* policies of KSS are #GP without it */
    struct sgx_keyrequest q = {.key_name = SGX_KEY_SEAL, .key_policy = SGX_POLICY_CONFIGID};
    struct test_call key = {TEST_KEY, (uint64_t)&q, 0, (uint64_t)data, 0, 0};
    struct sgx_enclave_run run;
    assert_int_equal(call(e, 1, &key, &run), SGX_ERESUME);
    assert_int_equal(run.exception_vector, X86_GP);
    sgx_enclave_free(e);
}

static int setup(void **state)
{
    return harness_open();
}

static int teardown(void **state)
{
    return harness_close();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest epc[] = {TEST(pages_come_back), TEST(states_come_back),
                                     TEST(enclaves_share_it), TEST(threads_share_it)};
    const struct CMUnitTest hard[] = {TEST(ends_with_a_message)};
    const struct CMUnitTest sgx1[] = {TEST(has_no_sgx2), TEST(has_no_kss)};
    const char *group = argc > 1 ? argv[1] : "";

    if (strcmp(group, "epc") == 0)
        return cmocka_run_group_tests(epc, setup, teardown);
    if (strcmp(group, "epc-hard") == 0)
        return cmocka_run_group_tests(hard, setup, teardown);
    if (strcmp(group, "sgx1") == 0)
        return cmocka_run_group_tests(sgx1, setup, teardown);
    fprintf(stderr, "usage: %s epc|epc-hard|sgx1\n", argv[0]);
    return 2;
}
