/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A quote of the software SGX (RUNE_SGX_EMULATOR_ROOT) and its collateral, for scripts that have no
 * enclave: make-test-quote DIR. The report is made up; only its quote is the software SGX's. With
 * "td VERSION HEX" behind DIR the quote is of a TD, over these 64 bytes of report data.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "attest/quote.h"
#include "attest/simulation.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/hex.h"

struct td {
    unsigned version;
    uint8_t data[64];
};

static int make_quote(const struct simulation *s, const struct td *td, struct buffer *out,
                      struct error *err)
{
    const struct sgx_report_body body = {
        .cpu_svn = {0, 0, 0, 0, 0, 0, 0, 0, 'E', 'M', 'U', 'L', 'A', 'T', 'E', 'D'},
        .attributes = {.flags = SGX_ATTR_INIT | SGX_ATTR_MODE64, .xfrm = SGX_XFRM_LEGACY},
        .report_data = "nonce"};
    struct td_report report = {.attributes = {[3] = 0x10}}; /* SEPT_VE_DISABLE */

    if (!td)
        return simulation_sign(s, 3, QUOTE_BODY_SGX, &body, out, err);
    memcpy(report.report_data, td->data, sizeof(td->data));
    return simulation_sign(s, td->version, td->version == 4 ? QUOTE_BODY_TD10 : QUOTE_BODY_TD15,
                           &report, out, err);
}

static int make(int dir, const struct td *td, struct error *err)
{
    const struct simulation_options options = {.now = time(NULL), .tdx = td};
    struct buffer files[ATTEST_FILE_COUNT] = {0};
    cleanup_buffer struct buffer root = BUFFER_INIT;
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    struct simulation *s;

    int rc = simulation_open(&s, err);
    if (rc < 0)
        return rc;
    rc = make_quote(s, td, &quote, err);
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
    struct td td = {0};
    const bool is_td = argc == 5 && strcmp(argv[2], "td") == 0;
    cleanup_close int dir = open(argc > 1 ? argv[1] : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (is_td) {
        td.version = argv[3][0] == '5' ? 5 : 4;
        if (!hex_parse(argv[4], strlen(argv[4]), td.data, sizeof(td.data)))
            error_fatal_set("report data has 64 bytes in hexadecimal digits");
    }
    if (dir < 0 || make(dir, is_td ? &td : NULL, &err) < 0)
        error_fatal(&err);
    return 0;
}
