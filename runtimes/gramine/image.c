/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "enclave/gramine.h"
#include "gramine.h"
#include "sgx/sigstruct.h"

static bool has_manifest(const char *application)
{
    cleanup_free char *path = xasprintf("%s" GRAMINE_MANIFEST, application);
    return access(path, F_OK) == 0;
}

/* The one NAME.manifest.sgx of the working directory, without the ending. */
static int only_manifest(char **out, struct error *err)
{
    cleanup_dir DIR *directory = opendir(".");
    cleanup_free char *found = NULL;
    struct dirent *entry;
    if (!directory)
        return error_errno(err, errno, "read the working directory");
    while ((entry = readdir(directory))) {
        const size_t size = strlen(entry->d_name), ending = strlen(GRAMINE_MANIFEST);
        if (size <= ending || strcmp(entry->d_name + size - ending, GRAMINE_MANIFEST) != 0)
            continue;
        if (found)
            return error_code(err, EINVAL,
                              "the working directory has more than one *" GRAMINE_MANIFEST
                              ": name one by enclave.runtime.args, without the ending");
        found = xstrndup(entry->d_name, size - ending);
    }
    *out = take_ptr(found);
    return 0;
}

static int find_application(const char *named, char **out, struct error *err)
{
    if (named[0] != '\0') {
        *out = xstrdup(named);
        return has_manifest(named) ? 0
                                   : error_code(err, ENOENT,
                                                "enclave.runtime.args names %s, but the image has "
                                                "no %s" GRAMINE_MANIFEST,
                                                named, named);
    }
    if (has_manifest(GRAMINE_GSC_APPLICATION))
        *out = xstrdup(GRAMINE_GSC_APPLICATION);
    else if (only_manifest(out, err) < 0)
        return -1;
    return *out ? 0
                : error_code(err, ENOENT,
                             "the image is none of Gramine's: neither its working directory nor "
                             "enclave.runtime.args has a NAME" GRAMINE_MANIFEST);
}

/* The loader is a program of glibc, which the image has to bring. */
static int check_interpreter(const char *loader, struct error *err)
{
    Elf64_Ehdr ehdr;
    Elf64_Phdr phdr;
    char name[256] = "";
    cleanup_close int fd = open(loader, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr))
        return error_errno(err, fd < 0 ? errno : ENOEXEC, "%s", loader);
    if (memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0)
        return error_code(err, ENOEXEC, "%s is no program", loader);
    for (unsigned i = 0; i < ehdr.e_phnum; i++) {
        const off_t at = (off_t)(ehdr.e_phoff + i * sizeof(phdr));
        if (pread(fd, &phdr, sizeof(phdr), at) != sizeof(phdr))
            return error_code(err, ENOEXEC, "%s is cut short", loader);
        if (phdr.p_type != PT_INTERP || phdr.p_filesz >= sizeof(name))
            continue;
        if (pread(fd, name, phdr.p_filesz, (off_t)phdr.p_offset) < 0)
            return error_errno(err, errno, "%s", loader);
        if (access(name, X_OK) < 0)
            return error_code(err, ENOENT,
                              "the image has no %s, by which Gramine's loader starts: Gramine "
                              "needs an image with glibc",
                              name);
        return 0;
    }
    return 0;
}

static int find_loader(struct gramine_image *out, struct error *err)
{
    cleanup_free char *directory = gramine_directory(GRAMINE_GSC_PREFIX);
    out->own_loader = directory;
    if (!directory)
        directory = gramine_directory(gramine_prefix());
    if (!directory)
        return error_code(err, ENOENT,
                          "neither the image nor this machine has Gramine: it is looked for below "
                          "%s (RUNE_GRAMINE names another place)",
                          gramine_prefix());
    out->loader = xasprintf("%s/sgx/loader", directory);
    out->library = xasprintf("%s/sgx/libpal.so", directory);
    if (access(out->loader, X_OK) < 0 || access(out->library, R_OK) < 0)
        return error_errno(err, errno, "Gramine in %s is incomplete", directory);
    return check_interpreter(out->loader, err);
}

int gramine_image_find(const char *named, struct gramine_image *out, struct error *err)
{
    if (find_application(named, &out->application, err) < 0 || find_loader(out, err) < 0)
        return -1;
    cleanup_free char *path = xasprintf("%s.sig", out->application);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "%s, the signature of the manifest", path);
    if (sgx_sigstruct_read(fd, &out->sigstruct, err) < 0)
        return error_wrap(err, "%s", path);
    return 0;
}

void gramine_image_release(struct gramine_image *image)
{
    free(image->loader);
    free(image->library);
    free(image->application);
    memset(image, 0, sizeof(*image));
}
