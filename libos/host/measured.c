/* SPDX-License-Identifier: Apache-2.0 */
/* What is measured, what the deployment says, and whose word the rest is. */
#include "measured.h"
#include "deployment.h"

const struct enclave_layout *g_layout;
const struct manifest_image *g_manifest;
struct deployment g_deployment;

static const hostfd *g_mount_fds;
static u32 g_mount_count;

void deployment_set_mounts(const hostfd *fds, u32 count)
{
    g_mount_fds = fds;
    g_mount_count = count;
}

hostfd deployment_mount_fd(u32 index)
{
    return index < g_mount_count ? g_mount_fds[index] : no_hostfd(-EINVAL);
}

bool policy_signal(int sig)
{
    return sig > 0 && sig <= 64 && (g_deployment.policy.signals >> (sig - 1) & 1) != 0;
}
