/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands for gramine-sgx's loader in tests, for Debian has no Gramine: its command line, the files
 * that it reads and the device that it opens. The program of the manifest runs without an enclave.
 *
 *   loader LIBPAL init APPLICATION [ARGUMENT...]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIGSTRUCT_SIZE 1808

static void die(const char *what, const char *on)
{
    fprintf(stderr, "error: %s %s\n", what, on);
    exit(1);
}

static int open_beside(const char *application, const char *ending)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s%s", application, ending);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("cannot read", path);
    return fd;
}

/* The value of `key = "value"` at the start of a line. */
static char *value_of(const char *manifest, const char *key)
{
    for (const char *line = manifest; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        const char *value = strchr(line, '"');
        if (value)
            return strndup(value + 1, strcspn(value + 1, "\"\n"));
    }
    return NULL;
}

/* `loader.argv = ["a", "b"]`, without escapes in it; NULL: there is none. */
static char **arguments_of(char *manifest)
{
    static char *argv[64];
    int count = 0;
    char *at = strstr(manifest, "loader.argv = [");
    if (!at)
        return NULL;
    at += strlen("loader.argv = [");
    while (*at == '"' && count < 63) {
        const size_t size = strcspn(at + 1, "\"");
        argv[count++] = strndup(at + 1, size);
        at += 1 + size + 1;
        at += strspn(at, ", ");
    }
    return argv;
}

static void check_signature(const char *application)
{
    struct stat st;
    int fd = open_beside(application, ".sig");
    if (fstat(fd, &st) < 0 || st.st_size != SIGSTRUCT_SIZE)
        die("no SIGSTRUCT:", application);
    close(fd);
}

/* ELRANGE is mapped from the device before there is an enclave. */
static void check_device(void)
{
    int fd = open("/dev/sgx_enclave", O_RDWR | O_CLOEXEC);
    if (fd < 0 || mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
        die("cannot use", "/dev/sgx_enclave");
}

int main(int argc, char **argv)
{
    char manifest[65536];
    if (argc < 4 || strcmp(argv[2], "init") != 0)
        die("usage:", "loader LIBPAL init APPLICATION ARGS...");
    if (access(argv[1], R_OK) < 0)
        die("cannot read", argv[1]);
    int fd = open_beside(argv[3], ".manifest.sgx");
    ssize_t size = read(fd, manifest, sizeof(manifest) - 1);
    if (size < 0)
        die("cannot read the manifest of", argv[3]);
    manifest[size] = '\0';
    check_signature(argv[3]);
    check_device();
    fprintf(stderr,
            "Gramine is starting. Parsing TOML manifest file, this may take some time...\n");
    char *program = value_of(manifest, "libos.entrypoint");
    if (!program)
        die("no libos.entrypoint in the manifest of", argv[3]);
    char **fixed = arguments_of(manifest);
    execv(program, fixed ? fixed : argv + 3);
    die("cannot execute", program);
}
