/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processor refuses, of the host and of the enclave, by the SDM's operation sections of
 * the leaves (volume 3D, EENTER and so on): which fault, and that nothing has changed after it.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

#define RW           (SGX_SECINFO_R | SGX_SECINFO_W)
#define REG          SGX_SECINFO_TYPE(SGX_PT_REG)
#define PENDING      (RW | SGX_SECINFO_PENDING | REG)
#define MODIFIED_TCS (SGX_SECINFO_MODIFIED | SGX_SECINFO_TYPE(SGX_PT_TCS))
#define NOWHERE      0x8000000000000000ull /* not canonical */
#define TF           0x100

static struct sgx_enclave *g_enclave;

static int setup(void **state)
{
    const struct sgx_load_options options = {.debug = true, .kss = true};
    struct error err = ERROR_INIT;

    return harness_open() < 0 || harness_load(UINT64_MAX, 0, &options, &g_enclave, &err) < 0 ? -1
                                                                                             : 0;
}

static int teardown(void **state)
{
    sgx_enclave_free(g_enclave);
    return harness_close();
}

static uint64_t ok(unsigned slot, enum test_command command, uint64_t a, uint64_t b, uint64_t c)
{
    struct test_call call = {command, a, b, c, 0, 0};
    struct sgx_enclave_run run;

    assert_int_equal(harness_enter(g_enclave, slot, SGX_EENTER, &call, &run), SGX_EEXIT);
    return call.result;
}

/* A call that faults at an instruction of `size` bytes, which is skipped then. The vector. */
static unsigned faults(enum test_command command, uint64_t a, uint64_t b, uint64_t c, uint64_t size)
{
    struct test_call call = {command, a, b, c, 0, 0}, skip = {TEST_SKIP, size, 0, 0, 0, 0};
    struct sgx_enclave_run run, other;

    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &call, &run), SGX_ERESUME);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &skip, &other), SGX_EEXIT);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_ERESUME, &call, &other), SGX_EEXIT);
    return run.exception_vector;
}

/* Enter by a TCS of the host's choice: the vector that the leaf faults with. */
static unsigned entry_fault(unsigned leaf, uint64_t tcs)
{
    struct test_call call = {TEST_ADD};
    struct sgx_enclave_run run = {.tcs = tcs};

    assert_int_equal(g_driver->enter((unsigned long)&call, 0, 0, leaf, 0, 0, &run), 0);
    assert_int_equal(run.function, leaf);
    if (run.exception_vector == X86_PF)
        assert_int_equal(run.exception_addr, tcs & ~(SGX_PAGE_SIZE - 1));
    return run.exception_vector;
}

/* ---- entries ---- */

static void entries_by_what_is_no_tcs(void)
{
    static uint8_t page[4096] __attribute__((aligned(4096)));

    for (unsigned leaf = SGX_EENTER; leaf <= SGX_ERESUME; leaf++) {
        assert_int_equal(entry_fault(leaf, g_enclave->tcs[0] + 8), X86_GP);
        assert_int_equal(entry_fault(leaf, (uint64_t)page + 8), X86_GP);
        assert_int_equal(entry_fault(leaf, (uint64_t)page), X86_PF);
        assert_int_equal(entry_fault(leaf, 0x7ffffff0000ull), X86_PF);
        assert_int_equal(entry_fault(leaf, g_enclave->base + TEST_DATA), X86_PF);
        assert_int_equal(entry_fault(leaf, g_enclave->base + TEST_HOLE + 0x400000), X86_PF);
    }
    assert_int_equal(entry_fault(SGX_ERESUME, g_enclave->tcs[0]), X86_GP); /* CSSA is 0 */
    assert_int_equal(ok(0, TEST_ADD, 1, 2, 0), 3);
}

static volatile uint64_t g_flag;

static void *spin(void *arg)
{
    g_flag = 0;
    ok(1, TEST_SPIN, (uint64_t)&g_flag, 0, 0);
    return NULL;
}

