/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine can do, by name, for `rune features`. All lists end with NULL. */
#pragma once

#include <stdbool.h>

const char *const *features_mount_options(void);
const char *const *features_seccomp_actions(void);
const char *const *features_seccomp_operators(void);
const char *const *features_seccomp_architectures(void);
const char *const *features_seccomp_flags(void);
/* Whether the kernel takes this one. */
bool features_seccomp_flag_supported(const char *name);
bool features_systemd(void);
/* This machine has the unified hierarchy alone. */
bool features_cgroup_unified(void);
