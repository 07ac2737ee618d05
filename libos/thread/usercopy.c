/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access to application memory (hostmem.c has the host's). The instructions that touch it are in
 * the exception table: a fault that mm cannot repair ends at the label after them.
 */
#include "user.h"
#include "measured.h"
#include "thread.h"
#include "extable.h"

/* Returns how many bytes were not copied. */
static size_t copy_may_fault(void *dst, const void *src, size_t n)
{
    __asm__ volatile("1: rep movsb\n"
                     "2:\n\t" EX_TABLE("1b", "2b")
                     : "+D"(dst), "+S"(src), "+c"(n)
                     :
                     : "memory");
    return n;
}

static size_t zero_may_fault(void *dst, size_t n)
{
    __asm__ volatile("1: rep stosb\n"
                     "2:\n\t" EX_TABLE("1b", "2b")
                     : "+D"(dst), "+c"(n)
                     : "a"(0)
                     : "memory");
    return n;
}

static bool load_u64(u64 *value, const u64 *p)
{
    u64 v = 0;
    u32 failed = 1;

    __asm__ volatile("1: movq %2, %0\n\t"
                     "xorl %1, %1\n"
                     "2:\n\t" EX_TABLE("1b", "2b")
                     : "+&r"(v), "+&r"(failed)
                     : "m"(*p)
                     : "memory", "cc");
    *value = v;
    return failed == 0;
}

static bool store_u64(u64 *p, u64 v)
{
    u32 failed = 1;

    __asm__ volatile("1: movq %2, %1\n\t"
                     "xorl %0, %0\n"
                     "2:\n\t" EX_TABLE("1b", "2b")
                     : "+&r"(failed), "=m"(*p)
                     : "r"(v)
                     : "memory", "cc");
    return failed == 0;
}

/* Behind the check: the one place that makes a pointer of a user address. */
static void *behind(uaddr p)
{
    return (void *)p.at;
}

/* A thread without residency (mm.h) would reach another process's memory. */
static bool in_user_range(uaddr p, size_t n)
{
    u64 a = p.at;

    return current()->mm != NULL && a >= g_layout->user_start &&
           n <= g_layout->user_end - g_layout->user_start && a <= g_layout->user_end - n;
}

int copy_from_user(void *dst, uaddr src, size_t n)
{
    if (!in_user_range(src, n))
        return n == 0 ? 0 : -EFAULT;
    if (n == 8) {
        u64 v;

        if (!load_u64(&v, behind(src)))
            return -EFAULT;
        memcpy(dst, &v, 8);
        return 0;
    }
    return copy_may_fault(dst, behind(src), n) == 0 ? 0 : -EFAULT;
}

int copy_to_user(uaddr dst, const void *src, size_t n)
{
    if (!in_user_range(dst, n))
        return n == 0 ? 0 : -EFAULT;
    if (n == 8) {
        u64 v;

        memcpy(&v, src, 8);
        return store_u64(behind(dst), v) ? 0 : -EFAULT;
    }
    return copy_may_fault(behind(dst), src, n) == 0 ? 0 : -EFAULT;
}

int clear_user(uaddr dst, size_t n)
{
    if (!in_user_range(dst, n))
        return n == 0 ? 0 : -EFAULT;
    return zero_may_fault(behind(dst), n) == 0 ? 0 : -EFAULT;
}

ssize_t strncpy_from_user(char *dst, uaddr src, size_t size)
{
    size_t done = 0;

    while (done < size) {
        /* Not over a page's end: the string may stop before an unmapped page. */
        size_t n = MIN(size - done, PAGE_SIZE - ((src.at + done) & (PAGE_SIZE - 1)));
        size_t len;

        n = MIN(n, 128ul);
        if (copy_from_user(dst + done, user_plus(src, done), n) < 0)
            return -EFAULT;
        len = strnlen(dst + done, n);
        done += len;
        if (len < n)
            return (ssize_t)done;
    }
    if (size > 0)
        dst[size - 1] = '\0';
    return -ENAMETOOLONG;
}

int user_load_u32(u32 *value, uaddr p)
{
    u32 v = 0, failed = 1;

    if (!in_user_range(p, 4))
        return -EFAULT;
    __asm__ volatile("1: movl %2, %0\n\t"
                     "xorl %1, %1\n"
                     "2:\n\t" EX_TABLE("1b", "2b")
                     : "+&r"(v), "+&r"(failed)
                     : "m"(*(const u32 *)behind(p))
                     : "memory", "cc");
    *value = v;
    return failed == 0 ? 0 : -EFAULT;
}

int user_cmpxchg_u32(uaddr p, u32 expected, u32 desired, u32 *old)
{
    u32 failed = 1;

    if (!in_user_range(p, 4))
        return -EFAULT;
    __asm__ volatile("1: lock cmpxchgl %3, %2\n\t"
                     "movl $0, %1\n"
                     "2:\n\t" EX_TABLE("1b", "2b")
                     : "+&a"(expected), "+&r"(failed), "+m"(*(u32 *)behind(p))
                     : "r"(desired)
                     : "memory", "cc");
    *old = expected;
    return failed == 0 ? 0 : -EFAULT;
}
