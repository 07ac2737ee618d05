/* SPDX-License-Identifier: Apache-2.0 */
/* The commands measure and policy of rune-image. */
#pragma once

#include "cli/cli.h"

extern const struct command g_measure, g_policy;
