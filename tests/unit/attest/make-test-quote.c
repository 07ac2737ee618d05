/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A quote of the software SGX (RUNE_SGX_EMULATOR_ROOT) and its collateral, for scripts that have no
 * enclave: make-test-quote DIR. The report is made up; only its quote is the software SGX's.
 */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "attest/quote.h"
#include "attest/simulation.h"
#include "base/cleanup.h"
#include "base/fd.h"

static int make(int dir, struct error *err)
{
    const struct sgx_report_body body = {
        .cpu_svn = {0, 0, 0, 0, 0, 0, 0, 0, 'E', 'M', 'U', 'L', 'A', 'T', 'E', 'D'},
        .attributes = {.flags = SGX_ATTR_INIT | SGX_ATTR_MODE64, .xfrm = SGX_XFRM_LEGACY},
        .report_data = "nonce"};
    const struct simulation_options options = {.now = time(NULL)};
    struct buffer files[ATTEST_FILE_COUNT] = {0};
    cleanup_buffer struct buffer root = BUFFER_INIT;
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    struct simulation *s;

    int rc = simulation_open(&s, err);
    if (rc < 0)
        return rc;
    rc = simulation_sign(s, 3, QUOTE_BODY_SGX, &body, &quote, err);
    if (rc == 0)
        rc = simulation_collateral(s, &options, files, &root, err);
    if (rc == 0)
        rc = replace_file_at(dir, "quote", quote.data, quote.size, 0644, false, err);
    if (rc == 0)
        rc = replace_file_at(dir, "simulation_root.pem", root.data, root.size, 0644, false, err);
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++) {
        if (rc == 0 && files[i].size)
            rc = replace_file_at(dir, attest_file_name((enum attest_file)i), files[i].data,
                                 files[i].size, 0644, false, err);
        buffer_release(&files[i]);
    }
    simulation_free(s);
    return rc;
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    cleanup_close int dir = open(argc > 1 ? argv[1] : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0 || make(dir, &err) < 0)
        error_fatal(&err);
    return 0;
}
