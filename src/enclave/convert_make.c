/* SPDX-License-Identifier: Apache-2.0 */
/* enclave-make's own part: see convert.h. */
#include "enclave/convert.h"

void converter_make(void)
{
}
