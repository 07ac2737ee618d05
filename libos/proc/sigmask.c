/* SPDX-License-Identifier: Apache-2.0 */
/* The signal mask argument of the calls that wait for files. */
#include "process.h"
#include "user.h"

int sigmask_enter(uaddr mask, size_t size)
{
    u64 set;

    if (!mask.at)
        return 0;
    if (size != sizeof(set))
        return -EINVAL;
    if (copy_from_user(&set, mask, sizeof(set)) < 0)
        return -EFAULT;
    signal_mask_set_temporary(set);
    return 0;
}

void sigmask_leave(bool interrupted)
{
    if (current()->restore_mask && !interrupted)
        signal_mask_restore();
}
