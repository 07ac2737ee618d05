/* SPDX-License-Identifier: Apache-2.0 */
/* A signing service's side: the enclave that a request describes, built anew. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "enclave/bundle/layout_build.h"
#include "enclave/bundle/service.h"
#include "layout.h"
#include "sgx/sigstruct.h"

/* All of it goes through the measurement, a block for each page. */
#define STATIC_MEMORY_MAX (16ull << 30)

int signing_programs_open(const char *libos, struct signing_programs *out, struct error *err)
{
    cleanup_buffer struct buffer program = BUFFER_INIT;
    *out = (struct signing_programs){.libos_path = find_libos(libos)};
    if (read_file_at(AT_FDCWD, out->libos_path, &out->libos, LIBOS_LIMIT, err) < 0)
        return error_wrap(err, "LibOS");
    hash_of(out->libos.data, out->libos.size, out->libos_hash);
    cleanup_free char *proxy = find_proxy(out->libos_path);
    int ret = read_file_at(AT_FDCWD, proxy, &program, MANIFEST_PROXY_MAX, err);
    if (ret == -ENOENT) {
        error_release(err);
        return 0;
    }
    if (ret < 0)
        return ret;
    out->proxy_size = program.size;
    hash_of(buffer_text(&program), program.size, out->proxy_hash);
    return 0;
}

void signing_programs_release(struct signing_programs *programs)
{
    free(programs->libos_path);
    buffer_release(&programs->libos);
}

static void fill_manifest(const struct signing_programs *programs,
                          const struct signing_request *request,
                          const struct bundle_settings *settings, struct manifest_image *out)
{
    struct image_info info = {.seal.salt_size = request->salt_size,
                              .sites_size = request->sites_size};
    seal_place(&info.seal, request->data_size);
    memcpy(info.seal.root_hash, request->root_hash, sizeof(info.seal.root_hash));
    memcpy(info.seal.salt, request->salt, sizeof(info.seal.salt));
    memcpy(info.sites_hash, request->sites_hash, sizeof(info.sites_hash));
    manifest_fill(settings, &info, out);
    out->proxy_size = programs->proxy_size;
    memcpy(out->proxy_hash, programs->proxy_hash, sizeof(out->proxy_hash));
}

static int write_enclave(const struct signing_programs *programs,
                         const struct bundle_settings *settings,
                         const struct signing_request *request, int fd, struct error *err)
{
    struct manifest_image manifest;
    struct libos_elf elf;
    fill_manifest(programs, request, settings, &manifest);
    int ret = libos_elf_read(programs->libos_path, programs->libos.data, programs->libos.size,
                             LAYOUT_LIBOS_BASE(settings->enclave_size), &elf, err);
    if (ret < 0)
        return ret;
    ret = layout_write(&elf, &manifest, &request->bound, settings, fd, err);
    libos_elf_release(&elf);
    return ret;
}

int signing_rebuild(const struct signing_programs *programs, const struct signing_request *request,
                    struct sgx_sigstruct *out, struct error *err)
{
    struct bundle_settings settings = request->settings;
    struct sgx_sign_params params;
    settings.signed_elsewhere = true;
    if (settings.no_sgx2 && settings.memory_limit > STATIC_MEMORY_MAX)
        return error_set(err, "an enclave for SGX1 has %llu MiB of memory at most here",
                         STATIC_MEMORY_MAX >> 20);
    int ret = settings_complete(&settings, err);
    if (ret < 0)
        return ret;
    cleanup_close int fd = memfd_create("enclave", MFD_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "make the enclave");
    ret = write_enclave(programs, &settings, request, fd, err);
    if (ret == 0)
        ret = sgx_sign_params_from_file(fd, settings.debug, &params, err);
    if (ret < 0)
        return ret;
    sgx_sigstruct_fill(&params, out);
    return 0;
}
