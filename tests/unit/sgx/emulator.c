/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver, by a tiny enclave: entry, exit, exceptions, interrupts, keys, SGX2. The emulated
 * driver, or the one that SGX_TEST_DRIVER names.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <time.h>
#include <unistd.h>

#include "../../../abi/sgx_emulated.h"
#include "sgx/emulated.h"

static const uint8_t g_emulated_cpu_svn[16] = SGX_EMULATED_CPUSVN;
static struct sgx_enclave *g_enclave;

static void *g_unmapped;

static void map_it(int signo, siginfo_t *info, void *context)
{
    if (mprotect(g_unmapped, SGX_PAGE_SIZE, PROT_READ | PROT_WRITE) < 0)
        _exit(1);
}

/* A handler of the host for an exception, installed before there is any enclave, is still its. */
static int handler_from_before(void)
{
    const struct sigaction act = {.sa_sigaction = map_it, .sa_flags = SA_SIGINFO};

    g_unmapped = mmap(NULL, SGX_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return g_unmapped == MAP_FAILED ? -1 : g_driver->sigaction(SIGSEGV, &act, NULL);
}

static int setup(void **state)
{
    const struct sgx_load_options options = {.debug = true, .kss = true, .config_id = {1, 2, 3}};
    struct error err = ERROR_INIT;

    if (harness_open() < 0 || handler_from_before() < 0)
        return -1;
    if (harness_load(UINT64_MAX, 0, &options, &g_enclave, &err) < 0) {
        print_error("%s\n", error_text(&err));
        return -1;
    }
    *(volatile uint8_t *)g_unmapped = 1;
    return munmap(g_unmapped, SGX_PAGE_SIZE);
}

static int teardown(void **state)
{
    sgx_enclave_free(g_enclave);
    return harness_close();
}

static uint64_t ok_call(enum test_command command, uint64_t a, uint64_t b, uint64_t c)
{
    struct test_call call = {command, a, b, c, 0, 0};
    struct sgx_enclave_run run;

    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &call, &run), SGX_EEXIT);
    return call.result;
}

/* A call that ends in an exception, which is then skipped at CSSA 1 by adding `skip` to RIP. */
static struct test_call fault_call(enum test_command command, uint64_t a, uint64_t b, uint64_t skip,
                                   struct sgx_enclave_run *run)
{
    struct test_call call = {command, a, b, 0, 0, 0}, handler = {TEST_SKIP, skip, 0, 0, 0, 0};
    struct sgx_enclave_run other;

    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &call, run), SGX_ERESUME);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &handler, &other), SGX_EEXIT);
    assert_int_equal(handler.cssa, 1);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_ERESUME, &call, &other), SGX_EEXIT);
    return handler;
}

static void enters_and_leaves(void)
{
    struct test_call call = {TEST_ADD, 40, 2, 0, 0, 9};
    struct sgx_enclave_run run;

    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &call, &run), SGX_EEXIT);
    assert_int_equal(call.result, 42);
    assert_int_equal(call.cssa, 0);
    assert_int_equal(harness_enter(g_enclave, 0, 4, &call, &run), -EINVAL);
    run.reserved[3] = 1;
    run.tcs = g_enclave->tcs[0];
    assert_int_equal(g_driver->enter((unsigned long)&call, 0, 0, SGX_EENTER, 0, 0, &run), -EINVAL);
}

static void has_its_own_bases(void)
{
    struct test_call call = {TEST_BASES};
    struct sgx_enclave_run run;
    uint64_t fs, after;

    __asm__ volatile("rdfsbase %0" : "=r"(fs));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(harness_enter(g_enclave, i, SGX_EENTER, &call, &run), SGX_EEXIT);
        assert_int_equal(call.result, g_enclave->base + TEST_TLS(i));
        assert_int_equal(call.a, g_enclave->base + TEST_TLS(i));
    }
    __asm__ volatile("rdfsbase %0" : "=r"(after));
    assert_int_equal(fs, after);
    __asm__ volatile("rdgsbase %0" : "=r"(after));
    assert_int_equal(after, 0);
}

static void refuses_a_bad_tcs(void)
{
    struct test_call call = {TEST_ADD};
    struct sgx_enclave_run run = {.tcs = g_enclave->base + TEST_DATA};

    assert_int_equal(g_driver->enter((unsigned long)&call, 0, 0, SGX_EENTER, 0, 0, &run), 0);
    assert_int_equal(run.function, SGX_EENTER);
    assert_int_equal(run.exception_vector, X86_PF);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_ERESUME, &call, &run), SGX_ERESUME);
    assert_int_equal(run.exception_vector, X86_GP);
}

