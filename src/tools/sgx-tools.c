/* SPDX-License-Identifier: Apache-2.0 */
/* sgx-tools: measure, sign and look at enclave files by hand. docs/man/sgx-tools.1.md. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/hex.h"
#include "cli/cli.h"
#include "inspect.h"
#include "sgx-dump.h"
#include "sgx/emulated.h"
#include "sgx/loader.h"
#include "sgx/sigstruct.h"
#include "simulation-tools.h"
#include "verify-quote.h"

/* What the options of all commands say; a command takes the ones that it lists. */
static struct {
    const char *key, *out, *public_key, *signature, *target;
    bool debug;
} o;

static int open_file(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? error_errno(err, errno, "open %s", path) : fd;
}

static int write_out(const char *path, const void *data, size_t size, struct error *err)
{
    return replace_file_at(AT_FDCWD, path, data, size, 0644, true, err);
}

/* The SIGSTRUCT of an enclave file, not yet signed. */
static int unsigned_sigstruct(const char *file, struct sgx_sigstruct *s, struct error *err)
{
    struct sgx_sign_params params;
    cleanup_close int fd = open_file(file, err);

    if (fd < 0)
        return fd;
    int rc = sgx_sign_params_from_file(fd, o.debug, &params, err);
    if (rc < 0)
        return error_wrap(err, "%s", file);
    sgx_sigstruct_fill(&params, s);
    return 0;
}

static int run_measure(int argc, char **argv, struct error *err)
{
    (void)argc;
    uint8_t mrenclave[32];
    cleanup_close int fd = open_file(argv[0], err);

    if (fd < 0)
        return fd;
    int rc = sgx_enclave_measure(fd, mrenclave, err);
    if (rc < 0)
        return error_wrap(err, "%s", argv[0]);
    hex_print(stdout, mrenclave, sizeof(mrenclave));
    return 0;
}

static int run_keygen(int argc, char **argv, struct error *err)
{
    (void)argc;
    return sgx_key_generate(argv[0], err);
}

static int run_sign(int argc, char **argv, struct error *err)
{
    (void)argc;
    struct sgx_sigstruct s;

    if (!o.key || !o.out)
        return error_set(err, "sign needs --key and --out");
    int rc = unsigned_sigstruct(argv[0], &s, err);
    if (rc == 0)
        rc = sgx_sigstruct_sign(&s, o.key, err);
    return rc < 0 ? rc : write_out(o.out, &s, sizeof(s), err);
}

static int run_material(int argc, char **argv, struct error *err)
{
    (void)argc;
    uint8_t material[SGX_SIGNING_MATERIAL_SIZE];
    struct sgx_sigstruct s;

    if (!o.out)
        return error_set(err, "material needs --out");
    int rc = unsigned_sigstruct(argv[0], &s, err);
    if (rc < 0)
        return rc;
    sgx_sigstruct_signing_material(&s, material);
    return write_out(o.out, material, sizeof(material), err);
}

static int run_import(int argc, char **argv, struct error *err)
{
    (void)argc;
    uint8_t signature[SGX_RSA_SIZE];
    struct sgx_sigstruct s;
    struct stat st;

    if (!o.public_key || !o.signature || !o.out)
        return error_set(err, "import needs --public-key, --signature and --out");
    cleanup_close int fd = open_file(o.signature, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || (S_ISREG(st.st_mode) && st.st_size != sizeof(signature)) ||
        read_exact(fd, signature, sizeof(signature)) < 0)
        return error_set(err, "%s: not an RSA-3072 signature of 384 bytes", o.signature);
    int rc = unsigned_sigstruct(argv[0], &s, err);
    if (rc == 0)
        rc = sgx_sigstruct_import(&s, o.public_key, signature, err);
    return rc < 0 ? rc : write_out(o.out, &s, sizeof(s), err);
}

static int run_sigstruct(int argc, char **argv, struct error *err)
{
    (void)argc;
    struct sgx_sigstruct s;
    cleanup_close int fd = open_file(argv[0], err);

    if (fd < 0)
        return fd;
    int rc = sgx_sigstruct_read(fd, &s, err);
    if (rc < 0)
        return error_wrap(err, "%s", argv[0]);
    dump_sigstruct(&s);
    rc = sgx_sigstruct_check(&s, err);
    printf("%-16s %s\n", "signature", rc < 0 ? "BAD" : "good");
    return rc < 0 ? error_wrap(err, "%s", argv[0]) : 0;
}

