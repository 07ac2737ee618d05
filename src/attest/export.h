/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of public functions. */
#pragma once

#include "base/error.h"

/* Move an error's text to the caller of a public function. Returns -1 or -code. */
int export_error(struct error *from, char **to);