static void entries_by_a_tcs_in_use(void)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, spin, NULL), 0);
    usleep(100000);
    assert_int_equal(entry_fault(SGX_EENTER, g_enclave->tcs[1]), X86_GP);
    assert_int_equal(entry_fault(SGX_ERESUME, g_enclave->tcs[1]), X86_GP);
    g_flag = 1;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(ok(1, TEST_ADD, 1, 2, 0), 3);
}

/* As many exceptions as there are frames; the next entry has no frame to leave by. */
static void entries_without_a_frame(void)
{
    struct test_call call = {TEST_UD2}, skip = {TEST_SKIP, 2};
    struct sgx_enclave_run run;

    for (unsigned cssa = 0; cssa < TEST_NSSA; cssa++) {
        assert_int_equal(harness_enter(g_enclave, 2, SGX_EENTER, &call, &run), SGX_ERESUME);
        assert_int_equal(run.exception_vector, X86_UD);
        assert_int_equal(call.cssa, cssa);
    }
    assert_int_equal(entry_fault(SGX_EENTER, g_enclave->tcs[2]), X86_GP);
    /* the innermost is still there, and raises its exception again */
    assert_int_equal(harness_enter(g_enclave, 2, SGX_ERESUME, &skip, &run), SGX_ERESUME);
    assert_int_equal(run.exception_vector, X86_UD);
}

/* What the enclave wrote to the frame that is to be resumed; a refused one stays as it was. */
static void frames_that_cannot_be_resumed(void)
{
    const uint64_t frame = g_enclave->base + TEST_SSA(0);
    const uint64_t gpr = frame + SGX_PAGE_SIZE - sizeof(struct sgx_ssa_gpr);
    const struct {
        uint64_t address, value;
    } bad[] = {
        {frame + 512, 1ull << 63}, /* XSTATE_BV beyond XFRM */
        {frame + 520, 1},          /* XCOMP_BV */
        {frame + 528, 1},          /* the header's reserved bytes */
        {frame + 24, 0xffffffff},  /* MXCSR */
        {gpr + offsetof(struct sgx_ssa_gpr, rip), NOWHERE},
        {gpr + offsetof(struct sgx_ssa_gpr, fsbase), NOWHERE},
        {gpr + offsetof(struct sgx_ssa_gpr, gsbase), NOWHERE},
    };
    struct test_call call = {TEST_UD2}, skip = {TEST_SKIP, 2};
    struct sgx_enclave_run run;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &call, &run), SGX_ERESUME);
        const uint64_t before = ok(0, TEST_READ, bad[i].address, 0, 0);
        ok(0, TEST_WRITE, bad[i].address, bad[i].value, 0);
        assert_int_equal(entry_fault(SGX_ERESUME, g_enclave->tcs[0]), X86_GP);
        ok(0, TEST_WRITE, bad[i].address, before, 0);
        assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &skip, &run), SGX_EEXIT);
        assert_int_equal(skip.cssa, 1);
        assert_int_equal(harness_enter(g_enclave, 0, SGX_ERESUME, &call, &run), SGX_EEXIT);
    }
}

/* ---- TF ---- */

static volatile int g_steps, g_steps_inside;

static void on_step(int signo, siginfo_t *info, void *context)
{
    const greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint64_t rip = (uint64_t)regs[REG_RIP];

    g_steps++;
    g_steps_inside += rip - g_enclave->base < TEST_SIZE || regs[REG_RAX] == SGX_ERESUME;
}

/* A host that steps itself sees an enclave as one instruction. */
static void steps_of_the_host_are_not_inside(void)
{
    struct sigaction act = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    struct test_call call = {TEST_ADD, 1, 2};
    struct sgx_enclave_run run = {.tcs = g_enclave->tcs[0]};

    assert_int_equal(g_driver->sigaction(SIGTRAP, &act, NULL), 0);
    g_steps = g_steps_inside = 0;
    __asm__ volatile("pushf\n\torl $0x100, (%%rsp)\n\tpopf" : : : "memory", "cc");
    int rc = g_driver->enter((unsigned long)&call, 0, 0, SGX_EENTER, 0, 0, &run);
    __asm__ volatile("pushf\n\tandl $~0x100, (%%rsp)\n\tpopf" : : : "memory", "cc");
    const int after = g_steps;
    assert_int_equal(rc, 0);
    assert_int_equal(call.result, 3);
    assert_true(after > 10);
    assert_int_equal(g_steps_inside, 0);
    act = (struct sigaction){.sa_handler = SIG_DFL};
    assert_int_equal(g_driver->sigaction(SIGTRAP, &act, NULL), 0);
}

