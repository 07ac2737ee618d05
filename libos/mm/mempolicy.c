/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory policies: mbind, set_mempolicy, get_mempolicy. There is one node, so a policy moves
 * nothing; it is checked and remembered as Linux does. A policy is a small number: its mode, its
 * two mode flags, and whether node 0 is in its mask; 0 is "none".
 */
#include "internal.h"
#include "fs.h"
#include "task.h"
#include "syscall.h"
#include <linux/capability.h>
#include <linux/mempolicy.h>

#define POLICY_SHIFT    18 /* where VMA_POLICY begins */
#define POLICY_MODE     0x0fu
#define POLICY_STATIC   0x10u /* MPOL_F_STATIC_NODES: the only one of the two that has room */
#define POLICY_NODE     0x20u
#define MODES           MPOL_MAX
#define MODE_FLAGS      (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES)
#define MASK_BITS_MAX   (PAGE_SIZE * 8)
#define GET_KNOWN_FLAGS (MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED)

_Static_assert(VMA_POLICY >> POLICY_SHIFT == (POLICY_MODE | POLICY_STATIC | POLICY_NODE),
               "a policy fits into the flags of a VMA");

int mempolicy_nodes(uaddr user_mask, u64 count, bool *node)
{
    *node = false;
    count--; /* as Linux: the last bit does not count */
    if (!count || !user_mask.at)
        return 0;
    if (count > MASK_BITS_MAX)
        return -EINVAL;
    for (u64 i = 0; i < (count + 63) / 64; i++) {
        u64 word, left = count - i * 64;
        if (get_user(word, user_plus(user_mask, i * sizeof(word))) < 0)
            return -EFAULT;
        if (left < 64)
            word &= (1ull << left) - 1;
        if (word & ~(i == 0 ? 1ull : 0ull))
            return -EINVAL; /* a node that is not there */
        *node |= word & 1;
    }
    return 0;
}

/* The policy of a mode with its flags and a mask, or an error. */
static i64 policy_of(u64 user_mode, bool node)
{
    u64 flags = user_mode & MODE_FLAGS, mode = user_mode & ~(u64)MODE_FLAGS;
    if (mode >= MODES || flags == MODE_FLAGS)
        return -EINVAL;
    if (mode == MPOL_DEFAULT)
        return node || flags ? -EINVAL : 0;
    if (mode == MPOL_PREFERRED && !node) {
        if (flags)
            return -EINVAL;
        mode = MPOL_LOCAL;
    } else if (mode == MPOL_LOCAL ? node || flags : !node) {
        return -EINVAL;
    }
    return (i64)(mode | (flags & MPOL_F_STATIC_NODES ? POLICY_STATIC : 0) |
                 (node ? POLICY_NODE : 0));
}

static i64 policy_from_user(u64 mode, uaddr nodes, u64 count)
{
    bool node;
    if ((mode & ~(u64)MODE_FLAGS) >= MODES)
        return -EINVAL;
    int r = mempolicy_nodes(nodes, count, &node);
    return r < 0 ? r : policy_of(mode, node);
}

long sys_set_mempolicy(int mode, uaddr nodes, u64 node_count)
{
    i64 policy = policy_from_user((u32)mode, nodes, node_count);
    if (policy < 0)
        return policy;
    current()->mempolicy = (u32)policy;
    return 0;
}

long sys_mbind(u64 at, u64 bytes, u64 mode, uaddr nodes, u64 node_count, u32 flags)
{
    i64 policy = policy_from_user(mode, nodes, node_count);
    if (policy < 0)
        return policy;
    if (flags & ~(u32)(MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
        return -EINVAL;
    if ((flags & MPOL_MF_MOVE_ALL) && !capable(CAP_SYS_NICE))
        return -EPERM;
    u64 size = PAGE_UP(bytes);
    if ((at & ~PAGE_MASK) || at + size < at)
        return -EINVAL;
    struct mm *mm = current_process()->mm;
    if (!size)
        return 0;
    /* The default is what a hole has as well. */
    if (policy && mm_all_mapped(mm, at, size) < 0)
        return -EFAULT;
    u32 set = (u32)policy << POLICY_SHIFT;
    return vma_change_flags(mm, at, size, set, VMA_POLICY & ~set);
}

/* The policy of the mapping at an address: -EFAULT where there is none. */
static i64 policy_at(u64 at)
{
    struct mm *mm = current_process()->mm;
    mm_lock(mm);
    struct vma *v = vma_find(mm, at);
    i64 policy = v ? (i64)((v->flags & VMA_POLICY) >> POLICY_SHIFT) : -EFAULT;
    mm_unlock(mm);
    return policy;
}

static long nodes_to_user(uaddr user_mask, u64 count, bool node)
{
    u64 bytes = (count - 1 + 63) / 64 * 8, word = node;
    if (!bytes)
        return 0;
    if (bytes > PAGE_SIZE)
        return -EINVAL;
    if (clear_user(user_mask, bytes) < 0)
        return -EFAULT;
    return put_user(word, user_mask) < 0 ? -EFAULT : 0;
}

long sys_get_mempolicy(uaddr user_mode, uaddr user_nodes, u64 count, u64 at, u64 flags)
{
    i64 policy = current()->mempolicy;
    if (user_nodes.at && count < 1)
        return -EINVAL;
    if (flags & ~(u64)GET_KNOWN_FLAGS)
        return -EINVAL;
    if (flags & MPOL_F_MEMS_ALLOWED) {
        if (flags & (MPOL_F_NODE | MPOL_F_ADDR))
            return -EINVAL;
        policy = POLICY_NODE;
    } else if (flags & MPOL_F_ADDR) {
        policy = policy_at(at);
        if (policy < 0)
            return policy;
    } else if (at) {
        return -EINVAL;
    }
    int mode = (int)((policy & POLICY_MODE) | (policy & POLICY_STATIC ? MPOL_F_STATIC_NODES : 0));
    if (flags & MPOL_F_NODE) { /* of a page, or where the next one would be */
        if (!(flags & MPOL_F_ADDR) && mode != MPOL_INTERLEAVE)
            return -EINVAL;
        mode = 0;
    }
    if (user_mode.at && put_user(mode, user_mode) < 0)
        return -EFAULT;
    return user_nodes.at ? nodes_to_user(user_nodes, count, policy & POLICY_NODE) : 0;
}