static void reports_exceptions(void)
{
    const uint32_t valid = SGX_EXITINFO_VALID | SGX_EXITINFO_TYPE_HARDWARE << 8;
    struct sgx_enclave_run run;
    struct test_call handler = fault_call(TEST_UD2, 0, 0, 2, &run);

    assert_int_equal(run.exception_vector, X86_UD);
    assert_int_equal(handler.result, valid | X86_UD);
    handler = fault_call(TEST_SYSCALL, 0, 0, 2, &run);
    assert_int_equal(run.exception_vector, X86_UD);
    assert_int_equal(handler.result, valid | X86_UD);
    assert_int_equal(ok_call(TEST_READ, handler.b, 0, 0) & 0xffff, 0x050f);
    struct test_call divide = {TEST_DIVIDE, 1, 0, 0, 0, 0};
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &divide, &run), SGX_ERESUME);
    assert_int_equal(run.exception_vector, X86_DE);
    /* the operand is on the stack or in a register; let it have another look with a divisor */
    struct test_call skip = {TEST_SKIP, 3, 0, 0, 0, 0};
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &skip, &run), SGX_EEXIT);
    assert_int_equal(skip.result, valid | X86_DE);
}

static void reports_page_faults(void)
{
    struct sgx_enclave_run run;
    uint64_t code = g_enclave->base + TEST_CODE;
    struct test_call handler = fault_call(TEST_WRITE, code + 8, 1, 3, &run);

    assert_int_equal(run.exception_vector, X86_PF);
    assert_int_equal(run.exception_error_code, X86_PF_USER | X86_PF_WRITE | X86_PF_PRESENT);
    assert_int_equal(run.exception_addr, code);
    assert_int_equal(handler.result, SGX_EXITINFO_VALID | SGX_EXITINFO_TYPE_HARDWARE << 8 | X86_PF);
    assert_int_equal(handler.c, code + 8);
    handler = fault_call(TEST_READ, g_enclave->tcs[1], 0, 3, &run);
    assert_int_equal(run.exception_error_code, X86_PF_USER | X86_PF_PRESENT | X86_PF_SGX);
    handler = fault_call(TEST_READ, 0x10, 0, 3, &run); /* outside of ELRANGE, not mapped */
    assert_int_equal(run.exception_vector, X86_PF);
    assert_int_equal(run.exception_error_code & X86_PF_SGX, 0);
    fault_call(TEST_READ, 0x8000000000000000ull, 0, 3, &run);
    assert_int_equal(run.exception_vector, X86_GP);
}

/* INT3 is #UD after an opt-out entry, and the RIP that of the instruction. */
static void breakpoint_is_undefined(void)
{
    struct sgx_enclave_run run;
    struct test_call handler = fault_call(TEST_INT3, 0, 0, 1, &run);

    assert_int_equal(run.exception_vector, X86_UD);
    assert_int_equal(handler.result, SGX_EXITINFO_VALID | SGX_EXITINFO_TYPE_HARDWARE << 8 | X86_UD);
    assert_int_equal(ok_call(TEST_READ, handler.b, 0, 0) & 0xff, 0xcc);
}

/* ---- interrupts ---- */

static volatile uint64_t g_flag;
static volatile int g_signals, g_seen_leaf;
static volatile uint64_t g_seen_tcs;
static struct test_call g_nested;

static void on_alarm(int signo, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

    if (regs[REG_RAX] == SGX_ERESUME && regs[REG_RBX] == (greg_t)g_enclave->tcs[0]) {
        g_seen_leaf = SGX_ERESUME;
        g_seen_tcs = (uint64_t)regs[REG_RBX];
    }
    if (++g_signals >= 20)
        g_flag = 1;
}

static void set_timer(long usec)
{
    struct itimerval it = {.it_interval = {0, usec}, .it_value = {0, usec}};

    setitimer(ITIMER_REAL, &it, NULL);
}

static void survives_signals_with(int flags)
{
    struct sigaction act = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | flags}, old;

    g_flag = 0;
    g_signals = g_seen_leaf = 0;
    assert_int_equal(g_driver->sigaction(SIGALRM, &act, &old), 0);
    assert_true(old.sa_handler == SIG_DFL);
    set_timer(1000);
    assert_int_equal(ok_call(TEST_SPIN, (uint64_t)&g_flag, 0, 0), 1);
    set_timer(0);
    assert_true(g_signals >= 20);
    assert_int_equal(g_seen_leaf, SGX_ERESUME);
    assert_int_equal(g_seen_tcs, g_enclave->tcs[0]);
    act = (struct sigaction){.sa_handler = SIG_DFL};
    assert_int_equal(g_driver->sigaction(SIGALRM, &act, &old), 0);
    assert_true(old.sa_sigaction == on_alarm);
}

static void signals_interrupt_and_resume(void)
{
    survives_signals_with(0);
    survives_signals_with(SA_ONSTACK);
}

