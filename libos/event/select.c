/* SPDX-License-Identifier: Apache-2.0 */
/* select and pselect6: descriptor sets made items of poll_items(). */
#include "event.h"
#include "poll.h"
#include "process.h"

#define SELECT_IN  (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_EX  POLLPRI

struct select_sets {
    uaddr user[3]; /* in, out, ex; NULL: not given */
    u64 *in[3], *out[3];
    size_t words;
};

static const u16 select_asks[3] = {POLLIN | POLLRDNORM | POLLRDBAND | POLLRDHUP,
                                   POLLOUT | POLLWRNORM | POLLWRBAND, POLLPRI};
static const u16 select_tells[3] = {SELECT_IN, SELECT_OUT, SELECT_EX};

static bool bit_of(const u64 *set, size_t n)
{
    return set[n / 64] >> n % 64 & 1;
}

/* The sets as items; *count is how many. -EBADF for a descriptor that is not open. */
static int select_items(const struct select_sets *s, size_t n, struct poll_item *items,
                        size_t *count)
{
    for (size_t fd = 0; fd < n; fd++) {
        u16 events = 0;

        for (int k = 0; k < 3; k++) {
            if (bit_of(s->in[k], fd))
                events |= select_asks[k];
        }
        if (events == 0)
            continue;
        items[*count] = (struct poll_item){
            .fd = (int)fd, .events = events, .file = fd_get((int)fd)};
        if (items[*count].file == NULL)
            return -EBADF;
        (*count)++;
    }
    return 0;
}

static int select_results(struct select_sets *s, const struct poll_item *items, size_t count)
{
    int bits = 0;

    for (size_t i = 0; i < count; i++) {
        size_t fd = (size_t)items[i].fd;

        for (int k = 0; k < 3; k++) {
            if (bit_of(s->in[k], fd) && (items[i].revents & select_tells[k]) != 0) {
                s->out[k][fd / 64] |= 1ull << fd % 64;
                bits++;
            }
        }
    }
    return bits;
}

static size_t select_members(const struct select_sets *s)
{
    size_t members = 0;

    for (size_t w = 0; w < s->words; w++)
        members += (size_t)__builtin_popcountll(s->in[0][w] | s->in[1][w] | s->in[2][w]);
    return members;
}

static long select_run(struct select_sets *s, size_t n, u64 deadline)
{
    struct poll_item fast[POLL_INLINE_ITEMS], *items = fast;
    size_t count = 0, members = select_members(s);
    long r;

    if (members > POLL_INLINE_ITEMS) {
        items = kmalloc(members * sizeof(*items));
        if (items == NULL)
            return -ENOMEM;
    }
    r = select_items(s, n, items, &count);
    if (r == 0)
        r = poll_items(items, count, deadline);
    if (r >= 0)
        r = select_results(s, items, count);
    poll_items_put(items, count);
    if (items != fast)
        kfree(items);
    return r;
}

/* A set of n bits is read and written as whole longs; bits from n on are ignored. */
static long select_user(int n, const uaddr user[3], u64 deadline)
{
    u64 fast[6 * 16] = {0}, *memory = fast;
    struct select_sets s = {.user = {user[0], user[1], user[2]}};
    size_t limit = current_process()->files->size;
    long r = 0;

    if (n < 0)
        return -EINVAL;
    if ((size_t)n > limit)
        n = (int)limit;
    s.words = ((size_t)n + 63) / 64;
    if (s.words > 16) {
        memory = kzalloc(6 * s.words * 8);
        if (memory == NULL)
            return -ENOMEM;
    }
    for (int k = 0; k < 3; k++) {
        s.in[k] = memory + (size_t)k * s.words;
        s.out[k] = memory + (size_t)(k + 3) * s.words;
        if (r == 0 && user[k].at)
            r = copy_from_user(s.in[k], user[k], s.words * 8);
        if (n % 64 != 0)
            s.in[k][s.words - 1] &= (1ull << n % 64) - 1;
    }
    if (r == 0)
        r = select_run(&s, (size_t)n, deadline);
    for (int k = 0; r >= 0 && k < 3; k++) {
        if (user[k].at && copy_to_user(user[k], s.out[k], s.words * 8) < 0)
            r = -EFAULT;
    }
    if (memory != fast)
        kfree(memory);
    return r;
}

long sys_select(int count, uaddr reads, uaddr writes, uaddr excepts, uaddr timeout)
{
    const uaddr sets[3] = {reads, writes, excepts};
    u64 deadline = NO_DEADLINE;
    i64 tv[2];
    long r;

    if (timeout.at) {
        if (copy_from_user(tv, timeout, sizeof(tv)) < 0)
            return -EFAULT;
        if (tv[0] < 0 || tv[1] < 0)
            return -EINVAL;
        if (tv[0] == 0 && tv[1] == 0)
            deadline = 0;
        else if (tv[0] < INT64_MAX / 2000000000 && tv[1] < INT64_MAX / 2000)
            deadline = deadline_after((u64)tv[0] * 1000000000 + (u64)tv[1] * 1000);
    }
    r = select_user(count, sets, deadline);
    put_remaining_time(timeout, deadline, true);
    return r == -EINTR ? -ERESTARTNOHAND : r;
}

long sys_pselect6(int count, uaddr reads, uaddr writes, uaddr excepts, uaddr timeout,
                  uaddr user_mask)
{
    const uaddr sets[3] = {reads, writes, excepts};
    u64 mask[2] = {0, 0}; /* pointer, size */
    u64 deadline;
    long r = deadline_from_timespec(timeout, &deadline);

    if (r == 0 && user_mask.at && copy_from_user(mask, user_mask, sizeof(mask)) < 0)
        r = -EFAULT;
    if (r == 0)
        r = sigmask_enter(user_at(mask[0]), mask[1]);
    if (r < 0)
        return r;
    r = select_user(count, sets, deadline);
    sigmask_leave(r == -EINTR);
    put_remaining_time(timeout, deadline, false);
    return r == -EINTR ? -ERESTARTNOHAND : r;
}
