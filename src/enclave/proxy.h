/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that stands for an exec'd process of an enclave container on the host: rune exec's
 * child, in the container's namespaces and cgroup. It hands its stdio to the agent, passes signals
 * on and ends as the process in the enclave ended; when it is killed, so is that process.
 */
#pragma once

#include "container/container.h"

struct enclave_proxy {
    int socket; /* connected to the agent before the namespaces were joined */
    struct container_payload payload;
};

/* Connect to the container's agent; the result's payload goes to container_exec(). */
int enclave_proxy_open(int state_dir, struct enclave_proxy *out, struct error *err);