/* What counts is the pointer: SA_SIGINFO alone makes no handler of SIG_IGN and SIG_DFL. */
static void ignores_with_any_flags(void)
{
    static void (*const handlers[])(int) = {SIG_IGN, SIG_DFL};
    struct sigaction old;

    for (size_t i = 0; i < 2; i++) {
        struct sigaction act = {.sa_handler = handlers[i], .sa_flags = SA_SIGINFO};
        assert_int_equal(g_driver->sigaction(SIGCHLD, &act, NULL), 0);
        assert_int_equal(raise(SIGCHLD), 0);
        assert_int_equal(g_driver->sigaction(SIGCHLD, NULL, &old), 0);
        assert_true(old.sa_handler == handlers[i]);
    }
}

/* A handler that makes the AEP enter the exception handler in place of resuming. */
static void on_preempt(int signo, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

    if (regs[REG_RAX] != SGX_ERESUME)
        return;
    regs[REG_RAX] = SGX_EENTER;
    regs[REG_RDI] = (greg_t)&g_nested;
    g_flag = 1;
}

static void handler_turns_resume_into_entry(void)
{
    struct sigaction act = {.sa_sigaction = on_preempt, .sa_flags = SA_SIGINFO};
    struct test_call call = {TEST_SPIN, (uint64_t)&g_flag, 0, 0, 0, 0};
    struct sgx_enclave_run run;

    g_flag = 0;
    g_nested = (struct test_call){TEST_SKIP, 0, 0, 0, 0, 0};
    assert_int_equal(g_driver->sigaction(SIGALRM, &act, NULL), 0);
    set_timer(2000);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &call, &run), SGX_EEXIT);
    set_timer(0);
    assert_int_equal(g_nested.cssa, 1);
    assert_int_equal(g_nested.result, 0); /* an interrupt has no exit information */
    assert_int_equal(call.result, 0);     /* still spinning */
    assert_int_equal(harness_enter(g_enclave, 0, SGX_ERESUME, &call, &run), SGX_EEXIT);
    assert_int_equal(call.result, 1);
    act = (struct sigaction){.sa_handler = SIG_DFL};
    assert_int_equal(g_driver->sigaction(SIGALRM, &act, NULL), 0);
}

/* Signals at every instruction of entry and exit: thousands of short calls under a fast timer. */
static void signals_during_entry_and_exit(void)
{
    struct sigaction act = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO};

    g_signals = 0;
    assert_int_equal(g_driver->sigaction(SIGALRM, &act, NULL), 0);
    set_timer(50);
    for (unsigned i = 0; i < 40000; i++)
        assert_int_equal(ok_call(TEST_ADD, i, 1, 0), i + 1);
    set_timer(0);
    assert_true(g_signals > 100);
    act = (struct sigaction){.sa_handler = SIG_DFL};
    assert_int_equal(g_driver->sigaction(SIGALRM, &act, NULL), 0);
}

static void *thread_main(void *arg)
{
    const unsigned slot = (unsigned)(uintptr_t)arg;
    uint64_t bad = 0;

    for (unsigned i = 0; i < 300; i++) {
        struct test_call call = {TEST_ADD, slot, i, 0, 0, 0};
        struct sgx_enclave_run run;
        bad |= harness_enter(g_enclave, slot, SGX_EENTER, &call, &run) != SGX_EEXIT;
        bad |= call.result != slot + i;
        call = (struct test_call){TEST_BASES};
        bad |= harness_enter(g_enclave, slot, SGX_EENTER, &call, &run) != SGX_EEXIT;
        bad |= call.a != g_enclave->base + TEST_TLS(slot);
    }
    return (void *)bad;
}

static void many_threads(void)
{
    pthread_t threads[TEST_TCS_COUNT];
    void *bad = NULL;

    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < TEST_TCS_COUNT; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, thread_main, (void *)(uintptr_t)i),
                             0);
        for (unsigned i = 0; i < TEST_TCS_COUNT; i++) {
            pthread_join(threads[i], &bad);
            assert_null(bad);
        }
    }
}

/* ---- reports and keys ---- */

static void makes_reports(void)
{
    struct sgx_targetinfo target = {0};
    uint8_t data[64] = "report data of a test";
    struct sgx_report report;
    struct error err = ERROR_INIT;

    memset(target.mrenclave, 7, sizeof(target.mrenclave));
    target.attributes.flags = 5;
    ok_call(TEST_REPORT, (uint64_t)&target, (uint64_t)data, (uint64_t)&report);
    assert_memory_equal(report.body.mrenclave, g_enclave->mrenclave, 32);
    assert_memory_equal(report.body.mrsigner, g_enclave->mrsigner, 32);
    assert_memory_equal(report.body.report_data, data, 64);
    assert_int_equal(report.body.config_id[2], 3);
    assert_int_equal(report.body.isv_prod_id, 7);
    assert_int_equal(report.body.isv_svn, 3);
    assert_int_equal(report.body.attributes.flags,
                     SGX_ATTR_INIT | SGX_ATTR_DEBUG | SGX_ATTR_MODE64 | SGX_ATTR_KSS);
    /* The body says what made it; the KEYID does not. */
    assert_true(sgx_cpusvn_is_emulated(report.body.cpu_svn));
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(report.body.cpu_svn[i], 0);
    memset(data, report.key_id[0], sizeof(report.key_id));
    assert_memory_not_equal(report.key_id, data, sizeof(report.key_id));
    assert_int_equal(sgx_emulated_report_verify(&report, &target, &err), 0);
    report.body.cpu_svn[0] = 1;
    assert_int_equal(sgx_emulated_report_verify(&report, &target, &err), -EPERM);
    report.body.cpu_svn[0] = 0;
    report.body.report_data[1] ^= 1;
    assert_int_equal(sgx_emulated_report_verify(&report, &target, &err), -EPERM);
    report.body.report_data[1] ^= 1;
    target.mrenclave[0] ^= 1;
    assert_int_equal(sgx_emulated_report_verify(&report, &target, &err), -EPERM);
    error_release(&err);
}

