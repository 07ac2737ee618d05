/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/process.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define STRINGS_MAX      (1 << 20) /* of argv or env, far above what ARG_MAX lets through */
#define GROUPS_MAX       65536
#define ALL_CAPABILITIES ((UINT64_C(1) << 41) - 1)

void enclave_process_release(struct enclave_process *process)
{
    free(process->strings);
    free(process->argv);
    free(process->env);
    free(process->groups);
}

static const char **copy_pointers(const struct oci_strings *list)
{
    const char **copy = xcalloc(list->count + 1, sizeof(*copy));
    for (size_t i = 0; i < list->count; i++)
        copy[i] = list->items[i];
    return copy;
}

/* Limits that config.json does not name stay those of this process. */
static void fill_limits(const struct oci_process *process, struct pal_rlimit *limits)
{
    for (int i = 0; i < PAL_RLIMIT_COUNT; i++) {
        struct rlimit own = {RLIM_INFINITY, RLIM_INFINITY};
        getrlimit((__rlimit_resource_t)i, &own);
        limits[i] = (struct pal_rlimit){own.rlim_cur, own.rlim_max};
    }
    for (size_t i = 0; i < process->rlimit_count; i++) {
        int resource = process->rlimits[i].resource;
        if (resource >= 0 && resource < PAL_RLIMIT_COUNT)
            limits[resource] = (struct pal_rlimit){process->rlimits[i].soft,
                                                   process->rlimits[i].hard};
    }
}

void enclave_process_from_oci(const struct oci_process *process, struct enclave_process *out)
{
    memset(out, 0, sizeof(*out));
    out->argv = copy_pointers(&process->args);
    out->env = copy_pointers(&process->env);
    out->groups = xcalloc(process->additional_gid_count + 1, sizeof(*out->groups));
    for (size_t i = 0; i < process->additional_gid_count; i++)
        out->groups[i] = process->additional_gids[i];

    struct pal_process_args_v4 *args = &out->args;
    args->size = sizeof(*args);
    args->argv = out->argv;
    args->env = out->env;
    args->cwd = process->cwd;
    for (int i = 0; i < 3; i++)
        args->stdio[i] = i;
    args->flags = PAL_PROCESS_HAS_LIMITS | (process->terminal ? PAL_PROCESS_TERMINAL : 0);
    args->uid = process->uid;
    args->gid = process->gid;
    args->groups = out->groups;
    args->group_count = (uint32_t)process->additional_gid_count;
    args->umask = process->umask_set ? process->umask : 022;
    args->capabilities = process->capabilities.present ? process->capabilities.permitted
                                                       : ALL_CAPABILITIES;
    fill_limits(process, args->rlimits);
}

static size_t append_strings(struct buffer *blob, const char *const *list)
{
    size_t count = 0;
    for (; list[count] != NULL; count++)
        buffer_append(blob, list[count], strlen(list[count]) + 1);
    return count;
}

/* Numbers of 64 bits travel as signed ones: JSON integers here are json_int_t. */
json_t *enclave_process_encode(const struct enclave_process *process, struct buffer *blob)
{
    const struct pal_process_args_v4 *args = &process->args;
    size_t argc = append_strings(blob, args->argv);
    size_t envc = append_strings(blob, args->env);
    const char *cwd = args->cwd != NULL ? args->cwd : "/";
    buffer_append(blob, cwd, strlen(cwd) + 1);

    json_t *groups = json_array(), *limits = json_array();
    for (uint32_t i = 0; i < args->group_count; i++)
        json_array_append_new(groups, json_integer(args->groups[i]));
    for (int i = 0; i < PAL_RLIMIT_COUNT; i++) {
        json_array_append_new(limits, json_integer((json_int_t)args->rlimits[i].soft));
        json_array_append_new(limits, json_integer((json_int_t)args->rlimits[i].hard));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "argc", (json_int_t)argc,
                     "envc", (json_int_t)envc, "flags", (json_int_t)args->flags, "uid",
                     (json_int_t)args->uid, "gid", (json_int_t)args->gid, "umask",
                     (json_int_t)args->umask, "capabilities", (json_int_t)args->capabilities,
                     "groups", groups, "rlimits", limits);
}

