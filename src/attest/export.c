/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/export.h"

#include "base/alloc.h"

int export_error(struct error *from, char **to)
{
    int rc = from->code ? -from->code : -1;

    if (to)
        *to = xstrdup(error_text(from));
    error_release(from);
    return rc;
}
