/* SPDX-License-Identifier: Apache-2.0 */
/* Occlum as an enclave runtime: its own PAL library, which needs an instance in the image. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Where Occlum installs its library. */
#define OCCLUM_LIBRARY "/opt/occlum/build/lib/libocclum-pal.so"

/* Is this library Occlum's, by its name? `library` may be NULL. */
bool occlum_is_runtime(const char *library);
/*
 * Find the instance of an image: what pal_init is given where the user says nothing. `cwd` is the
 * process's. malloc'd; NULL with err: there is none.
 */
char *occlum_instance(const char *rootfs, const char *cwd, struct error *err);
