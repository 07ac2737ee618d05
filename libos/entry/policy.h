/* SPDX-License-Identifier: Apache-2.0 */
/* What the host may start while the enclave runs (policy.c). */
#pragma once

#include "deployment.h"
#include "process.h"

/*
 * May the host start this process, which is not the first? 0: the spec is now what the policy
 * allows of it, *env its environment, which the caller frees when it is not spec->env as it came.
 * Positive: enum boundary_refusal. -ENOMEM.
 */
int policy_exec(struct process_spec *spec, char ***env);
