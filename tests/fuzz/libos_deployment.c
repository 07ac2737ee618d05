/* SPDX-License-Identifier: Apache-2.0 */
/* The deployment manifest's parser, which runs after the hash was checked: a wrong builder must not
 * become a memory error. */
#include <stdlib.h>

#include "crypto.h"
#include "deployment.h"
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
    memset(d, 0, sizeof(*d));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    int r = deployment_parse(data, size);

    if (r == 0) {
        if (!g_deployment.policy.present ||
            (g_deployment.policy.signals & MANIFEST_SIGNALS_NEVER) != 0)
            abort();
        for (u32 i = 0; i < g_deployment.mount_count; i++) {
            if (g_deployment.mounts[i].target[0] != '/')
                abort();
        }
    }
    release(&g_deployment);
    return 0;
}