static void derives_keys(void)
{
    struct sgx_keyrequest q = {.key_name = SGX_KEY_SEAL,
                               .key_policy = SGX_POLICY_MRSIGNER,
                               .attribute_mask = {SGX_ATTR_INIT | SGX_ATTR_DEBUG, 0}};
    uint8_t first[16], second[16];

    assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)first), 0);
    assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)second), 0);
    assert_memory_equal(first, second, 16);
    q.key_policy = SGX_POLICY_MRENCLAVE;
    assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)second), 0);
    assert_memory_not_equal(first, second, 16);
    q.isv_svn = 4;
    assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)second), SGX_INVALID_ISVSVN);
    q.isv_svn = 0;
    q.key_name = SGX_KEY_PROVISION;
    assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)second), SGX_INVALID_ATTRIBUTE);
}

static void refuses_keys_of_the_future(void)
{
    struct sgx_keyrequest q = {.key_name = SGX_KEY_SEAL};
    uint8_t plain[16], other[16];

    assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)plain), 0);
    q.cpu_svn[0] = 200;
    assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)other), SGX_INVALID_CPUSVN);
    q.cpu_svn[0] = 1; /* above the emulated processor, as every real one's */
    assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)other), SGX_INVALID_CPUSVN);
    memcpy(q.cpu_svn, g_emulated_cpu_svn, 16); /* its own: another key than that of an older one */
    assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)other), 0);
    assert_memory_not_equal(plain, other, 16);
    memset(q.cpu_svn, 0, 16);
    q.config_svn = 1;
    assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)other), SGX_INVALID_ISVSVN);
    q.config_svn = 0;
    static const uint16_t names[] = {SGX_KEY_PROVISION, SGX_KEY_PROVISION_SEAL, SGX_KEY_EINITTOKEN};
    for (unsigned i = 0; i < 3; i++) {
        q.key_name = names[i];
        assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)other),
                         SGX_INVALID_ATTRIBUTE);
    }
    q.key_name = 5;
    assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)other), SGX_INVALID_KEYNAME);
}

/* Every policy bit gives a key of its own. */
static void policies_make_keys(void)
{
    static const uint16_t policies[] = {SGX_POLICY_MRENCLAVE,   SGX_POLICY_MRSIGNER,
                                        SGX_POLICY_NOISVPRODID, SGX_POLICY_CONFIGID,
                                        SGX_POLICY_ISVFAMILYID, SGX_POLICY_ISVEXTPRODID};
    uint8_t keys[7][16];

    for (unsigned i = 0; i < 7; i++) {
        struct sgx_keyrequest q = {.key_name = SGX_KEY_SEAL, .key_policy = i < 6 ? policies[i] : 0};
        assert_int_equal(ok_call(TEST_KEY, (uint64_t)&q, 0, (uint64_t)keys[i]), 0);
        for (unsigned k = 0; k < i; k++)
            assert_memory_not_equal(keys[i], keys[k], 16);
    }
}

/* ---- leaves that fault (SDM, the leaf's own list of exceptions) ---- */

static uint8_t leaf_fault(uint64_t leaf, uint64_t rbx, uint64_t rcx)
{
    struct test_call call = {TEST_ENCLU, leaf, rbx, rcx, 0, 0}, skip = {TEST_SKIP, 3, 0, 0, 0, 0};
    struct sgx_enclave_run run, other;

    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &call, &run), SGX_ERESUME);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &skip, &other), SGX_EEXIT);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_ERESUME, &call, &other), SGX_EEXIT);
    return (uint8_t)run.exception_vector;
}

