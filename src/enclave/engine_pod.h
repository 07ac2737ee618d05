/* SPDX-License-Identifier: Apache-2.0 */
/* Pods, and what has a template of pods, as wishes (engine.h). Private to engine_file.c. */
#pragma once

#include "base/error.h"
#include "base/json.h"

/* Appends a wish for each container, init containers and sidecars too. */
int engine_pods(const json_t *documents, const char *const *variables, json_t *wishes,
                struct error *err);
