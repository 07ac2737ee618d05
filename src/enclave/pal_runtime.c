/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/pal_runtime.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "enclave/pal_private.h"

/* ---- version 4 is the shape itself ---- */

static int v4_init(struct pal_runtime *runtime, const struct pal_init_args_v4 *args)
{
    return pal_result(runtime, ((pal_init_v4_fn *)runtime->init)(args));
}

static int v4_create(struct pal_runtime *runtime, const struct pal_process_args_v4 *args, int *pid)
{
    return pal_result(runtime, ((pal_create_process_v4_fn *)runtime->create_process)(args, pid));
}

static int v4_start(struct pal_runtime *runtime, int pid, struct error *err)
{
    int result = pal_result(runtime, ((pal_start_process_fn *)runtime->start_process)(pid));
    return result < 0 ? error_errno(err, -result, "start process %d in the enclave", pid) : 0;
}

static int v4_kill(struct pal_runtime *runtime, int pid, int sig)
{
    return pal_result(runtime, runtime->kill(pid, sig));
}

static const struct pal_version pal_version_4 = {
    .number = 4, .init = v4_init, .create = v4_create, .start = v4_start, .kill = v4_kill};

static const struct pal_version *const g_versions[] = {NULL, &pal_version_1, &pal_version_2,
                                                       &pal_version_3, &pal_version_4};

/* ---- symbols ---- */

#define NEVER (PAL_VERSION_MAX + 1)

/* `needed_from`..`needed_to` must have the symbol; `known_from` and later may. */
static const struct symbol {
    const char *name;
    size_t slot;
    int known_from, needed_from, needed_to;
} g_symbols[] = {
#define SLOT(member) offsetof(struct pal_runtime, member)
    {"pal_init", SLOT(init), 1, 1, 4},
    {"pal_exec", SLOT(exec), 1, 1, 3},
    {"pal_create_process", SLOT(create_process), 2, 2, 4},
    {"pal_start_process", SLOT(start_process), 4, 4, 4},
    {"pal_kill", SLOT(kill), 2, 2, 4},
    {"pal_kill_foreground", SLOT(kill_foreground), 4, NEVER, 0},
    {"pal_resize", SLOT(resize), 4, 4, 4},
    {"pal_get_local_report", SLOT(get_local_report), 3, 3, 4},
    {"pal_get_info", SLOT(get_info), 4, 4, 4},
    {"pal_get_stats", SLOT(get_stats), 4, 4, 4},
    {"pal_get_quote", SLOT(get_quote), 4, 4, 4},
    {"pal_set_limits", SLOT(set_limits), 4, NEVER, 0},
    {"pal_destroy", SLOT(destroy), 1, 1, 4},
    {"occlum_pal_get_version", SLOT(occlum), 2, NEVER, 0},
#undef SLOT
};

static int find_symbols(struct pal_runtime *runtime, struct error *err)
{
    int version = runtime->version->number;
    for (size_t i = 0; i < array_count(g_symbols); i++) {
        const struct symbol *symbol = &g_symbols[i];
        if (version < symbol->known_from)
            continue;
        void *address = dlsym(runtime->library, symbol->name);
        if (address == NULL && version >= symbol->needed_from && version <= symbol->needed_to)
            return error_set(err,
                             "enclave runtime %s: PAL version %d needs the function %s, which the "
                             "library does not export",
                             runtime->path, version, symbol->name);
        memcpy((char *)runtime + symbol->slot, &address, sizeof(address));
    }
    return 0;
}

static int negotiate(struct pal_runtime *runtime, struct error *err)
{
    pal_get_version_fn *get_version = (pal_get_version_fn *)dlsym(runtime->library,
                                                                  "pal_get_version");
    if (get_version == NULL && dlsym(runtime->library, "pal_init") == NULL)
        return error_set(err,
                         "enclave runtime %s: not a PAL library: it exports neither "
                         "pal_get_version nor pal_init",
                         runtime->path);
    int version = get_version != NULL ? get_version() : 1;
    if (version < 1 || version > PAL_VERSION_MAX)
        return error_set(err, "enclave runtime %s: PAL version %d, but rune knows versions 1 to %d",
                         runtime->path, version, PAL_VERSION_MAX);
    runtime->version = g_versions[version];
    return 0;
}

static void runtime_free(struct pal_runtime *runtime)
{
    if (runtime->library != NULL)
        dlclose(runtime->library);
    free(runtime->path);
    free(runtime);
}

int pal_runtime_load(const char *path, struct pal_runtime **out, struct error *err)
{
    /* dlopen would search the system's directories for a bare name, and says little about a missing
     * file. */
    if (path[0] != '/')
        return error_set(err, "enclave runtime %s: the path must be absolute", path);
    cleanup_close int probe = open(path, O_RDONLY | O_CLOEXEC);
    if (probe < 0)
        return error_errno(err, errno, "enclave runtime %s", path);

    struct pal_runtime *runtime = xcalloc(1, sizeof(*runtime));
    pthread_mutex_init(&runtime->lock, NULL);
    runtime->path = xstrdup(path);
    runtime->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    int result = 0;
    if (runtime->library == NULL)
        result = error_set(err, "enclave runtime %s: %s", path, dlerror());
    if (result == 0)
        result = negotiate(runtime, err);
    if (result == 0)
        result = find_symbols(runtime, err);
    if (result < 0) {
        runtime_free(runtime);
        return result;
    }
    *out = runtime;
    return 0;
}

