/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotes: the enclave makes a report for the quoting enclave, this side has it quoted. Programs
 * choose the report data; what the host asks for itself is over the LibOS's tag (ECALL_REPORT).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attest/span.h"
#include "quoting/quoting.h"
#include "sgx/emulated.h"
#include "runtime.h"

#define UNUSED __attribute__((unused))

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static struct quoting *g_quoting;
static int g_directory = -1, g_library = -1;

/* NULL in the PAL library, which loads it; in programs of the tree it is linked. */
extern __typeof__(quoting_simulation) quoting_simulation __attribute__((weak));

void quote_take_host_files(void)
{
    g_library = open_beside("libquoting-simulated.so");
    g_directory = open(QUOTING_AESM_DIRECTORY, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* By its descriptor, for the host's files are not in sight any more. */
static int64_t load(const char *name, void *context)
{
    char path[32];
    snprintf(path, sizeof(path), "./%s", name);
    *(void **)context = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return 0;
}

static const struct quoting_simulation *load_simulation(struct error *err)
{
    void *library = NULL;
    int64_t r = g_library < 0 ? -ENOENT : with_file(g_library, load, &library);
    if (r < 0 || !library) {
        error_code(err, ENODEV, "libquoting-simulated.so, beside liberpal-libos.so: %s",
                   r < 0 ? strerror((int)-r) : dlerror());
        return NULL;
    }
    __typeof__(quoting_simulation) *find = (__typeof__(quoting_simulation) *)dlsym(
        library, "quoting_simulation");
    const struct quoting_simulation *found = find ? find(err) : NULL;
    uint8_t root[SGX_EMULATED_ROOT_SIZE];
    if (!found)
        error_code(err, ENODEV, "libquoting-simulated.so is not one of this release");
    else if (sgx_emulated_root_export(root, err) < 0)
        found = NULL;
    else
        found->import_root(root);
    explicit_bzero(root, sizeof(root));
    return found;
}

static const struct quoting_simulation *simulation(struct error *err)
{
    return quoting_simulation ? quoting_simulation(err) : load_simulation(err);
}

static struct quoting *quoting(void)
{
    pthread_mutex_lock(&g_lock);
    if (g_quoting == NULL) {
        const struct quoting_options options = {
            .simulation = g_runtime.enclave->driver->emulated ? simulation : NULL,
            .directory = g_directory,
            .name = QUOTING_AESM_SOCKET,
            .connect = connect_at};
        g_quoting = quoting_new(&options);
    }
    pthread_mutex_unlock(&g_lock);
    return g_quoting;
}

static int told(int r, struct error *err)
{
    if (r < 0)
        runtime_log(1, "quote: %s", error_text(err));
    error_release(err);
    return r;
}

static int target_info(struct sgx_targetinfo *out)
{
    struct error err = {0};
    return told(quoting_target_info(quoting(), out, &err), &err);
}

static int quote_of(const struct sgx_report *report, uint8_t *out, size_t room, size_t *size)
{
    struct error err = {0};
    struct buffer quote = BUFFER_INIT;
    int r = quoting_quote(quoting(), report, &quote, &err);
    if (r == 0 && quote.size > room)
        r = error_code(&err, ENOSPC, "%zu bytes are more than the %zu that are asked for",
                       quote.size, room);
    if (r == 0) {
        memcpy(out, quote.data, quote.size);
        *size = quote.size;
    }
    buffer_release(&quote);
    return told(r, &err);
}

int64_t ocall_TARGET_INFO(struct boundary_area *area, UNUSED const uint64_t *args)
{
    struct sgx_targetinfo target;
    int r = target_info(&target);
    if (r == 0)
        memcpy(area->data, &target, sizeof(target));
    return r;
}

int64_t ocall_QUOTE(struct boundary_area *area, const uint64_t *args)
{
    struct sgx_report report;
    size_t size = 0;
    if (args[0] != sizeof(report) || args[1] > sizeof(area->data))
        return -EINVAL;
    memcpy(&report, area->data, sizeof(report));
    int r = quote_of(&report, area->data, args[1], &size);
    return r < 0 ? r : (int64_t)size;
}

/* Over data of the host's choice there is none: the LibOS puts its tag in their place. */
int pal_get_quote(const uint8_t report_data[64], uint8_t *quote, size_t *quote_size)
{
    struct sgx_targetinfo target;
    struct sgx_report report;
    int size = sizeof(report);
    if (!g_runtime.ready)
        return -EAGAIN;
    if (!span_is_zero(span_of(report_data, 64)))
        return -EPERM;
    int r = target_info(&target);
    if (r == 0)
        r = pal_get_local_report(&target, sizeof(target), &report, &size);
    return r == 0 ? quote_of(&report, quote, *quote_size, quote_size) : r;
}
