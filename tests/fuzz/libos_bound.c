/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bound's reader and its checks: neither a wrong builder nor any deployment becomes a memory
 * error. Input: u32 size of the bound, the bound, the deployment.
 */
#include <stdlib.h>

#include "bound_blob.h"
#include "crypto.h"
#include "deployment.h"
#include "filesystems.h"
#include "libos_bound.h"
#include "sgx.h"
#include "start.h"

struct sgx_report_body g_self;
int g_log_level = LOG_TRACE;
static char g_message[512];

void *kmalloc(size_t size)
{
    return malloc(size);
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
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(g_message, sizeof(g_message), fmt, ap);
    va_end(ap);
}

/* As libos/fs/options.c, for one option of digits. */
u32 mount_option_number(const char *options, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = options; p != NULL; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, name, n) == 0 && p[n] == '=')
            return (u32)strtoul(p + n + 1, NULL, 10);
    }
    return 0;
}

static void free_list(char **list)
{
    for (char **p = list; p != NULL && *p != NULL; p++)
        free(*p);
    free(list);
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
        struct deployment_command *c = &d->commands[i];

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

int bound_trial(const void *deployment, size_t deployment_size, const void *bound,
                size_t bound_size, const char **message)
{
    int r = deployment_parse(deployment, deployment_size);

    g_message[0] = '\0';
    *message = g_message;
    if (r == 0)
        r = bound_check(bound, bound_size, &g_deployment);
    release(&g_deployment);
    return r;
}

int bound_readable(const void *bound, size_t size)
{
    struct bound b;

    return bound_open(bound, size, &b) == 0;
}

#ifdef FUZZ_TARGET /* else a part of another test */
int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    const char *message;
    u8 *bound, *deployment;
    u32 n;

    if (size < sizeof(n))
        return 0;
    memcpy(&n, data, sizeof(n));
    data += sizeof(n);
    size -= sizeof(n);
    n = (u32)MIN(n, size);
    /* Blocks of their own, so that a byte too many shows. */
    bound = malloc(n + 1);
    deployment = malloc(size - n + 1);
    memcpy(bound, data, n);
    memcpy(deployment, data + n, size - n);
    (void)bound_readable(bound, n);
    (void)bound_trial(deployment, size - n, bound, n, &message);
    free(bound);
    free(deployment);
    return 0;
}
#endif
