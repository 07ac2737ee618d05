/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of entry/ know of each other about start and threads. */
#pragma once

#include "boundary.h"
#include "layout.h"
#include "measured.h"
#include "process.h"
#include "thread.h"

/* deployment.c: check and parse; 0, -EPERM (hash), -EINVAL, -ENOMEM. blob is enclave memory. */
int deployment_load(const void *blob, size_t size);
int deployment_parse(const void *blob, size_t size);
/* given.c: what the host fills in, held against the deployment's rules, becomes a part of it; 0,
 * -EPERM with a log line, -EINVAL, -ENOMEM. blob is enclave memory. */
struct deployment;
int given_load(const void *blob, size_t size, struct deployment *d);
/* bound.c: is the deployment inside the image's bound? 0, -EPERM or -EINVAL with a log line. The
 * blob is measured. */
int bound_check(const void *blob, size_t size, const struct deployment *deployment);
/* Does a member that is a text (enum bound_number) allow this one? False without such a member. */
bool bound_allows_text(const void *blob, size_t size, u32 number, const char *text);

/* inherit.c: what the deployment does not say, and the container has from the host. */
void inherit_names(const struct boundary_boot *boot);
void inherit_limits(const struct rlimit64 limits[16]);