static void leaves_fault_as_they_should(void)
{
    const uint64_t data = g_enclave->base + TEST_DATA, code = g_enclave->base + TEST_CODE;
    uint8_t host[4096] __attribute__((aligned(4096))) = {0};
    static const struct {
        uint64_t leaf, rbx, rcx;
        uint8_t vector;
    } faults[] = {
        {SGX_EENTER, 0, 0, X86_GP}, /* inside */
        {SGX_ERESUME, 0, 0, X86_GP},
        {SGX_EVERIFYREPORT2, 0, 0, X86_GP}, /* not here */
        {10, 0, 0, X86_GP},                 /* nowhere */
        {0xffffffff, 0, 0, X86_GP},
        {SGX_EDECCSSA, 0, 0, X86_GP},      /* at CSSA 0 */
        {SGX_EREPORT, 64, 0x800, X86_GP},  /* TARGETINFO: 512 */
        {SGX_EREPORT, 0, 0x840, X86_GP},   /* REPORTDATA: 128 */
        {SGX_EGETKEY, 128, 0x800, X86_GP}, /* KEYREQUEST: 512 */
        {SGX_EGETKEY, 0, 0x808, X86_GP},   /* the key: 16 */
        {SGX_EACCEPT, 8, 0x1000, X86_GP},  /* SECINFO: 64 */
        {SGX_EACCEPT, 0, 0x1008, X86_GP},  /* a page: 4096 */
        {SGX_EMODPE, 8, 0x1000, X86_GP},
        {SGX_EACCEPTCOPY, 8, 0x1000, X86_GP},
    };

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        assert_int_equal(leaf_fault(faults[i].leaf, data + faults[i].rbx, data + faults[i].rcx),
                         faults[i].vector);
    /* operands outside of the enclave, and inside where they cannot be written */
    assert_int_equal(leaf_fault(SGX_EREPORT, (uint64_t)host, data), X86_GP);
    assert_int_equal(leaf_fault(SGX_EGETKEY, data, (uint64_t)host), X86_GP);
    assert_int_equal(leaf_fault(SGX_EGETKEY, data, code & ~0xfffull), X86_PF);
    assert_int_equal(leaf_fault(SGX_EGETKEY, g_enclave->base + TEST_HOLE + 0x700000, data), X86_PF);
}

/* At CSSA 1 the frame of the interrupted code is dropped: what follows is an entry at CSSA 0. */
static void drops_a_frame(void)
{
    struct test_call divide = {TEST_UD2, 0, 0, 0, 0, 0};
    struct test_call drop = {TEST_ENCLU, SGX_EDECCSSA, 0, 0, 0, 0}, add = {TEST_ADD, 1, 2, 0, 0, 0};
    struct sgx_enclave_run run;

    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &divide, &run), SGX_ERESUME);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &drop, &run), SGX_EEXIT);
    assert_int_equal(drop.cssa, 1);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &add, &run), SGX_EEXIT);
    assert_int_equal(add.cssa, 0);
}

static void notifies_of_exits(void)
{
    const struct sgx_load_options options = {.debug = true};
    struct test_call fault = {TEST_UD2, 0, 0, 0, 0, 0}, ask = {TEST_NOTIFY, 0, 0, 0, 0, 0};
    struct test_call heard = {TEST_SKIP, 2, 0, 0, 0, 0}, add = {TEST_ADD, 1, 2, 0, 0, 0};
    struct error err = ERROR_INIT;
    struct sgx_enclave *e = NULL;
    struct sgx_enclave_run run;

    g_test_attributes = SGX_ATTR_AEX_NOTIFY;
    assert_int_equal(harness_load(UINT64_MAX, 0, &options, &e, &err), 0);
    g_test_attributes = 0;
    assert_int_equal(harness_enter(e, 0, SGX_EENTER, &fault, &run), SGX_ERESUME);
    assert_int_equal(harness_enter(e, 0, SGX_EENTER, &ask, &run), SGX_EEXIT);
    /* ERESUME enters at CSSA 1 in place of resuming */
    assert_int_equal(harness_enter(e, 0, SGX_ERESUME, &heard, &run), SGX_EEXIT);
    assert_int_equal(heard.cssa, 1);
    assert_int_equal(heard.result, SGX_EXITINFO_VALID | SGX_EXITINFO_TYPE_HARDWARE << 8 | X86_UD);
    struct test_call drop = {TEST_ENCLU, SGX_EDECCSSA, 0, 0, 0, 0};
    assert_int_equal(harness_enter(e, 0, SGX_EENTER, &drop, &run), SGX_EEXIT);
    assert_int_equal(harness_enter(e, 0, SGX_EENTER, &add, &run), SGX_EEXIT);
    assert_int_equal(add.cssa, 0);
    sgx_enclave_free(e);
}

/* ---- SGX2 ---- */

#define RW      (SGX_SECINFO_R | SGX_SECINFO_W)
#define PENDING (RW | SGX_SECINFO_PENDING | SGX_SECINFO_TYPE(SGX_PT_REG))
#define TRIM    (SGX_SECINFO_MODIFIED | SGX_SECINFO_TYPE(SGX_PT_TRIM))

