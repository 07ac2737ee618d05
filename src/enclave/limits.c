/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/limits.h"

#include "base/cleanup.h"
#include "enclave/agent.h"
#include "enclave/enclave.h"

#define PERIOD_DEFAULT 100000u /* the kernel's own, microseconds */

static uint64_t positive(const struct oci_int64 *number)
{
    return number->set && number->value > 0 ? (uint64_t)number->value : 0;
}

void enclave_limits(const struct oci_resources *resources, struct pal_limits_v4 *out)
{
    uint64_t pids = positive(&resources->pids_limit);
    *out = (struct pal_limits_v4){.size = sizeof(*out),
                                  .memory_limit = positive(&resources->memory.limit),
                                  .thread_limit = pids < UINT32_MAX ? (uint32_t)pids : 0,
                                  .cpu_quota = positive(&resources->cpu.quota),
                                  .cpu_period = resources->cpu.period.set &&
                                                        resources->cpu.period.value > 0
                                                    ? resources->cpu.period.value
                                                    : PERIOD_DEFAULT};
}

int enclave_update(int state_dir, const struct oci_resources *resources, struct error *err)
{
    struct pal_limits_v4 limits;
    cleanup_close int socket = -1;
    cleanup_frame struct agent_frame answer = {.fds = {-1, -1, -1}};
    enclave_limits(resources, &limits);
    cleanup_json json_t *json = json_pack(
        "{s:I, s:I, s:I, s:I}", "memory", (json_int_t)limits.memory_limit, "threads",
        (json_int_t)limits.thread_limit, "cpuQuota", (json_int_t)limits.cpu_quota, "cpuPeriod",
        (json_int_t)limits.cpu_period);
    int result = agent_connect(state_dir, &socket, err);
    if (result == 0)
        result = agent_ask(socket, AGENT_LIMITS, json, NULL, 0, &answer, err);
    return result < 0 ? error_wrap(err, "the cgroup has the new limits, but not the enclave") : 0;
}
