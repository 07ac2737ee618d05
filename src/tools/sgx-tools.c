/* SPDX-License-Identifier: Apache-2.0 */
/* sgx-tools: measure, sign and look at enclave files by hand. docs/man/sgx-tools.1.md. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "sgx-dump.h"
#include "sgx/emulated.h"
#include "sgx/loader.h"
#include "sgx/sigstruct.h"

struct arguments {
    const char *key, *out, *public_key, *signature, *target;
    bool debug;
    const char *file;
};

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
static int unsigned_sigstruct(const struct arguments *a, struct sgx_sigstruct *s, struct error *err)
{
    struct sgx_sign_params params;
    cleanup_close int fd = open_file(a->file, err);

    if (fd < 0)
        return fd;
    int rc = sgx_sign_params_from_file(fd, a->debug, &params, err);
    if (rc < 0)
        return error_wrap(err, "%s", a->file);
    sgx_sigstruct_fill(&params, s);
    return 0;
}

static int run_measure(const struct arguments *a, struct error *err)
{
    uint8_t mrenclave[32];
    cleanup_close int fd = open_file(a->file, err);

    if (fd < 0)
        return fd;
    int rc = sgx_enclave_measure(fd, mrenclave, err);
    if (rc < 0)
        return error_wrap(err, "%s", a->file);
    for (size_t i = 0; i < sizeof(mrenclave); i++)
        printf("%02x", mrenclave[i]);
    putchar('\n');
    return 0;
}

static int run_keygen(const struct arguments *a, struct error *err)
{
    return sgx_key_generate(a->file, err);
}

static int run_sign(const struct arguments *a, struct error *err)
{
    struct sgx_sigstruct s;

    if (!a->key || !a->out)
        return error_set(err, "sign needs --key and --out");
    int rc = unsigned_sigstruct(a, &s, err);
    if (rc == 0)
        rc = sgx_sigstruct_sign(&s, a->key, err);
    return rc < 0 ? rc : write_out(a->out, &s, sizeof(s), err);
}

static int run_material(const struct arguments *a, struct error *err)
{
    uint8_t material[SGX_SIGNING_MATERIAL_SIZE];
    struct sgx_sigstruct s;

    if (!a->out)
        return error_set(err, "material needs --out");
    int rc = unsigned_sigstruct(a, &s, err);
    if (rc < 0)
        return rc;
    sgx_sigstruct_signing_material(&s, material);
    return write_out(a->out, material, sizeof(material), err);
}

static int run_import(const struct arguments *a, struct error *err)
{
    uint8_t signature[SGX_RSA_SIZE];
    struct sgx_sigstruct s;
    struct stat st;

    if (!a->public_key || !a->signature || !a->out)
        return error_set(err, "import needs --public-key, --signature and --out");
    cleanup_close int fd = open_file(a->signature, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || (S_ISREG(st.st_mode) && st.st_size != sizeof(signature)) ||
        read_exact(fd, signature, sizeof(signature)) < 0)
        return error_set(err, "%s: not an RSA-3072 signature of 384 bytes", a->signature);
    int rc = unsigned_sigstruct(a, &s, err);
    if (rc == 0)
        rc = sgx_sigstruct_import(&s, a->public_key, signature, err);
    return rc < 0 ? rc : write_out(a->out, &s, sizeof(s), err);
}

static int run_sigstruct(const struct arguments *a, struct error *err)
{
    struct sgx_sigstruct s;
    cleanup_close int fd = open_file(a->file, err);

    if (fd < 0)
        return fd;
    int rc = sgx_sigstruct_read(fd, &s, err);
    if (rc < 0)
        return error_wrap(err, "%s", a->file);
    dump_sigstruct(&s);
    rc = sgx_sigstruct_check(&s, err);
    printf("%-16s %s\n", "signature", rc < 0 ? "BAD" : "good");
    return rc < 0 ? error_wrap(err, "%s", a->file) : 0;
}

/* A REPORT, or its body alone. */
static int run_report(const struct arguments *a, struct error *err)
{
    struct sgx_report report;
    cleanup_close int fd = open_file(a->file, err);

    if (fd < 0)
        return fd;
    ssize_t n = read(fd, &report, sizeof(report));
    if (n < (ssize_t)sizeof(report.body))
        return error_set(err, "%s: too short for a report", a->file);
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
static int run_verify(const struct arguments *a, struct error *err)
{
    struct sgx_targetinfo target = {0};
    struct sgx_report report;

    if (read_whole(a->file, &report, sizeof(report), "a report", err) < 0 ||
        (a->target && read_whole(a->target, &target, sizeof(target), "a TARGETINFO", err) < 0))
        return -1;
    if (sgx_emulated_report_verify(&report, &target, err) < 0)
        return error_wrap(err, "%s", a->file);
    dump_report(&report.body);
    printf("verified: EMULATED: made by the software SGX of this machine, whose operator can make "
           "any such report\n");
    return 0;
}

static int run_info(const struct arguments *a, struct error *err)
{
    struct sgx_info info;

    sgx_info_get(&info);
    dump_info(&info);
    return 0;
}

static const struct command {
    const char *name, *arguments, *help;
    bool file;
    int (*run)(const struct arguments *a, struct error *err);
} g_commands[] = {
    {"measure", "ENCLAVE", "print MRENCLAVE", true, run_measure},
    {"keygen", "KEY", "make a signing key", true, run_keygen},
    {"sign", "--key KEY --out SIGSTRUCT [--debug] ENCLAVE", "sign with a local key", true,
     run_sign},
    {"material", "--out FILE [--debug] ENCLAVE", "write the bytes to be signed elsewhere", true,
     run_material},
    {"import", "--public-key PEM --signature FILE --out SIGSTRUCT [--debug] ENCLAVE",
     "take a signature made elsewhere", true, run_import},
    {"sigstruct", "SIGSTRUCT", "show and check a SIGSTRUCT", true, run_sigstruct},
    {"report", "REPORT", "show a report", true, run_report},
    {"verify", "[--target TARGETINFO] REPORT", "check a report of this machine's emulator", true,
     run_verify},
    {"info", "", "what this machine can do", false, run_info},
};

static void usage(FILE *to)
{
    fprintf(to, "usage:\n");
    for (size_t i = 0; i < array_count(g_commands); i++)
        fprintf(to, "  sgx-tools %-9s %s\n%22s%s\n", g_commands[i].name, g_commands[i].arguments,
                "", g_commands[i].help);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; name && i < array_count(g_commands); i++)
        if (strcmp(g_commands[i].name, name) == 0)
            return &g_commands[i];
    return NULL;
}