int pal_runtime_version(const struct pal_runtime *runtime)
{
    return runtime->version->number;
}

const char *pal_runtime_path(const struct pal_runtime *runtime)
{
    return runtime->path;
}

/* ---- calls ---- */

int pal_result(const struct pal_runtime *runtime, int result)
{
    if (result == -1 && runtime->version->number < 4 && errno > 0)
        return -errno;
    return result > 0 ? -EPROTO : result;
}

int pal_runtime_init(struct pal_runtime *runtime, const struct pal_init_args_v4 *args,
                     struct error *err)
{
    runtime->event = args->event;
    runtime->log = args->log;
    runtime->context = args->context;
    errno = 0;
    int result = runtime->version->init(runtime, args);
    if (result < 0)
        return error_errno(err, -result, "enclave runtime %s: start the enclave", runtime->path);
    return 0;
}

int pal_exec_error(const char *path, int code, struct error *err)
{
    if (code == ENOENT && strchr(path, '/') == NULL)
        return error_code(err, code, "exec: \"%s\": executable file not found in $PATH", path);
    return error_errno(err, code, "exec: \"%s\"", path);
}

/* What the runtime says of the process that this thread is creating: it belongs to the failure. */
static __thread struct {
    bool collecting;
    char *line;
} t_reason;

bool pal_runtime_keep_reason(const char *message)
{
    if (!t_reason.collecting)
        return false;
    free(t_reason.line);
    t_reason.line = xstrdup(message);
    return true;
}

int pal_runtime_create_process(struct pal_runtime *runtime, const struct pal_process_args_v4 *args,
                               int *pid, struct error *err)
{
    errno = 0;
    t_reason.collecting = true;
    int result = runtime->version->create(runtime, args, pid);
    t_reason.collecting = false;
    cleanup_free char *reason = take_ptr(t_reason.line);
    if (result < 0) {
        cleanup_error struct error failure = ERROR_INIT;
        pal_exec_error(args->path != NULL ? args->path : args->argv[0], -result, &failure);
        return reason == NULL
                   ? error_code(err, failure.code, "%s", error_text(&failure))
                   : error_code(err, failure.code, "%s: %s", error_text(&failure), reason);
    }
    if (reason != NULL && runtime->log != NULL)
        runtime->log(runtime->context, 1, reason);
    if (*pid <= 0)
        return error_set(err, "enclave runtime %s: process id %d is not positive", runtime->path,
                         *pid);
    return 0;
}

int pal_runtime_start(struct pal_runtime *runtime, int pid, struct error *err)
{
    errno = 0;
    return runtime->version->start(runtime, pid, err);
}

int pal_runtime_kill(struct pal_runtime *runtime, int pid, int sig)
{
    return runtime->version->kill(runtime, pid, sig);
}

int pal_runtime_kill_foreground(struct pal_runtime *runtime, int pid, int sig)
{
    if (runtime->kill_foreground == NULL)
        return pal_runtime_kill(runtime, pid, sig);
    return pal_result(runtime, runtime->kill_foreground(pid, sig));
}

int pal_runtime_resize(struct pal_runtime *runtime, int pid, uint16_t rows, uint16_t columns)
{
    if (runtime->resize == NULL)
        return -ENOTSUP;
    return pal_result(runtime, runtime->resize(pid, rows, columns));
}

int pal_runtime_info(struct pal_runtime *runtime, struct pal_info_v4 *info)
{
    info->size = sizeof(*info);
    return runtime->get_info == NULL ? -ENOTSUP : pal_result(runtime, runtime->get_info(info));
}

int pal_runtime_stats(struct pal_runtime *runtime, struct pal_stats_v4 *stats)
{
    stats->size = sizeof(*stats);
    return runtime->get_stats == NULL ? -ENOTSUP : pal_result(runtime, runtime->get_stats(stats));
}

int pal_runtime_set_limits(struct pal_runtime *runtime, const struct pal_limits_v4 *limits)
{
    return runtime->set_limits == NULL ? -ENOTSUP
                                       : pal_result(runtime, runtime->set_limits(limits));
}

int pal_runtime_report(struct pal_runtime *runtime, void *target_info, int target_info_size,
                       void *report, int *report_size)
{
    int room = *report_size;
    if (runtime->get_local_report == NULL)
        return -ENOTSUP;
    errno = 0;
    int result = pal_result(
        runtime, runtime->get_local_report(target_info, target_info_size, report, report_size));
    return result == 0 && (*report_size < 0 || *report_size > room) ? -EPROTO : result;
}

int pal_runtime_quote(struct pal_runtime *runtime, const uint8_t report_data[64], uint8_t *quote,
                      size_t *quote_size)
{
    size_t room = *quote_size;
    if (runtime->get_quote == NULL)
        return -ENOTSUP;
    int result = pal_result(runtime, runtime->get_quote(report_data, quote, quote_size));
    return result == 0 && *quote_size > room ? -EPROTO : result;
}

int pal_runtime_destroy(struct pal_runtime *runtime)
{
    errno = 0;
    return pal_result(runtime, runtime->destroy());
}
