/* SPDX-License-Identifier: Apache-2.0 */
/* What a panic asks of this image and this thread. */
#include "log.h"
#include "tcb.h"

void enclave_untold(void)
{
    ssa_tail(tcb())->gpr.aexnotify = 0;
}

bool is_image_constant(const char *s)
{
    return s >= __libos_start && s < __libos_rodata_end;
}
