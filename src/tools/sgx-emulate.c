/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sgx-emulate: run a program that uses Linux's SGX device on the software SGX. The work is done in
 * the program itself, by src/sgx/emulate. docs/man/sgx-emulate.1.md.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "cli/cli.h"
#include "enclave/locate.h"
#include "sgx/emulated.h"

#define SCRIPTS 4 /* how deep interpreters may be scripts */

static const char *g_log;
static const struct option g_options[] = {
    {"log", NULL, OPTION_TEXT, &g_log, "FILE", "write the line that says what this is to FILE, too",
     NULL},
};

static int usage(void)
{
    printf(
        "NAME:\n   sgx-emulate - run a program that uses SGX on a machine without it\n\n"
        "USAGE:\n   sgx-emulate [--log FILE] PROGRAM [ARGUMENT...]\n\n"
        "DESCRIPTION:\n"
        "   Runs an unmodified dynamic program that uses Linux's SGX device. Device, ENCLU, the\n"
        "   vDSO's function and CPUID are the software SGX's, in the program and in all that it\n"
        "   starts. It protects nothing from this machine: for development and tests.\n\n"
        "OPTIONS:\n   --log FILE  write the line that says what this is to FILE, too\n"
        "   --help, -h  show help\n\n"
        "EXAMPLES:\n   sgx-emulate gramine-sgx helloworld\n");
    return fflush(stdout) == 0 ? 0 : 1;
}

/* As a shell finds it. Owned by the caller. */
static char *find_program(const char *name, struct error *err)
{
    const char *list = getenv("PATH");

    if (strchr(name, '/'))
        return xstrdup(name);
    if (!list)
        list = "/usr/local/bin:/usr/bin:/bin";
    for (const char *at = list;; at++) {
        const size_t size = strcspn(at, ":");
        char *path = size ? xasprintf("%.*s/%s", (int)size, at, name) : xasprintf("./%s", name);
        if (access(path, X_OK) == 0)
            return path;
        free(path);
        at += size;
        if (!*at)
            break;
    }
    error_code(err, ENOENT, "%s: there is no such program in PATH", name);
    return NULL;
}

/* The interpreter that "#!" names, or NULL. */
static char *script_interpreter(const char *head)
{
    if (strncmp(head, "#!", 2) != 0)
        return NULL;
    head += 2 + strspn(head + 2, " \t");
    return xasprintf("%.*s", (int)strcspn(head, " \t\n"), head);
}

static int check_elf(int fd, const char *path, const Elf64_Ehdr *ehdr, struct error *err)
{
    Elf64_Phdr phdr;

    if (ehdr->e_ident[EI_CLASS] != ELFCLASS64 || ehdr->e_machine != EM_X86_64)
        return error_set(err, "%s is not a program for x86-64", path);
    for (unsigned i = 0; i < ehdr->e_phnum; i++) {
        const off_t at = (off_t)(ehdr->e_phoff + i * sizeof(phdr));
        if (pread(fd, &phdr, sizeof(phdr), at) != (ssize_t)sizeof(phdr))
            return error_set(err, "%s is cut short", path);
        if (phdr.p_type == PT_INTERP)
            return 0;
    }
    return error_set(
        err,
        "%s is a static program, which sgx-emulate cannot run: it comes into a program "
        "by ld.so",
        path);
}

/* Only what ld.so starts can be run. */
static int check_program(const char *path, unsigned depth, struct error *err)
{
    char head[256] = "";
    struct stat st;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", path);
    if (S_ISREG(st.st_mode) && (st.st_mode & (S_ISUID | S_ISGID)) && geteuid() != 0)
        return error_set(err,
                         "%s is set-user-ID or set-group-ID: ld.so lets nothing into such a "
                         "program",
                         path);
    const ssize_t size = pread(fd, head, sizeof(head) - 1, 0);
    if (size >= (ssize_t)sizeof(Elf64_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0)
        return check_elf(fd, path, (const Elf64_Ehdr *)head, err);
    cleanup_free char *interpreter = script_interpreter(head);
    if (!interpreter || depth == SCRIPTS)
        return error_set(err, "%s is no program", path);
    return check_program(interpreter, depth + 1, err);
}

static int set_preload(struct error *err)
{
    const char *now = getenv("LD_PRELOAD");
    cleanup_free char *library = locate_runtime_file("libsgx-emulate.so");

    if (access(library, R_OK) < 0)
        return error_errno(err, errno, "%s", library);
    if (strpbrk(library, " :"))
        return error_set(err, "%s: LD_PRELOAD takes no path with blanks or colons", library);
    cleanup_free char *value = xasprintf("%s%s%s", library, now && *now ? ":" : "", now ? now : "");
    return setenv("LD_PRELOAD", value, 1) < 0 ? error_errno(err, errno, "LD_PRELOAD") : 0;
}

/* The programs' descriptor of the root key, which they may have no right to open. */
static int set_root(struct error *err)
{
    char number[16];

    if (getenv(SGX_EMULATED_ROOT_FD))
        return 0;
    cleanup_close int fd = sgx_emulated_root_open(err);
    if (fd < 0)
        return fd;
    const int kept = fcntl(fd, F_DUPFD, 800); /* inherited, and out of the way */
    const int inherited = kept < 0 ? fcntl(fd, F_DUPFD, 3) : kept;
    if (inherited < 0)
        return error_errno(err, errno, "the emulated SGX root key");
    snprintf(number, sizeof(number), "%d", inherited);
    return setenv(SGX_EMULATED_ROOT_FD, number, 1) < 0 ? error_errno(err, errno, "environment") : 0;
}

static int say(struct error *err)
{
    static const char line[] = "SGX is emulated: the enclaves of this program are not protected "
                               "from this machine";

    fprintf(stderr, "sgx-emulate: %s\n", line);
    if (!g_log)
        return 0;
    const struct log_options options = {.program = "sgx-emulate", .path = g_log, .debug = true};
    if (log_open(&options, err) < 0)
        return -1;
    log_warning("%s", line);
    return 0;
}

static int run(int argc, char **argv, struct error *err)
{
    bool help = false;
    const int used = options_parse(g_options, sizeof(g_options) / sizeof(g_options[0]), argc, argv,
                                   &help, err);

    if (used < 0)
        return used;
    if (help)
        return usage();
    if (used >= argc)
        return error_set(err, "which program? sgx-emulate PROGRAM [ARGUMENT...]");
    cleanup_free char *path = find_program(argv[used], err);
    if (!path || check_program(path, 0, err) < 0 || set_root(err) < 0 || set_preload(err) < 0 ||
        say(err) < 0)
        return -1;
    execv(path, argv + used);
    return error_errno(err, errno, "%s", path);
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    const struct log_options options = {.program = "sgx-emulate"};

    log_open(&options, NULL);
    const int rc = run(argc - 1, argv + 1, &err);
    if (rc < 0)
        error_fatal(&err);
    return rc;
}
