/* SPDX-License-Identifier: Apache-2.0 */
/* Says version 4 and has only half of it. */
#include "pal.h"

PAL_EXPORT int pal_get_version(void);
PAL_EXPORT int pal_init(const struct pal_init_args_v4 *args);

int pal_get_version(void)
{
    return 4;
}

int pal_init(const struct pal_init_args_v4 *args)
{
    return 0;
}