/* A REPORT, or its body alone. */
static int run_report(int argc, char **argv, struct error *err)
{
    (void)argc;
    struct sgx_report report;
    cleanup_close int fd = open_file(argv[0], err);

    if (fd < 0)
        return fd;
    ssize_t n = read(fd, &report, sizeof(report));
    if (n < (ssize_t)sizeof(report.body))
        return error_set(err, "%s: too short for a report", argv[0]);
    dump_report(&report.body);
    if (n == sizeof(report)) {
        dump_hex("key-id", report.key_id, sizeof(report.key_id));
        dump_hex("mac", report.mac, sizeof(report.mac));
    }
    return 0;
}

static int read_whole(const char *path, void *out, size_t size, const char *what, struct error *err)
{
    char more;
    cleanup_close int fd = open_file(path, err);

    if (fd < 0)
        return fd;
    if (read_exact(fd, out, size) < 0 || read(fd, &more, 1) != 0)
        return error_set(err, "%s: not %s of %zu bytes", path, what, size);
    return 0;
}

/* What only this machine's emulator can say of its own reports; a processor's, a quote says. */
static int run_verify(int argc, char **argv, struct error *err)
{
    (void)argc;
    struct sgx_targetinfo target = {0};
    struct sgx_report report;

    if (read_whole(argv[0], &report, sizeof(report), "a report", err) < 0 ||
        (o.target && read_whole(o.target, &target, sizeof(target), "a TARGETINFO", err) < 0))
        return -1;
    if (sgx_emulated_report_verify(&report, &target, err) < 0)
        return error_wrap(err, "%s", argv[0]);
    dump_report(&report.body);
    printf("verified: EMULATED: made by the software SGX of this machine, whose operator can make "
           "any such report\n");
    return 0;
}

static int run_info(int argc, char **argv, struct error *err)
{
    (void)argc;
    (void)argv;
    (void)err;
    struct sgx_info info;

    sgx_info_get(&info);
    dump_info(&info);
    return 0;
}

#define OPTION_OUT(what)                                    \
    {                                                       \
        "out", "o", OPTION_TEXT, &o.out, "FILE", what, NULL \
    }
#define OPTION_DEBUG                                                                               \
    {                                                                                              \
        "debug", NULL, OPTION_FLAG, &o.debug, NULL,                                                \
            "the enclave may also be started with the DEBUG attribute, so that the host reads it " \
            "(insecure)",                                                                          \
            NULL                                                                                   \
    }

static const struct option g_sign_options[] = {
    {"key", "k", OPTION_TEXT, &o.key, "KEY",
     "signing key, RSA-3072 with exponent 3: a PEM file or a URI, as of PKCS #11", NULL},
    OPTION_OUT("where the SIGSTRUCT goes"),
    OPTION_DEBUG,
};
static const struct option g_material_options[] = {
    OPTION_OUT("where the bytes to sign go"),
    OPTION_DEBUG,
};
static const struct option g_import_options[] = {
    {"public-key", NULL, OPTION_TEXT, &o.public_key, "PEM", "public key of the signature", NULL},
    {"signature", NULL, OPTION_TEXT, &o.signature, "FILE",
     "signature: RSASSA-PKCS1-v1_5 with SHA-256, 384 bytes", NULL},
    OPTION_OUT("where the SIGSTRUCT goes"),
    OPTION_DEBUG,
};
static const struct option g_verify_options[] = {
    {"target", NULL, OPTION_TEXT, &o.target, "TARGETINFO",
     "whom the report was made for (default: all zero)", NULL},
};

