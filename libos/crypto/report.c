/* SPDX-License-Identifier: Apache-2.0 */
/* EREPORT and EGETKEY with the alignment that they ask for. */
#include "sgx.h"
#include "mutex.h"

struct sgx_report_body g_self;

struct report_buffers {
    u8 target_info[SGX_TARGETINFO_SIZE];
    struct sgx_report report __attribute__((aligned(512)));
    u8 report_data[128] __attribute__((aligned(128)));
} __attribute__((aligned(512)));

static struct report_buffers g_buffers;
static struct {
    struct sgx_keyrequest request;
    u8 key[16];
} g_key __attribute__((aligned(512)));
static struct mutex g_lock;

/* EREPORT raises #GP for a TARGETINFO whose reserved bytes are not zero (SDM volume 3D). */
static bool is_target(const u8 target_info[SGX_TARGETINFO_SIZE])
{
    u8 reserved = target_info[49];

    for (u32 i = 56; i < 64; i++)
        reserved |= target_info[i];
    for (u32 i = 128; i < SGX_TARGETINFO_SIZE; i++)
        reserved |= target_info[i];
    return reserved == 0;
}

int sgx_report(const u8 target_info[SGX_TARGETINFO_SIZE], const u8 report_data[64],
               u8 report[SGX_REPORT_SIZE])
{
    u64 r;

    if (target_info != NULL && !is_target(target_info))
        return -EINVAL;
    mutex_lock(&g_lock);
    memset(&g_buffers, 0, sizeof(g_buffers));
    if (target_info != NULL)
        memcpy(g_buffers.target_info, target_info, sizeof(g_buffers.target_info));
    if (report_data != NULL)
        memcpy(g_buffers.report_data, report_data, 64);
    r = sgx_enclu(SGX_EREPORT, g_buffers.target_info, g_buffers.report_data, &g_buffers.report);
    memcpy(report, &g_buffers.report, sizeof(struct sgx_report));
    mutex_unlock(&g_lock);
    return r == SGX_EREPORT ? 0 : -EINVAL;
}

int sgx_get_key(const struct sgx_keyrequest *request, u8 key[16])
{
    u64 r;

    mutex_lock(&g_lock);
    memcpy(&g_key.request, request, sizeof(g_key.request));
    r = sgx_enclu(SGX_EGETKEY, &g_key.request, g_key.key, NULL);
    if (r == 0)
        memcpy(key, g_key.key, sizeof(g_key.key));
    memzero_explicit(&g_key, sizeof(g_key));
    mutex_unlock(&g_lock);
    if (r == SGX_INVALID_CPUSVN)
        return -EACCES;
    return r == 0 ? 0 : -EINVAL;
}