static void enclaves_cannot_set_tf(void)
{
    assert_int_equal(ok(0, TEST_INSTRUCTION, TEST_POPF_TF, 0, 0) & TF, 0);
}

/* ---- leaves ---- */

static void exits_to_nowhere(void)
{
    assert_int_equal(faults(TEST_ENCLU, SGX_EEXIT, NOWHERE, 0, 3), X86_GP);
}

static void accepts_by_the_states_that_count(void)
{
    const uint64_t page = g_enclave->base + TEST_HOLE;
    const uint64_t pr = SGX_SECINFO_PR | REG;

    /* PR is not compared, with PENDING or alone */
    assert_int_equal(ok(0, TEST_ACCEPT, page, PENDING | SGX_SECINFO_PR, 0), 0);
    assert_int_equal(ok(0, TEST_ACCEPT, page, RW | pr, 0), 0);
    assert_int_equal(ok(0, TEST_ACCEPT, page, SGX_SECINFO_R | pr, 0), SGX_PAGE_ATTRIBUTES_MISMATCH);
    assert_int_equal(ok(0, TEST_ACCEPT, page, PENDING, 0), SGX_PAGE_ATTRIBUTES_MISMATCH);
    /* not what can be asked for */
    assert_int_equal(faults(TEST_ACCEPT, page, RW | REG, 0, 3), X86_GP);
    assert_int_equal(faults(TEST_ACCEPT, page, PENDING | SGX_SECINFO_MODIFIED, 0, 3), X86_GP);
    assert_int_equal(faults(TEST_ACCEPT, page, MODIFIED_TCS | SGX_SECINFO_PENDING, 0, 3), X86_GP);
    assert_int_equal(faults(TEST_ACCEPT, page, MODIFIED_TCS | SGX_SECINFO_PR, 0, 3), X86_GP);
    assert_int_equal(faults(TEST_ACCEPT, page, SGX_SECINFO_TYPE(SGX_PT_SECS), 0, 3), X86_GP);
    /* another enclave's page, and the host's */
    assert_int_equal(faults(TEST_ACCEPT, g_enclave->base + TEST_SIZE, PENDING, 0, 3), X86_GP);
}

/* A page of the enclave's making that the host turns into a TCS. */
static uint64_t make_tcs(const struct sgx_tcs *tcs)
{
    static uint64_t offset = TEST_HOLE + 0x100000;
    struct sgx_enclave_modify_types arg = {.length = SGX_PAGE_SIZE, .page_type = SGX_PT_TCS};
    const uint64_t *words = (const uint64_t *)tcs, page = g_enclave->base + (arg.offset = offset);

    offset += SGX_PAGE_SIZE;
    assert_int_equal(ok(0, TEST_ACCEPT, page, PENDING, 0), 0);
    for (unsigned i = 0; i < SGX_PAGE_SIZE / sizeof(*words); i++)
        if (words[i])
            ok(0, TEST_WRITE, page + 8 * i, words[i], 0);
    assert_int_equal(g_driver->modify_types(g_enclave->handle, &arg, NULL), 0);
    return page;
}