static const struct command g_measure = {
    .name = "measure",
    .arguments = "ENCLAVE",
    .summary = "print the MRENCLAVE of an enclave file",
    .description = "Computes MRENCLAVE as the processor will; no SGX is needed.",
    .examples = "sgx-tools measure app.enclave\n",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_measure,
};
static const struct command g_keygen = {
    .name = "keygen",
    .arguments = "KEY",
    .summary = "make a signing key",
    .description = "Writes an RSA-3072 key with public exponent 3 in PEM, mode 0600. A file that "
                   "exists is not overwritten.",
    .examples = "sgx-tools keygen key.pem\n",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_keygen,
};
static const struct command g_sign = {
    .name = "sign",
    .arguments = "ENCLAVE",
    .summary = "sign an enclave file",
    .description = "Writes the SIGSTRUCT (1808 bytes) that goes with the file. The same file and "
                   "key give the same bytes, whenever and wherever. The key is a file, or in a "
                   "token or any other place that OpenSSL reaches by a URI.",
    .examples = "sgx-tools sign --key key.pem --out app.sig app.enclave\n"
                "sgx-tools sign --key 'pkcs11:token=release;object=app?pin-source=file:/root/pin' "
                "--out app.sig app.enclave\n",
    .options = g_sign_options,
    .option_count = array_count(g_sign_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_sign,
};
static const struct command g_material = {
    .name = "material",
    .arguments = "ENCLAVE",
    .summary = "write the bytes to sign elsewhere",
    .description =
        "Writes the 256 bytes of the SIGSTRUCT that the signature covers, for a key that "
        "is on another machine. \"sgx-tools import\" takes the signature.",
    .examples = "sgx-tools material --out app.sign app.enclave\n"
                "openssl dgst -sha256 -sign key.pem -out app.rsa app.sign\n",
    .options = g_material_options,
    .option_count = array_count(g_material_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_material,
};
static const struct command g_import = {
    .name = "import",
    .arguments = "ENCLAVE",
    .summary = "complete a SIGSTRUCT with a signature made elsewhere",
    .description =
        "Checks that the signature is over this file's bytes by this key, then writes the "
        "SIGSTRUCT.",
    .examples =
        "sgx-tools import --public-key key.pub --signature app.rsa --out app.sig app.enclave\n",
    .options = g_import_options,
    .option_count = array_count(g_import_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_import,
};
static const struct command g_sigstruct = {
    .name = "sigstruct",
    .arguments = "SIGSTRUCT",
    .summary = "show a SIGSTRUCT and check its signature",
    .description = "Exits with 1 if the signature is bad.",
    .examples = "sgx-tools sigstruct app.sig\n",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_sigstruct,
};
static const struct command g_report = {
    .name = "report",
    .arguments = "REPORT",
    .summary = "show a report",
    .description = "Shows a REPORT (432 bytes) or its body (384 bytes). It checks no MAC: a report "
                   "proves nothing by itself.",
    .examples = "sgx-tools report web.report\n",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_report,
};
static const struct command g_verify = {
    .name = "verify",
    .arguments = "REPORT",
    .summary = "check a report of this machine's software SGX",
    .description = "Checks the MAC of a report that an emulated enclave of this machine made. The "
                   "operator of the machine can make any such report: this is for tests.",
    .examples = "sgx-tools verify --target my.targetinfo web.report\n",
    .options = g_verify_options,
    .option_count = array_count(g_verify_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_verify,
};
static const struct command g_info = {
    .name = "info",
    .arguments = "",
    .summary = "show what this machine can do",
    .description = "Shows what the processor, the kernel and its devices offer, whether the "
                   "enclave's defences are right for this processor and its microcode, and which "
                   "enclave.type the value auto stands for here.",
    .examples = "sgx-tools info\n",
    .run = run_info,
};

static const struct command *const g_commands[] = {
    &g_measure,
    &g_keygen,
    &g_sign,
    &g_material,
    &g_import,
    &g_inspect,
    &g_sigstruct,
    &g_report,
    &g_verify,
    &g_verify_quote,
    &g_simulation_quote,
    &g_simulation_collateral,
    &g_info,
    NULL,
};

int main(int argc, char **argv)
{
    static const struct program program = {
        .name = "sgx-tools",
        .summary = "measure, sign and look at enclave files, verify quotes",
        .description = "The steps that rune does by itself, by hand and one at a time; "
                       "\"rune-image\" is for whole images.",
        .commands = g_commands,
        .manual_section = 1,
    };
    return program_main(&program, NULL, argc, argv);
}