static void adds_pages_on_demand(void)
{
    uint64_t page = g_enclave->base + TEST_HOLE;
    struct sgx_enclave_run run;

    fault_call(TEST_WRITE, page, 1, 3, &run); /* EAUG: there, but pending */
    assert_int_equal(run.exception_error_code,
                     X86_PF_SGX | X86_PF_USER | X86_PF_WRITE | X86_PF_PRESENT);
    assert_int_equal(ok_call(TEST_ACCEPT, page, PENDING, 0), 0);
    assert_int_equal(ok_call(TEST_ACCEPT, page, PENDING, 0), SGX_PAGE_ATTRIBUTES_MISMATCH);
    ok_call(TEST_WRITE, page, 77, 0);
    assert_int_equal(ok_call(TEST_READ, page, 0, 0), 77);
    assert_int_equal(ok_call(TEST_ACCEPT_MANY, page + SGX_PAGE_SIZE, 0, 64), 0);
    for (unsigned i = 1; i <= 64; i++)
        ok_call(TEST_WRITE, page + i * SGX_PAGE_SIZE, i, 0);
    for (unsigned i = 1; i <= 64; i++)
        assert_int_equal(ok_call(TEST_READ, page + i * SGX_PAGE_SIZE, 0, 0), i);
}

static void runs_code_that_it_wrote(void)
{
    uint64_t page = g_enclave->base + TEST_HOLE + 0x100000;
    struct sgx_enclave_run run;

    assert_int_equal(ok_call(TEST_ACCEPT, page, PENDING, 0), 0);
    ok_call(TEST_WRITE, page, 0xc30000002ab8ull, 0); /* mov $42, %eax; ret */
    struct test_call call = {TEST_CALL, page, 0, 0, 0, 0};
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &call, &run), SGX_ERESUME);
    assert_int_equal(run.exception_error_code,
                     X86_PF_SGX | X86_PF_USER | X86_PF_INSTR | X86_PF_PRESENT);
    struct test_call extend = {TEST_EXTEND, page, SGX_SECINFO_R | SGX_SECINFO_X, 0, 0, 0};
    assert_int_equal(harness_enter(g_enclave, 0, SGX_EENTER, &extend, &run), SGX_EEXIT);
    assert_int_equal(harness_enter(g_enclave, 0, SGX_ERESUME, &call, &run), SGX_EEXIT);
    assert_int_equal(call.result, 42);

    uint64_t copy = page + SGX_PAGE_SIZE;
    assert_int_equal(ok_call(TEST_ACCEPT_COPY, copy,
                             SGX_SECINFO_R | SGX_SECINFO_X | SGX_SECINFO_TYPE(SGX_PT_REG), page),
                     0);
    assert_int_equal(ok_call(TEST_CALL, copy, 0, 0), 42);
    fault_call(TEST_WRITE, copy, 1, 3, &run);
    assert_int_equal(run.exception_error_code & X86_PF_SGX, X86_PF_SGX);
}

static void restricts_and_removes(void)
{
    uint64_t offset = TEST_HOLE + 0x200000, page = g_enclave->base + offset;
    struct sgx_enclave_restrict_permissions restrict_ = {
        .offset = offset, .length = SGX_PAGE_SIZE, .permissions = SGX_SECINFO_R};
    struct sgx_enclave_modify_types trim = {
        .offset = offset, .length = SGX_PAGE_SIZE, .page_type = SGX_PT_TRIM};
    struct sgx_enclave_remove_pages gone = {.offset = offset, .length = SGX_PAGE_SIZE};
    struct sgx_enclave_run run;

    assert_int_equal(ok_call(TEST_ACCEPT, page, PENDING, 0), 0);
    ok_call(TEST_WRITE, page, 5, 0);
    assert_int_equal(g_driver->restrict_permissions(g_enclave->handle, &restrict_, NULL), 0);
    assert_int_equal(restrict_.count, SGX_PAGE_SIZE);
    assert_int_equal(ok_call(TEST_READ, page, 0, 0), 5);
    fault_call(TEST_WRITE, page, 6, 3, &run);
    assert_int_equal(run.exception_error_code & X86_PF_SGX, X86_PF_SGX);
    assert_int_equal(ok_call(TEST_ACCEPT, page,
                             SGX_SECINFO_R | SGX_SECINFO_PR | SGX_SECINFO_TYPE(SGX_PT_REG), 0),
                     0);
    assert_int_equal(g_driver->remove_pages(g_enclave->handle, &gone, NULL), -EPERM);
    gone.count = 0;
    assert_int_equal(g_driver->modify_types(g_enclave->handle, &trim, NULL), 0);
    assert_int_equal(g_driver->remove_pages(g_enclave->handle, &gone, NULL), -EPERM);
    gone.count = 0;
    assert_int_equal(ok_call(TEST_ACCEPT, page, TRIM, 0), 0);
    assert_int_equal(g_driver->remove_pages(g_enclave->handle, &gone, NULL), 0);
    assert_int_equal(
        g_driver->remove_pages(
            g_enclave->handle,
            &(struct sgx_enclave_remove_pages){.offset = offset, .length = SGX_PAGE_SIZE}, NULL),
        -EFAULT);
    /* a removed page comes back empty */
    assert_int_equal(ok_call(TEST_ACCEPT, page, PENDING, 0), 0);
    assert_int_equal(ok_call(TEST_READ, page, 0, 0), 0);
}

