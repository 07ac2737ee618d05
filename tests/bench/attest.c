/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifications a second on one core, by CPU time: cold (collateral and chain read and verified
 * each time) and with both kept. attest DIRECTORY TIME, a set as ../shared/attest has them; or
 * without arguments on the software SGX's own.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attest.h"
#include "attest/quote.h"
#include "attest/simulation.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"

enum { SECONDS = 2, ROUND = 50, WARM = 1200 };

/* Everything but "is the TCB in order" must hold. */
static const char g_policy[] =
    "{\"allow_simulation\": true, \"allow_debug\": true, \"tcb_status\": [\"UpToDate\","
    " \"SWHardeningNeeded\", \"ConfigurationAndSWHardeningNeeded\", \"OutOfDate\"]}";

static struct attest_verifier *g_verifier;
static struct attest_policy *g_rules;
static struct buffer g_quote, g_files[ATTEST_FILE_COUNT];
static struct attest_request g_request;

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct attest_collateral *read_collateral(void)
{
    struct attest_bytes bytes[ATTEST_FILE_COUNT];

    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        bytes[i] = (struct attest_bytes){g_files[i].data, g_files[i].size};
    return attest_collateral_new(g_verifier, bytes);
}

static void judge(const struct attest_collateral *c)
{
    struct attest_answer *a = attest_verify(g_verifier, g_quote.data, g_quote.size, c, g_rules,
                                            &g_request);

    if (attest_answer_verdict(a) != ATTEST_ACCEPTED) {
        fprintf(stderr, "%s\n", attest_answer_summary(a));
        exit(1);
    }
    attest_answer_free(a);
}

static void judge_cold(void)
{
    attest_verifier_forget_chains(g_verifier);
    struct attest_collateral *c = read_collateral();
    judge(c);
    attest_collateral_free(c);
}

static double rate(bool cold)
{
    struct attest_collateral *c = read_collateral();
    unsigned long count = 0;

    /* Until multiples of the authorities' keys are there (src/attest/p256.h). */
    for (unsigned i = 0; cold && i < WARM; i++)
        judge_cold();
    double start = cpu_seconds(), now = start;
    for (; now - start < SECONDS; now = cpu_seconds(), count += ROUND)
        for (unsigned i = 0; i < ROUND; i++) {
            if (cold)
                judge_cold();
            else
                judge(c);
        }
    attest_collateral_free(c);
    return (double)count / (now - start);
}

static void read_set(const char *directory)
{
    cleanup_free char *path = xasprintf("%s/quote.bin", directory);

    if (read_file_at(AT_FDCWD, path, &g_quote, 1 << 20, NULL) < 0) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++) {
        cleanup_free char *part = xasprintf("%s/%s", directory,
                                            attest_file_name((enum attest_file)i));
        if (access(part, R_OK) == 0)
            read_file_at(AT_FDCWD, part, &g_files[i], 1 << 20, NULL);
    }
}

static void simulate(void)
{
    const struct sgx_report_body body = {
        .cpu_svn = {0, 0, 0, 0, 0, 0, 0, 0, 'E', 'M', 'U', 'L', 'A', 'T', 'E', 'D'},
        .attributes = {.flags = 5, .xfrm = 3}};
    const struct simulation_options options = {.now = g_request.time};
    struct buffer root = BUFFER_INIT;
    struct simulation *s;
    struct error err = ERROR_INIT;

    if (simulation_open(&s, &err) < 0 ||
        simulation_sign(s, 3, QUOTE_BODY_SGX, &body, &g_quote, &err) < 0 ||
        simulation_collateral(s, &options, g_files, &root, &err) < 0) {
        fprintf(stderr, "%s\n", error_text(&err));
        exit(1);
    }
    attest_verifier_add_root(g_verifier, ATTEST_ROOT_SIMULATION, root.data, root.size, NULL);
    buffer_release(&root);
    simulation_free(s);
}

int main(int argc, char **argv)
{
    g_verifier = attest_verifier_new();
    g_rules = attest_policy_parse(g_policy, sizeof(g_policy) - 1, NULL);
    g_request.time = argc > 2 ? strtoll(argv[2], NULL, 10) : time(NULL);
    if (argc > 2)
        read_set(argv[1]);
    else
        simulate();
    printf("cold %.0f\nkept %.0f\n", rate(true), rate(false));
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        buffer_release(&g_files[i]);
    buffer_release(&g_quote);
    attest_policy_free(g_rules);
    attest_verifier_free(g_verifier);
    return 0;
}