static void accepts_no_tcs_that_is_wrong(void)
{
    const struct sgx_tcs good = {.ossa = TEST_SSA(3), .nssa = TEST_NSSA};
    struct sgx_tcs bad[6];

    for (unsigned i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].flags = SGX_TCS_DBGOPTIN;
    bad[1].cssa = TEST_NSSA;
    bad[2].aep = 1;
    bad[3].state = 1;
    bad[4].prevssp = 8;
    bad[5].reserved[4000] = 1;
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(faults(TEST_ACCEPT, make_tcs(&bad[i]), MODIFIED_TCS, 0, 3), X86_GP);
    const uint64_t page = make_tcs(&good);
    assert_int_equal(entry_fault(SGX_EENTER, page), X86_PF); /* not accepted */
    assert_int_equal(ok(0, TEST_ACCEPT, page, MODIFIED_TCS, 0), 0);
    assert_int_equal(entry_fault(SGX_ERESUME, page), X86_GP);
}

/* EACCEPT lets these by, EENTER does not. */
static void enters_by_no_tcs_that_is_wrong(void)
{
    struct sgx_tcs bad[4];

    for (unsigned i = 0; i < 4; i++)
        bad[i] = (struct sgx_tcs){.ossa = TEST_SSA(3), .nssa = TEST_NSSA};
    bad[0].flags = 1ull << 5;
    bad[1].ossa += 8;
    bad[2].ofsbasgx = 16;
    bad[3].flags = SGX_TCS_AEXNOTIFY; /* which ATTRIBUTES do not have */
    for (unsigned i = 0; i < 4; i++) {
        const uint64_t page = make_tcs(&bad[i]);
        assert_int_equal(ok(0, TEST_ACCEPT, page, MODIFIED_TCS, 0), 0);
        assert_int_equal(entry_fault(SGX_EENTER, page), X86_GP);
    }
    struct sgx_tcs far = {.ossa = TEST_SIZE, .nssa = TEST_NSSA};
    const uint64_t page = make_tcs(&far);
    struct test_call call = {TEST_ADD};
    struct sgx_enclave_run run = {.tcs = page};
    assert_int_equal(ok(0, TEST_ACCEPT, page, MODIFIED_TCS, 0), 0);
    assert_int_equal(g_driver->enter((unsigned long)&call, 0, 0, SGX_EENTER, 0, 0, &run), 0);
    assert_int_equal(run.exception_vector, X86_PF); /* of the frame */
    assert_int_equal(run.exception_addr, g_enclave->base + TEST_SIZE);
}

static void reports_for_no_bad_target(void)
{
    struct sgx_targetinfo target = {0};
    uint8_t data[64] = {0};
    struct sgx_report report;
    uint8_t *const reserved[] = {&target.reserved1, &target.reserved2[7], &target.reserved3[383]};

    for (unsigned i = 0; i < 3; i++) {
        memset(&target, 0, sizeof(target));
        *reserved[i] = 1;
        assert_int_equal(
            faults(TEST_REPORT, (uint64_t)&target, (uint64_t)data, (uint64_t)&report, 3), X86_GP);
    }
}

static void no_configuration_without_kss(void)
{
    const struct sgx_load_options options = {.debug = true};
    struct sgx_keyrequest q = {.key_name = SGX_KEY_SEAL, .config_svn = 1};
    struct sgx_enclave *other = g_enclave;
    struct error err = ERROR_INIT;
    uint8_t key[16];

    assert_int_equal(harness_load(UINT64_MAX, 0, &options, &g_enclave, &err), 0);
    assert_int_equal(faults(TEST_KEY, (uint64_t)&q, 0, (uint64_t)key, 3), X86_GP);
    sgx_enclave_free(g_enclave);
    g_enclave = other;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EMULATED(entries_by_what_is_no_tcs),
        EMULATED(entries_by_a_tcs_in_use),
        EMULATED(entries_without_a_frame),
        EMULATED(frames_that_cannot_be_resumed),
        EMULATED(steps_of_the_host_are_not_inside),
        EMULATED(enclaves_cannot_set_tf),
        EMULATED(exits_to_nowhere),
        EMULATED(accepts_by_the_states_that_count),
        EMULATED(accepts_no_tcs_that_is_wrong),
        EMULATED(enters_by_no_tcs_that_is_wrong),
        EMULATED(reports_for_no_bad_target),
        EMULATED(no_configuration_without_kss),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