/* Linux refuses writing without reading, and no other set of permissions. */
static void restricts_to_any_permissions_but_writing_alone(void)
{
    uint64_t offset = TEST_HOLE + 0x240000, page = g_enclave->base + offset;
    static const uint64_t refused[] = {SGX_SECINFO_W, SGX_SECINFO_W | SGX_SECINFO_X, 8};
    static const uint64_t taken[] = {SGX_SECINFO_R | SGX_SECINFO_W, SGX_SECINFO_R, 0};

    assert_int_equal(ok_call(TEST_ACCEPT, page, PENDING, 0), 0);
    for (size_t i = 0; i < 6; i++) {
        struct sgx_enclave_restrict_permissions restrict_ = {.offset = offset,
                                                             .length = SGX_PAGE_SIZE,
                                                             .permissions = i < 3 ? refused[i]
                                                                                  : taken[i - 3]};
        assert_int_equal(g_driver->restrict_permissions(g_enclave->handle, &restrict_, NULL),
                         i < 3 ? -EINVAL : 0);
        if (i >= 3)
            assert_int_equal(
                ok_call(TEST_ACCEPT, page,
                        restrict_.permissions | SGX_SECINFO_PR | SGX_SECINFO_TYPE(SGX_PT_REG), 0),
                0);
    }
    struct sgx_enclave_run run;
    fault_call(TEST_READ, page, 0, 3, &run);
    assert_int_equal(run.exception_error_code & X86_PF_SGX, X86_PF_SGX);
}

/* ---- host code that jumps into the enclave ---- */

static sigjmp_buf g_jumped;

static void on_jump(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)info, (void)context;
    siglongjmp(g_jumped, 1);
}

/* As through a NULL pointer, where ELRANGE starts at 0. */
static void a_jump_of_the_host_into_the_enclave_is_a_fault_of_the_host(void)
{
    const struct sigaction act = {.sa_sigaction = on_jump, .sa_flags = SA_SIGINFO};
    const uint64_t nowhere = g_enclave->base + TEST_HOLE + 0x300000;
    struct sigaction old;

    if (getenv("RUNE_SGX_EMULATOR_ISOLATE"))
        skip();                                            /* ends the process there */
    ok_call(TEST_READ, g_enclave->base + TEST_CODE, 0, 0); /* this thread was inside */
    assert_int_equal(g_driver->sigaction(SIGSEGV, &act, &old), 0);
    const int jumped = sigsetjmp(g_jumped, 1);
    if (!jumped)
        ((void (*)(void))nowhere)();
    assert_int_equal(g_driver->sigaction(SIGSEGV, &old, NULL), 0);
    assert_int_equal(jumped, 1);
    assert_int_equal(ok_call(TEST_ADD, 2, 3, 0), 5);
}

/* ---- rewritten ENCLU sites ---- */

static void *pester(void *arg)
{
    const pthread_t target = *(pthread_t *)arg;

    while (!g_flag) {
        pthread_kill(target, SIGALRM);
        for (volatile int i = 0; i < 2000; i++)
            ;
    }
    return NULL;
}

/* The same calls with sites rewritten, under a rain of signals; every page is accepted exactly
 * once. */
static void sites_work_under_signals(void)
{
    const struct sgx_load_options options = {.debug = true};
    struct sigaction act = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO};
    struct error err = ERROR_INIT;
    struct sgx_enclave *e = NULL, *other = g_enclave;
    struct sgx_enclave_run run;
    pthread_t self = pthread_self(), thread;
    unsigned bad = 0;

    if (getenv("RUNE_SGX_EMULATOR_ISOLATE"))
        skip(); /* sites stay as they are */
    assert_int_equal(harness_load(0, 1, &options, &e, &err), 0);
    g_enclave = e;
    const uint8_t *site = (const uint8_t *)e->base + TEST_CODE +
                          (test_enclave_sites - __start_enclave_text);
    assert_int_equal(site[0], 0xe8);
    g_signals = INT32_MIN;
    g_flag = 0;
    assert_int_equal(g_driver->sigaction(SIGALRM, &act, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, pester, &self), 0);
    const time_t deadline = time(NULL) + 30; /* on a busy machine the pestering thread may starve */
    for (unsigned i = 0; i < 30000 || (g_signals < INT32_MIN + 2000 && time(NULL) < deadline);
         i++) {
        uint64_t page = e->base + TEST_HOLE + i % 1500 * SGX_PAGE_SIZE;
        struct test_call call = {TEST_SITE_ADD, page, i, 1, 0, 0};
        bad += harness_enter(e, 0, SGX_EENTER, &call, &run) != SGX_EEXIT;
        bad += call.result != (i < 1500 ? page + i : 0); /* 0: accepted before */
    }
    uint64_t fs, gs;
    __asm__ volatile("rdfsbase %0" : "=r"(fs));
    __asm__ volatile("rdgsbase %0" : "=r"(gs));
    g_flag = 1;
    pthread_join(thread, NULL);
    assert_int_equal(bad, 0);
    assert_int_equal(gs, 0);
    assert_int_equal(fs, *(uint64_t *)fs); /* glibc: the thread's TCB begins with its own address */
    assert_true(g_signals >= INT32_MIN + 2000);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int signo = 1; signo < 32; signo++)
        assert_int_equal(sigismember(&mask, signo), 0);
    /* a fault in a leaf is reported at the site */
    struct test_call fault = {TEST_SITE_ADD, 0x1000, 1, 1, 0, 0};
    struct test_call look = {TEST_SKIP, 0, 0, 0, 0, 0};
    assert_int_equal(harness_enter(e, 0, SGX_EENTER, &fault, &run), SGX_ERESUME);
    assert_int_equal(run.exception_vector, X86_PF);
    assert_int_equal(harness_enter(e, 0, SGX_EENTER, &look, &run), SGX_EEXIT);
    assert_int_equal(look.b, e->base + TEST_CODE + (test_enclave_sites_end - __start_enclave_text));
    sgx_enclave_free(e);
    g_enclave = other;
    act = (struct sigaction){.sa_handler = SIG_DFL};
    assert_int_equal(g_driver->sigaction(SIGALRM, &act, NULL), 0);
}