static int parse(int argc, char **argv, const struct command *c, struct arguments *a,
                 struct error *err)
{
    static const struct option options[] = {
        {"key", required_argument, NULL, 'k'},
        {"out", required_argument, NULL, 'o'},
        {"public-key", required_argument, NULL, 'p'},
        {"signature", required_argument, NULL, 's'},
        {"target", required_argument, NULL, 't'},
        {"debug", no_argument, NULL, 'd'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "k:o:", options, NULL)) != -1) {
        switch (option) {
        case 'k':
            a->key = optarg;
            break;
        case 'o':
            a->out = optarg;
            break;
        case 'p':
            a->public_key = optarg;
            break;
        case 's':
            a->signature = optarg;
            break;
        case 't':
            a->target = optarg;
            break;
        case 'd':
            a->debug = true;
            break;
        default:
            return error_set(err, "%s: see sgx-tools --help", c->name);
        }
    }
    if (argc - optind != (c->file ? 1 : 0))
        return error_set(err, "usage: sgx-tools %s %s", c->name, c->arguments);
    a->file = c->file ? argv[optind] : NULL;
    return 0;
}

int main(int argc, char **argv)
{
    const struct command *c = find_command(argc > 1 ? argv[1] : NULL);
    struct arguments a = {0};
    struct error err = ERROR_INIT;

    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        usage(stdout);
        return 0;
    }
    if (!c) {
        usage(stderr);
        return 1;
    }
    if (log_open(&(struct log_options){.program = "sgx-tools"}, &err) < 0 ||
        parse(argc - 1, argv + 1, c, &a, &err) < 0 || c->run(&a, &err) < 0)
        error_fatal(&err);
    if (fflush(stdout) != 0)
        error_fatal_set("write: %s", strerror(errno));
    return 0;
}