/* Next NUL-terminated string of the blob, or NULL at its end. */
static const char *next_string(const char **position, const char *end)
{
    const char *start = *position;
    const char *nul = start < end ? memchr(start, '\0', (size_t)(end - start)) : NULL;
    if (nul == NULL)
        return NULL;
    *position = nul + 1;
    return start;
}

static const char **take_strings(const char **position, const char *end, json_int_t count)
{
    if (count < 0 || count > STRINGS_MAX)
        return NULL;
    const char **list = xcalloc((size_t)count + 1, sizeof(*list));
    for (json_int_t i = 0; i < count; i++) {
        list[i] = next_string(position, end);
        if (list[i] == NULL) {
            free(list);
            return NULL;
        }
    }
    return list;
}

static int take_arrays(const json_t *groups, const json_t *limits, struct enclave_process *out)
{
    size_t group_count = json_array_size(groups);
    if (group_count > GROUPS_MAX || json_array_size(limits) != 2 * PAL_RLIMIT_COUNT)
        return -1;
    out->groups = xcalloc(group_count + 1, sizeof(*out->groups));
    for (size_t i = 0; i < group_count; i++)
        out->groups[i] = (uint32_t)json_integer_value(json_array_get(groups, i));
    out->args.groups = out->groups;
    out->args.group_count = (uint32_t)group_count;
    for (size_t i = 0; i < PAL_RLIMIT_COUNT; i++) {
        out->args.rlimits[i].soft = (uint64_t)json_integer_value(json_array_get(limits, 2 * i));
        out->args.rlimits[i].hard = (uint64_t)json_integer_value(json_array_get(limits, 2 * i + 1));
    }
    return 0;
}

int enclave_process_decode(struct agent_frame *frame, struct enclave_process *out,
                           struct error *err)
{
    json_int_t argc, envc, flags, uid, gid, mask, capabilities;
    json_t *groups, *limits;
    memset(out, 0, sizeof(*out));
    if (frame->json == NULL ||
        json_unpack(frame->json, "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "argc", &argc,
                    "envc", &envc, "flags", &flags, "uid", &uid, "gid", &gid, "umask", &mask,
                    "capabilities", &capabilities, "groups", &groups, "rlimits", &limits) < 0)
        return error_code(err, EPROTO, "exec: the request lacks members");
    for (int i = 0; i < 3; i++)
        if (frame->fds[i] < 0)
            return error_code(err, EPROTO, "exec: the request has no stdio descriptors");

    out->strings = take_ptr(frame->blob);
    const char *position = out->strings, *end = out->strings + frame->blob_size;
    out->argv = take_strings(&position, end, argc);
    out->env = out->argv != NULL ? take_strings(&position, end, envc) : NULL;
    const char *cwd = out->env != NULL ? next_string(&position, end) : NULL;
    if (cwd == NULL || argc == 0 || take_arrays(groups, limits, out) < 0)
        return error_code(err, EPROTO, "exec: the request is cut short");

    out->args.size = sizeof(out->args);
    out->args.argv = out->argv;
    out->args.env = out->env;
    out->args.cwd = cwd;
    memcpy(out->args.stdio, frame->fds, sizeof(out->args.stdio));
    /* Only the container's first process is bound to the manifest, and that one never comes this
     * way. */
    out->args.flags = (uint32_t)flags & (PAL_PROCESS_TERMINAL | PAL_PROCESS_HAS_LIMITS);
    out->args.uid = (uint32_t)uid;
    out->args.gid = (uint32_t)gid;
    out->args.umask = (uint32_t)mask & 0777;
    out->args.capabilities = (uint64_t)capabilities;
    return 0;
}
