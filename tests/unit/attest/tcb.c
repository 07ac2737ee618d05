/* SPDX-License-Identifier: Apache-2.0 */
/* From SVNs to a TCB status: platform, TDX module by its identity, quoting enclave, and relaunch. */
#include "attest/tcb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/cleanup.h"

/*
 * The platform is up to date from TDX component 2 = 5 on, needs configuration from 4 on, and is out
 * of date below. Modules of version 1 and 3 have identities; of 3 SVN 4 is up to date.
 */
static struct svn_level g_old_module[] = {{.svn = 0, .status = TCB_REVOKED}};
static struct svn_level g_module[] = {{.svn = 4, .status = TCB_UP_TO_DATE},
                                      {.svn = 2, .status = TCB_OUT_OF_DATE},
                                      {.svn = 1, .status = TCB_REVOKED}};
static struct svn_level g_qe[] = {{.svn = 6, .status = TCB_UP_TO_DATE},
                                  {.svn = 5, .status = TCB_OUT_OF_DATE}};
static struct tcb_level g_levels[] = {{.tdx = {[2] = 5}, .status = TCB_UP_TO_DATE},
                                      {.tdx = {[2] = 4}, .status = TCB_CONFIGURATION},
                                      {.tdx = {[2] = 1}, .status = TCB_OUT_OF_DATE}};
static struct tdx_module g_modules[] = {
    {.id = {(const uint8_t *)"TDX_01", 6}, .levels = {g_old_module, 1, 1}},
    {.id = {(const uint8_t *)"TDX_03", 6}, .levels = {g_module, array_count(g_module), 3}}};

static const struct tcb_info g_info = {.has_module = true,
                                       .modules = g_modules,
                                       .module_count = array_count(g_modules),
                                       .levels = g_levels,
                                       .level_count = array_count(g_levels)};
static const struct qe_identity g_identity = {.levels = {g_qe, array_count(g_qe), 2}};

/* SVN and version of the module, and component 2, at launch; the same as they are now. */
struct row {
    uint8_t launch[3], now[3];
    uint16_t qe;
    enum tcb_status status;
};

static void evaluate(const struct row *row, enum quote_body type, struct tcb_result *out)
{
    static const struct pck pck;
    struct quote quote = {.body_type = type, .qe_report.isv_svn = row->qe};

    memcpy(quote.td.tee_tcb_svn, row->launch, sizeof(row->launch));
    memcpy(quote.td.tee_tcb_svn2, row->now, sizeof(row->now));
    tcb_evaluate(&g_info, &g_identity, &pck, &quote, out);
}

static void expect_rows(const struct row *rows, size_t count, enum quote_body type)
{
    struct tcb_result result;

    for (size_t i = 0; i < count; i++) {
        evaluate(&rows[i], type, &result);
        if (result.status != rows[i].status)
            fail_msg("row %zu: %s, expected %s", i,
                     attest_tcb_status_name((enum attest_tcb_status)result.status),
                     attest_tcb_status_name((enum attest_tcb_status)rows[i].status));
    }
}

static void the_module_counts_by_its_identity(void **state)
{
    static const struct row rows[] = {
        {{4, 3, 5}, {0}, 6, TCB_UP_TO_DATE},
        {{9, 3, 9}, {0}, 9, TCB_UP_TO_DATE},
        {{3, 3, 5}, {0}, 6, TCB_OUT_OF_DATE},
        {{1, 3, 5}, {0}, 6, TCB_REVOKED},
        {{0, 3, 5}, {0}, 6, TCB_NOT_SUPPORTED}, /* below the identity's last level */
        {{9, 2, 5}, {0}, 6, TCB_NOT_SUPPORTED}, /* no identity of that version */
        {{9, 1, 5}, {0}, 6, TCB_REVOKED},
        {{0, 0, 5},
         {0},
         6,
         TCB_UP_TO_DATE}, /* version 0 has none, and its level is the platform's */
        {{4, 3, 4}, {0}, 6, TCB_CONFIGURATION},
        {{3, 3, 4}, {0}, 6, TCB_OUT_OF_DATE_CONFIGURATION},
        {{4, 3, 3}, {0}, 6, TCB_OUT_OF_DATE},
        {{4, 3, 0}, {0}, 6, TCB_NOT_SUPPORTED},
        {{4, 3, 5}, {0}, 5, TCB_OUT_OF_DATE},
        {{4, 3, 4}, {0}, 5, TCB_OUT_OF_DATE_CONFIGURATION},
        {{1, 3, 5}, {0}, 5, TCB_REVOKED},
        {{4, 3, 5}, {0}, 4, TCB_NOT_SUPPORTED},
    };

    (void)state;
    expect_rows(rows, array_count(rows), QUOTE_BODY_TD10);
}

