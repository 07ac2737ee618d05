/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sgx/machine.h"

int emu_machine_get(const struct sgx_machine **out, struct error *err);
