/* SPDX-License-Identifier: Apache-2.0 */
/* "rune attest-host": evidence of the TDX or SEV-SNP virtual machine in which rune runs. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/hex.h"
#include "rune/commands.h"
#include "rune/tsm.h"

static struct {
    const char *user_data, *nonce, *output, *collateral, *directory;
    long long level;
    bool level_given;
} o = {.directory = TSM_DIRECTORY};

static const struct option options[] = {
    {"user-data", NULL, OPTION_TEXT, &o.user_data, "HEX",
     "report data starts with these bytes, ...", NULL},
    {"nonce", NULL, OPTION_TEXT, &o.nonce, "HEX", "... goes on with these, and ends in zeros",
     NULL},
    {"output", NULL, OPTION_TEXT, &o.output, "FILE",
     "where the evidence goes (default: standard output)", NULL},
    {"collateral", NULL, OPTION_TEXT, &o.collateral, "DIR",
     "write the certificates that an SEV-SNP host gave along there, as verify-quote --collateral "
     "reads them",
     NULL},
    {"privlevel", NULL, OPTION_NUMBER, &o.level, "N",
     "privilege level (VMPL) that the report is of, SEV-SNP alone (default: the kernel's)",
     &o.level_given},
    {"tsm", NULL, OPTION_TEXT, &o.directory, "DIR",
     "where the kernel's configfs-tsm is (default: " TSM_DIRECTORY ")", NULL},
};

/* Appends to the report data, of which *used bytes are taken. */
static int add_data(const char *name, const char *text, uint8_t data[TSM_DATA_SIZE], size_t *used,
                    struct error *err)
{
    const size_t size = text ? strlen(text) / 2 : 0;
    if (size > TSM_DATA_SIZE - *used)
        return error_set(err, "--user-data and --nonce: at most %d bytes together", TSM_DATA_SIZE);
    if (text && !hex_parse(text, strlen(text), data + *used, size))
        return error_set(err, "--%s: expected bytes in hexadecimal digits", name);
    *used += size;
    return 0;
}

static int write_certificates(const struct tsm_evidence *evidence, struct error *err)
{
    cleanup_buffer struct buffer chain = BUFFER_INIT, crl = BUFFER_INIT;
    if (evidence->kind == TSM_TDX)
        return error_set(err, "--collateral: a TDX quote carries its chain; the rest comes from a "
                              "PCCS (sgx-tools verify-quote --pccs)");
    if (tsm_certificates(evidence, &chain, &crl, err) < 0)
        return -1;
    if (!chain.size)
        return error_set(err, "--collateral: the host gave no certificate of the key that signed; "
                              "get VCEK and chain from AMD (https://kdsintf.amd.com)");
    cleanup_close int dir = open(o.collateral, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "--collateral %s", o.collateral);
    int ret = replace_file_at(dir, "snp_chain.pem", chain.data, chain.size, 0644, false, err);
    if (ret == 0 && crl.size)
        ret = replace_file_at(dir, "snp.crl", crl.data, crl.size, 0644, false, err);
    return ret;
}

static int run(int argc, char **argv, struct error *err)
{
    cleanup_tsm struct tsm_evidence evidence = {0};
    uint8_t data[TSM_DATA_SIZE] = {0};
    size_t used = 0;
    (void)argc;
    (void)argv;
    if (o.level_given && (o.level < 0 || o.level > 3))
        return error_set(err, "--privlevel: expected 0 to 3");
    if (add_data("user-data", o.user_data, data, &used, err) < 0 ||
        add_data("nonce", o.nonce, data, &used, err) < 0 ||
        tsm_get(o.directory, data, o.level_given ? (int)o.level : TSM_LEVEL_NONE, &evidence, err) <
            0 ||
        (o.collateral && write_certificates(&evidence, err) < 0))
        return -1;
    if (o.output)
        return replace_file_at(AT_FDCWD, o.output, evidence.evidence.data, evidence.evidence.size,
                               0644, false, err);
    int ret = write_all(STDOUT_FILENO, evidence.evidence.data, evidence.evidence.size);
    return ret < 0 ? error_errno(err, -ret, "write the evidence") : 0;
}

const struct command command_attest_host = {
    .name = "attest-host",
    .arguments = "",
    .summary = "get evidence of the TDX or SEV-SNP machine in which rune runs",
    .description =
        "Asks the kernel (configfs-tsm, Linux 6.7 or later) for a TDX quote or an SEV-SNP report "
        "over the given data, and writes it as \"sgx-tools verify-quote\" takes it. It is about "
        "the "
        "virtual machine as a whole, as it was started: its ordinary containers are as trusted as "
        "everything else in it. Needs root.",
    .examples = "rune attest-host --nonce $nonce --output quote\n"
                "rune attest-host --nonce $nonce --collateral . --output report\n",
    .options = options,
    .option_count = array_count(options),
    .run = run,
};
