/* SPDX-License-Identifier: Apache-2.0 */
/* A library of a later version (BROKEN_VERSION 9) or of a senseless one (-1), with no other
 * symbol. */
#include "pal.h"

PAL_EXPORT int pal_get_version(void);

int pal_get_version(void)
{
    return BROKEN_VERSION;
}
