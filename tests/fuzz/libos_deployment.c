/* SPDX-License-Identifier: Apache-2.0 */
/* The deployment manifest's parser, which runs after the hash was checked: a wrong builder must not
 * become a memory error. And the policy that it gives, against a host that asks for anything. */
#include <stdlib.h>

#include "crypto.h"
#include "deployment.h"
#include "host_value.h"
#include "manifest.h"
#include "sgx.h"
#include "start.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

struct sgx_report_body g_self;
int g_log_level = LOG_FATAL;

void *kmalloc(size_t size)
{
    return malloc(size);
}

void kfree(void *p)
{
    free(p);
}

void *krealloc(void *p, size_t size)
{
    return realloc(p, size);
}

void sha256_once(const void *prefix, size_t prefix_size, const void *data, size_t size,
                 u8 digest[SHA256_SIZE])
{
    memset(digest, 0, SHA256_SIZE);
}

void log_write(enum log_level level, const char *fmt, ...)
{
}

static size_t free_list(char **list)
{
    size_t n = 0;

    for (; list != NULL && list[n] != NULL; n++)
        free(list[n]);
    free(list);
    return n;
}

static void release(struct deployment *d)
{
    free_list(d->argv);
    free_list(d->env);
    free_list(d->sysctls);
    free_list(d->masked_paths);
    free_list(d->readonly_paths);
    free(d->cwd);
    free(d->hostname);
    free(d->domainname);
    free(d->groups);
    for (u32 i = 0; i < d->mount_count; i++) {
        free(d->mounts[i].target);
        free(d->mounts[i].source);
        free(d->mounts[i].options);
    }
    free(d->mounts);
    for (u32 i = 0; i < d->command_count; i++) {
        const struct deployment_command *c = &d->commands[i];

        for (u32 j = 0; j < c->arg_count + c->env_count + c->cwd_count; j++)
            free(c->texts[j].text);
        free(c->texts);
    }
    free(d->commands);
    for (u32 i = 0; i < d->host_variable_count; i++)
        free(d->host_variables[i].pattern);
    free(d->host_variables);
    free(d->given); /* its texts are env's */
    memset(d, 0, sizeof(*d));
}

/* Up to `most` strings of what is left, as the PAL would send them. */
static char **take_list(char **p, char *end, size_t most)
{
    char **list = calloc(most + 1, sizeof(*list));

    for (size_t n = 0; n < most && *p < end; n++) {
        list[n] = *p;
        *p += strlen(*p) + 1;
    }
    return list;
}

/* Whatever the host asks for: nothing that the container has not. */
static void ask(const u8 *data, size_t size)
{
    char *copy = malloc(size + 1), *p = copy, *end = copy + size;
    struct process_spec s = {.cwd = "/"};
    u32 numbers[4] = {0};
    char **argv, **env, **own = NULL;

    memcpy(copy, data, size);
    copy[size] = '\0';
    if (size >= sizeof(numbers)) {
        memcpy(numbers, copy, sizeof(numbers));
        p += sizeof(numbers);
    }
    argv = take_list(&p, end, numbers[0] % 8 + 1);
    env = take_list(&p, end, 64);
    s.argv = argv;
    s.env = env;
    s.uid = numbers[1] % 3;
    s.gid = numbers[2] % 3;
    s.terminal = numbers[0] >> 31;
    s.capabilities = numbers[3];
    s.bounding = s.inheritable = s.ambient = ~0ull;
    if (argv[0] != NULL && policy_exec(&s, &own) == 0) {
        const struct deployment_policy *policy = &g_deployment.policy;

        if (policy->exec == MANIFEST_EXEC_NONE || s.rlimits != NULL ||
            (s.capabilities & ~g_deployment.capabilities) != 0 ||
            (s.bounding & ~g_deployment.bounding) != 0 ||
            (s.inheritable & ~g_deployment.inheritable) != 0 ||
            (s.ambient & ~g_deployment.ambient) != 0 ||
            (s.uid != g_deployment.uid && g_deployment.uid != 0) ||
            (policy->exec == MANIFEST_EXEC_LIST && (own == NULL || s.env != own)))
            abort();
    }
    free(own);
    free(argv);
    free(env);
    free(copy);
}

/* Measured variables stay as they are, and none steers a program that the host gave. */
static void give(const u8 *data, size_t size)
{
    size_t measured = 0;

    for (; g_deployment.env != NULL && g_deployment.env[measured] != NULL; measured++)
        ;
    if (given_load(data, size, &g_deployment) < 0)
        return;
    for (u32 i = 0; i < g_deployment.given_count; i++) {
        const char *entry = g_deployment.given[i];
        const size_t name = host_variable_name(entry);

        if (g_deployment.env[measured + i] != entry || host_variable_is_never(entry, name) ||
            g_deployment.host_variable_count == 0)
            abort();
        for (size_t k = 0; k < measured; k++) {
            if (strncmp(g_deployment.env[k], entry, name + 1) == 0)
                abort();
        }
    }
}

/* Size of the blob in two bytes, the blob; the same of what the host gives; what it asks for. */
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static const struct manifest_image image = {0};
    size_t blob = size >= 2 ? MIN((size_t)data[0] | (size_t)data[1] << 8, size - 2) : 0;

    if (size < 2)
        return 0;
    g_manifest = &image;
    if (deployment_parse(data + 2, blob) == 0) {
        if (!g_deployment.policy.present ||
            (g_deployment.policy.signals & MANIFEST_SIGNALS_NEVER) != 0)
            abort();
        for (u32 i = 0; i < g_deployment.mount_count; i++) {
            if (g_deployment.mounts[i].target[0] != '/')
                abort();
        }
        data += 2 + blob;
        size -= 2 + blob;
        if (size >= 2) {
            size_t given = MIN((size_t)data[0] | (size_t)data[1] << 8, size - 2);

            give(data + 2, given);
            ask(data + 2 + given, size - 2 - given);
        }
    }
    release(&g_deployment);
    return 0;
}