/* Page tables are the host's: it takes the enclave's stack away again and again. */
static void *take_stack(void *stack)
{
    while (!g_flag) {
        (void)g_driver->map(g_enclave->handle, (uint64_t)stack, SGX_PAGE_SIZE, PROT_NONE, NULL);
        usleep(20);
    }
    return NULL;
}

/* At a site too that is nothing but a page fault: ENCLU has no use of a stack. */
static void sites_work_while_the_stack_comes_and_goes(void)
{
    const struct sgx_load_options options = {.debug = true};
    struct error err = ERROR_INIT;
    struct sgx_enclave *e = NULL, *other = g_enclave;
    struct sgx_enclave_run run;
    pthread_t thread;
    unsigned faults = 0;

    if (getenv("RUNE_SGX_EMULATOR_ISOLATE"))
        skip(); /* sites stay as they are */
    assert_int_equal(harness_load(0, 1, &options, &e, &err), 0);
    g_enclave = e;
    g_flag = 0;
    const uint64_t stack = e->base + TEST_TLS(0) + SGX_PAGE_SIZE;
    assert_int_equal(pthread_create(&thread, NULL, take_stack, (void *)stack), 0);
    for (unsigned i = 0; i < 2000 || (faults < 50 && i < 2000000); i++) {
        uint64_t page = e->base + TEST_HOLE + i % 1500 * SGX_PAGE_SIZE;
        struct test_call call = {TEST_SITE_ADD, page, i, 1, 0, 0};
        int how = harness_enter(e, 0, SGX_EENTER, &call, &run);
        for (; how == SGX_ERESUME; faults++) {
            assert_int_equal(run.exception_vector, X86_PF);
            assert_int_equal(run.exception_addr, stack);
            assert_int_equal(
                g_driver->map(e->handle, stack, SGX_PAGE_SIZE, PROT_READ | PROT_WRITE, NULL), 0);
            how = harness_enter(e, 0, SGX_ERESUME, &call, &run);
        }
        assert_int_equal(how, SGX_EEXIT);
        assert_int_equal(call.result, i < 1500 ? page + i : 0); /* 0: accepted before */
    }
    g_flag = 1;
    pthread_join(thread, NULL);
    assert_true(faults >= 50);
    sgx_enclave_free(e);
    g_enclave = other;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(enters_and_leaves),
        TEST(has_its_own_bases),
        TEST(refuses_a_bad_tcs),
        TEST(reports_page_faults),
        TEST(breakpoint_is_undefined),
        TEST(signals_interrupt_and_resume),
        TEST(handler_turns_resume_into_entry),
        TEST(signals_during_entry_and_exit),
        TEST(many_threads),
        TEST(makes_reports),
        TEST(derives_keys),
        TEST(refuses_keys_of_the_future),
        TEST(policies_make_keys),
        TEST(leaves_fault_as_they_should),
        TEST(drops_a_frame),
        EMULATED(notifies_of_exits),
        TEST(adds_pages_on_demand),
        TEST(runs_code_that_it_wrote),
        TEST(restricts_and_removes),
        TEST(restricts_to_any_permissions_but_writing_alone),
        EMULATED(ignores_with_any_flags),
        EMULATED(a_jump_of_the_host_into_the_enclave_is_a_fault_of_the_host),
        EMULATED(sites_work_under_signals),
        EMULATED(sites_work_while_the_stack_comes_and_goes),
        TEST(reports_exceptions),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
