/* SPDX-License-Identifier: Apache-2.0 */
#include "simulation-tools.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "attest/simulation.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

static const char *g_out;

static int write_file(int dir, const char *name, const void *data, size_t size, struct error *err)
{
    return replace_file_at(dir, name, data, size, 0644, false, err);
}

static int quote_report(const struct simulation *s, const char *path, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    struct sgx_report report;

    int rc = read_file_at(AT_FDCWD, path, &text, sizeof(report), err);
    if (rc < 0)
        return rc;
    if (text.size != sizeof(report))
        return error_set(err, "%s: not a report of %zu bytes", path, sizeof(report));
    memcpy(&report, text.data, sizeof(report));
    rc = simulation_quote(s, &report, &quote, err);
    if (rc < 0)
        return error_wrap(err, "%s", path);
    return write_file(AT_FDCWD, g_out, quote.data, quote.size, err);
}

static int run_quote(int argc, char **argv, struct error *err)
{
    struct simulation *s;

    (void)argc;
    if (!g_out)
        return error_set(err, "simulation-quote needs --out");
    int rc = simulation_open(&s, err);
    if (rc < 0)
        return rc;
    rc = quote_report(s, argv[0], err);
    simulation_free(s);
    return rc;
}

static int write_collateral(const struct simulation *s, int dir, struct error *err)
{
    const struct simulation_options options = {.now = time(NULL)};
    struct buffer files[ATTEST_FILE_COUNT] = {0};
    cleanup_buffer struct buffer root = BUFFER_INIT;
    struct sgx_targetinfo target;
    int rc = simulation_collateral(s, &options, files, &root, err);

    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++) {
        if (rc == 0 && files[i].size)
            rc = write_file(dir, attest_file_name((enum attest_file)i), files[i].data,
                            files[i].size, err);
        buffer_release(&files[i]);
    }
    simulation_target_info(s, &target);
    if (rc == 0)
        rc = write_file(dir, "simulation_root.pem", root.data, root.size, err);
    return rc == 0 ? write_file(dir, "target_info", &target, sizeof(target), err) : rc;
}

static int run_collateral(int argc, char **argv, struct error *err)
{
    struct simulation *s;

    (void)argc;
    int rc = path_mkdir_p(argv[0], 0755, err);
    if (rc < 0)
        return rc;
    cleanup_close int dir = open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "%s", argv[0]);
    rc = simulation_open(&s, err);
    if (rc < 0)
        return rc;
    rc = write_collateral(s, dir, err);
    simulation_free(s);
    return rc < 0 ? error_wrap(err, "%s", argv[0]) : 0;
}

static const struct option g_quote_options[] = {
    {"out", "o", OPTION_TEXT, &g_out, "FILE", "where the quote goes", NULL},
};

const struct command g_simulation_quote = {
    .name = "simulation-quote",
    .arguments = "REPORT",
    .summary = "quote a report of this machine's software SGX",
    .description =
        "Checks that an emulated enclave of this machine made the report for the quoting part "
        "(target_info of simulation-collateral, which a program writes to "
        "/dev/attestation/target_info), and writes a DCAP quote, version 3, that chains to this "
        "machine's simulation root. The operator can make any such quote: it is for tests.",
    .examples = "sgx-tools simulation-quote --out web.quote web.report\n",
    .options = g_quote_options,
    .option_count = array_count(g_quote_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_quote,
};

const struct command g_simulation_collateral = {
    .name = "simulation-collateral",
    .arguments = "DIR",
    .summary = "write the collateral of this machine's software SGX",
    .description =
        "Writes TCB info, QE identity, CRLs and certificates in Intel's formats, valid for 30 days "
        "from now, the root certificate (simulation_root.pem), and the TARGETINFO that reports to "
        "be quoted are made for (target_info).",
    .examples = "sgx-tools simulation-collateral sim\n"
                "sgx-tools verify-quote --collateral sim --allow-simulation web.quote\n",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_collateral,
};
