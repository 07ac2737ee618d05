/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/describe.h"

#include <stdint.h>
#include <string.h>

#include "../../abi/manifest.h"
#include "base/buffer.h"
#include "base/cleanup.h"

struct summary {
    struct manifest_policy policy;
    size_t commands, host_mounts;
    size_t variables;          /* rules for any value */
    struct buffer exec, links; /* targets of mounts that may do so */
};

static void add_target(struct buffer *list, const char *target, size_t size)
{
    if (list->size > 0)
        buffer_append_text(list, " and ");
    buffer_append(list, target, size);
}

static void add_mount(struct summary *s, const char *value, size_t size)
{
    struct manifest_mount mount;
    memcpy(&mount, value, sizeof(mount));
    if (mount.kind != MANIFEST_MOUNT_PASSTHROUGH || mount.target_size > size - sizeof(mount))
        return;
    s->host_mounts++;
    if (mount.flags & MANIFEST_MOUNT_INSECURE_EXEC)
        add_target(&s->exec, value + sizeof(mount), mount.target_size);
    if (mount.flags & MANIFEST_MOUNT_INSECURE_LINKS)
        add_target(&s->links, value + sizeof(mount), mount.target_size);
}

static void add_record(struct summary *s, uint32_t type, const char *value, size_t size)
{
    if (type == MANIFEST_POLICY && size == sizeof(s->policy))
        memcpy(&s->policy, value, sizeof(s->policy));
    if (type == MANIFEST_COMMAND)
        s->commands++;
    struct manifest_host_variable variable;
    if (type == MANIFEST_HOST_VARIABLE && size >= sizeof(variable)) {
        memcpy(&variable, value, sizeof(variable));
        s->variables += variable.value == MANIFEST_VALUE_ANY;
    }
    if (type == MANIFEST_MOUNT && size >= sizeof(struct manifest_mount))
        add_mount(s, value, size);
}

static void read_records(const char *blob, size_t size, struct summary *s)
{
    size_t at = sizeof(struct manifest_deployment_header);
    while (at < size && size - at >= sizeof(struct manifest_record)) {
        struct manifest_record r;
        memcpy(&r, blob + at, sizeof(r));
        at += sizeof(r);
        if (r.size > size - at)
            return;
        add_record(s, r.type, blob + at, r.size);
        at += ((size_t)r.size + 7) / 8 * 8;
    }
}

__attribute__((format(printf, 2, 3))) static void add(struct buffer *out, const char *format, ...)
{
    va_list args;
    if (out->size > 0)
        buffer_append_text(out, ", ");
    va_start(args, format);
    buffer_append_vformat(out, format, args);
    va_end(args);
}

char *deployment_describe(const void *blob, size_t size, bool debug, const char *trace,
                          bool *insecure)
{
    struct summary s = {.exec = BUFFER_INIT, .links = BUFFER_INIT};
    struct buffer out = BUFFER_INIT;
    read_records(blob, size, &s);
    const bool any = s.policy.exec == MANIFEST_EXEC_ANY,
               loopback = s.policy.flags & MANIFEST_POLICY_LOOPBACK_HOST,
               any_process = s.policy.flags & MANIFEST_POLICY_SIGNAL_ANY_PROCESS;
    *insecure = any || loopback || any_process || debug || trace != NULL || s.exec.size > 0 ||
                s.links.size > 0;
    if (any)
        add(&out, "exec any (insecure)");
    if (s.policy.exec == MANIFEST_EXEC_LIST)
        add(&out, "exec of %zu command%s", s.commands, s.commands == 1 ? "" : "s");
    if (s.host_mounts > 0)
        add(&out, "%zu host mount%s", s.host_mounts, s.host_mounts == 1 ? "" : "s");
    if (s.exec.size > 0)
        add(&out, "programs of the host in %s (insecure)", buffer_text(&s.exec));
    if (s.links.size > 0)
        add(&out, "links of the host from %s to anywhere (insecure)", buffer_text(&s.links));
    if (s.variables > 0)
        add(&out, "variables of the host by %zu rule%s", s.variables, s.variables == 1 ? "" : "s");
    if (debug)
        add(&out, "debuggable (insecure)");
    if (trace != NULL)
        add(&out, "system calls told to the host: %s (insecure)", trace);
    if (loopback)
        add(&out, "host loopback (insecure)");
    if (any_process)
        add(&out, "signals to any process (insecure)");
    else if (s.policy.signals & ~MANIFEST_SIGNALS_DEFAULT)
        add(&out, "further signals");
    buffer_release(&s.exec);
    buffer_release(&s.links);
    return buffer_take(&out);
}