static void what_was_updated_since_launch_is_to_be_launched_again(void **state)
{
    static const struct row rows[] = {
        {{4, 3, 5}, {4, 3, 5}, 6, TCB_UP_TO_DATE},
        {{3, 3, 5}, {4, 3, 5}, 6, TCB_RELAUNCH},               /* the module was */
        {{4, 3, 3}, {4, 3, 5}, 6, TCB_RELAUNCH},               /* the platform was */
        {{4, 3, 3}, {4, 3, 4}, 6, TCB_RELAUNCH_CONFIGURATION}, /* which is to be configured */
        {{3, 3, 4}, {4, 3, 5}, 6, TCB_RELAUNCH_CONFIGURATION}, /* or was to be */
        {{3, 3, 5}, {3, 3, 5}, 6, TCB_OUT_OF_DATE},            /* nothing was */
        {{3, 3, 4}, {3, 3, 4}, 6, TCB_OUT_OF_DATE_CONFIGURATION},
        {{4, 3, 4}, {4, 3, 5}, 6, TCB_CONFIGURATION},
        {{4, 3, 5}, {3, 3, 5}, 6, TCB_UP_TO_DATE},
        {{3, 3, 5}, {4, 3, 5}, 5, TCB_OUT_OF_DATE}, /* the quoting enclave is as it is */
        {{1, 3, 5}, {4, 3, 5}, 6, TCB_REVOKED},     /* at launch, and that stays */
        {{3, 3, 5}, {1, 3, 5}, 6, TCB_REVOKED},
        {{4, 3, 5}, {4, 2, 5}, 6, TCB_NOT_SUPPORTED},
        {{4, 2, 5}, {4, 3, 5}, 6, TCB_NOT_SUPPORTED},
    };

    (void)state;
    expect_rows(rows, array_count(rows), QUOTE_BODY_TD15);
}

/* Which SVN, of what, has what and needs what. */
static void what_is_short_is_named(void **state)
{
    static const struct {
        struct row row;
        enum tcb_part part;
        unsigned index, has, needs;
    } rows[] = {
        {{{4, 3, 3}, {0}, 6, 0}, TCB_PART_TDX, 2, 3, 5},
        {{{3, 3, 5}, {0}, 6, 0}, TCB_PART_MODULE, 0, 3, 4},
        {{{4, 3, 5}, {0}, 5, 0}, TCB_PART_QE, 0, 5, 6},
    };
    struct tcb_result result;

    (void)state;
    for (size_t i = 0; i < array_count(rows); i++) {
        evaluate(&rows[i].row, QUOTE_BODY_TD10, &result);
        assert_int_equal(result.short_count, 1);
        assert_int_equal(result.shorts[0].part, rows[i].part);
        assert_int_equal(result.shorts[0].index, rows[i].index);
        assert_int_equal(result.shorts[0].has, rows[i].has);
        assert_int_equal(result.shorts[0].needs, rows[i].needs);
    }
    evaluate(&(struct row){{4, 3, 5}, {0}, 6, 0}, QUOTE_BODY_TD10, &result);
    assert_int_equal(result.short_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_module_counts_by_its_identity),
        cmocka_unit_test(what_was_updated_since_launch_is_to_be_launched_again),
        cmocka_unit_test(what_is_short_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
