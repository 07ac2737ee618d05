/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave's own loopback: data of TCP. Incoming bytes are in the receiver's ring, under its
 * lock, so a send takes one lock, the peer's. What Linux does with FIN and RST is done by flags:
 * `fin` (the peer sends no more), `reset` (the connection is gone; what came before can be read).
 */
#include "loop.h"

#define SPIN_MOST  512u /* looks at the ring before the thread leaves the enclave: some 10 us */
#define SPIN_PROBE 32u
#define HOLD_MOST  200000000ull /* ns */

static bool has_input(const struct loop_sock *s)
{
    return ring_used(&s->ring) > 0 || __atomic_load_n(&s->fin, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&s->shut_read, __ATOMIC_RELAXED) ||
           __atomic_load_n(&s->reset, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&s->error, __ATOMIC_RELAXED) != 0;
}

static bool ended(const struct loop_sock *s)
{
    return __atomic_load_n(&s->fin, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&s->shut_read, __ATOMIC_RELAXED) ||
           __atomic_load_n(&s->reset, __ATOMIC_ACQUIRE);
}

/* Waiting to send is over. */
static bool may_send(const struct loop_sock *s, const struct loop_sock *peer)
{
    return ring_has_room(&peer->ring) || loop_state(peer) == LOOP_CLOSED ||
           __atomic_load_n(&s->shut_write, __ATOMIC_RELAXED) ||
           __atomic_load_n(&s->reset, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&s->error, __ATOMIC_RELAXED) != 0;
}

bool loop_stream_done(const struct loop_sock *s)
{
    return __atomic_load_n(&s->reset, __ATOMIC_ACQUIRE) ||
           (__atomic_load_n(&s->fin, __ATOMIC_ACQUIRE) &&
            __atomic_load_n(&s->shut_write, __ATOMIC_RELAXED));
}

/*
 * Often the other side answers at once on another processor, and then leaving the enclave to sleep
 * costs more than the answer takes. How long it is worth looking is learnt: as long as possible
 * after a success, half as long after a failure, and now and then it is tried again.
 */
void loop_spin(struct loop_sock *s, bool (*ready)(const struct loop_sock *s))
{
    u32 most = s->spin_count++ % SPIN_PROBE == 0 ? SPIN_MOST : s->spin;

    for (u32 i = 0; i < most; i++) {
        if (ready(s)) {
            s->spin = SPIN_MOST;
            return;
        }
        __builtin_ia32_pause();
    }
    s->spin = most / 2;
}

/* ---- sending ---- */

/* The connection is gone for s: tcp_reset() of Linux. */
static void reset(struct loop_sock *s)
{
    int error = __atomic_load_n(&s->fin, __ATOMIC_ACQUIRE) ? EPIPE : ECONNRESET;

    if (loop_stream_done(s))
        return;
    __atomic_store_n(&s->error, error, __ATOMIC_RELEASE);
    __atomic_store_n(&s->reset, true, __ATOMIC_RELEASE);
}

/* Urgent data are written whole: their last byte is out of band (RFC 6093). peer->lock held. */
static void mark_urgent(struct loop_sock *peer)
{
    struct ring *ring = &peer->ring;

    if (!loop_opt(peer, OPT_OOBINLINE)) {
        peer->urgent = ring->data[(ring->tail - 1) & (ring->size - 1)];
        __atomic_store_n(&ring->tail, ring->tail - 1, __ATOMIC_RELEASE);
        peer->mark = ring->tail;
    } else {
        peer->mark = ring->tail - 1;
    }
    peer->marked = true;
}

void loop_stream_show(struct ktimer *t)
{
    struct loop_sock *s = container_of(t, struct loop_sock, show_timer);

    mutex_lock(&s->lock);
    ring_show(&s->ring);
    mutex_unlock(&s->lock);
    waitq_wake(&s->readable, UINT32_MAX);
}

/*
 * MSG_MORE: what makes no full segment waits for the next send without it, 200 ms at most (tcp(7)).
 * peer->lock held.
 */
static bool may_hold(struct loop_sock *peer, const struct socket_msg *m)
{
    return (m->flags & (MSG_MORE | MSG_OOB)) == MSG_MORE &&
           peer->ring.held + m->io->left < MIN(LOOP_MSS, (size_t)peer->ring.limit / 2) &&
           (peer->ring.held > 0 ||
            ktimer_arm(&peer->show_timer, clock_monotonic() + HOLD_MOST) == 0);
}

/* One go under the receiver's lock. */
static ssize_t push(struct loop_sock *s, struct loop_sock *peer, struct socket_msg *m)
{
    bool hold = false;
    ssize_t r;

    mutex_lock(&peer->lock);
    if (peer->state == LOOP_CLOSED) {
        r = -ECONNRESET;
    } else if (s->shut_write) {
        r = -EPIPE;
    } else if (ring_used(&peer->ring) + peer->ring.held >= peer->ring.limit) {
        ring_show(&peer->ring);
        r = -EAGAIN;
    } else {
        hold = may_hold(peer, m);
        r = ring_write(&peer->ring, m->io, hold);
        if (r > 0 && m->io->left == 0 && (m->flags & MSG_OOB) != 0)
            mark_urgent(peer);
    }
    mutex_unlock(&peer->lock);
    if (r > 0 && !hold)
        waitq_wake(&peer->readable, UINT32_MAX);
    return r;
}

static int send_error(struct loop_sock *s)
{
    int r = loop_take_error(s);

    if (r < 0)
        return r;
    return s->shut_write || s->reset ? -EPIPE : 0;
}

ssize_t loop_stream_send(struct loop_sock *s, struct socket_msg *m)
{
    u64 deadline = 0, timeout = s->base.send_timeout;
    struct loop_sock *peer;
    ssize_t done = 0, r;

    if (loop_state(s) != LOOP_INSIDE) {
        r = loop_take_error(s);
        return r < 0 ? r : loop_state(s) == LOOP_PENDING ? -EAGAIN : -EPIPE;
    }
    peer = s->peer;
    for (;;) {
        r = send_error(s);
        if (r == 0 && m->io->left > 0)
            r = push(s, peer, m);
        if (r == -ECONNRESET && loop_state(peer) == LOOP_CLOSED && !s->reset) {
            /* Sent, and answered by a reset. */
            r = (ssize_t)m->io->left;
            m->io->left = 0;
            reset(s);
            loop_wake(s);
        }
        if (r < 0 && r != -EAGAIN)
            return done > 0 ? done : r;
        done += r > 0 ? r : 0;
        if (m->io->left == 0)
            return done;
        if ((m->flags & MSG_DONTWAIT) != 0)
            return done > 0 ? done : -EAGAIN;
        if (deadline == 0)
            deadline = socket_deadline(timeout);
        r = wait_event(&s->writable, may_send(s, peer), deadline);
        if (r < 0)
            return done > 0 ? done : socket_wait_result((int)r, timeout);
    }
}

/* ---- receiving ---- */

/* Takes what is there; 0: end of data; -EAGAIN: nothing. */
static ssize_t pull(struct loop_sock *s, struct socket_msg *m)
{
    bool cut = (m->flags & MSG_TRUNC) != 0, had_room;
    size_t want;
    ssize_t r;

    mutex_lock(&s->lock);
    had_room = ring_has_room(&s->ring);
    want = MIN(m->io->left, ring_used(&s->ring));
    if (s->marked && s->mark > s->ring.head) /* a read stops there */
        want = MIN(want, (size_t)(s->mark - s->ring.head));
    else if (want > 0 && (m->flags & MSG_PEEK) == 0)
        s->marked = false;
    if (want > 0) {
        r = ring_read(&s->ring, cut ? NULL : m->io, want, (m->flags & MSG_PEEK) != 0);
        if (cut && r > 0)
            m->io->left -= (size_t)r;
    } else if (m->io->left == 0) {
        r = 0;
    } else if (s->fin) {
        r = 0;
    } else {
        r = loop_take_error(s);
        if (r == 0 && !ended(s))
            r = -EAGAIN;
    }
    mutex_unlock(&s->lock);
    if (r > 0 && !had_room && ring_has_room(&s->ring))
        waitq_wake(&s->peer->writable, UINT32_MAX);
    return r;
}

bool loop_at_mark(struct loop_sock *s)
{
    bool r;

    mutex_lock(&s->lock);
    r = s->marked && s->mark == s->ring.head;
    mutex_unlock(&s->lock);
    return r;
}

static ssize_t pull_urgent(struct loop_sock *s, struct socket_msg *m)
{
    ssize_t r = -EINVAL;
    u8 byte;

    mutex_lock(&s->lock);
    if (s->urgent >= 0) {
        byte = (u8)s->urgent;
        r = m->io->left > 0 ? uio_to(m->io, &byte, 1) : 0;
        if (r >= 0)
            m->out_flags |= MSG_OOB;
        if (r > 0 && (m->flags & MSG_PEEK) == 0)
            s->urgent = -1;
    }
    mutex_unlock(&s->lock);
    return r;
}

/* Waits until a read that wants n bytes would go on. */
static int wait_input(struct loop_sock *s, size_t n, u64 deadline)
{
    u64 timeout = s->base.receive_timeout;
    int r;

    /* The limit may be less than the low-water mark. */
    n = MIN(n, (size_t)(s->ring.limit / 2));
    if (ring_used(&s->ring) == 0)
        loop_spin(s, has_input);
    if (ring_used(&s->ring) >= MAX(n, (size_t)1) || ended(s))
        return 0;
    r = wait_event(&s->readable,
                   ring_used(&s->ring) >= MAX(n, (size_t)1) || (has_input(s) && ended(s)) ||
                       __atomic_load_n(&s->error, __ATOMIC_RELAXED) != 0,
                   deadline);
    return r < 0 ? socket_wait_result(r, timeout) : 0;
}

ssize_t loop_stream_recv(struct loop_sock *s, struct socket_msg *m)
{
    bool all = (m->flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL, peek = m->flags & MSG_PEEK;
    size_t target = all ? m->io->left : MIN(m->io->left, (size_t)loop_opt(s, OPT_RCVLOWAT));
    u64 deadline = 0;
    ssize_t done = 0, r;

    m->name_len = 0;
    if (loop_state(s) != LOOP_INSIDE) {
        r = loop_take_error(s);
        return r < 0 ? r : loop_state(s) == LOOP_PENDING ? -EAGAIN : -ENOTCONN;
    }
    if ((m->flags & MSG_OOB) != 0)
        return pull_urgent(s, m);
    for (;;) {
        if (!peek || ring_used(&s->ring) >= target || ended(s) || (m->flags & MSG_DONTWAIT))
            r = pull(s, m);
        else
            r = -EAGAIN; /* looks again, at all of it */
        if (r > 0) {
            done += r;
            if (peek || (size_t)done >= target || m->io->left == 0 || loop_at_mark(s))
                return done;
        } else if (r != -EAGAIN) {
            return done > 0 ? done : r;
        }
        if ((m->flags & MSG_DONTWAIT) != 0)
            return done > 0 ? done : -EAGAIN;
        if (deadline == 0)
            deadline = socket_deadline(s->base.receive_timeout);
        r = wait_input(s, target - (size_t)done, deadline);
        if (r < 0)
            return done > 0 ? done : peek && ring_used(&s->ring) > 0 ? pull(s, m) : r;
    }
}

/* ---- readiness: tcp_poll() of Linux ---- */

static bool room_to_send(const struct loop_sock *s)
{
    return s->peer == NULL || may_send(s, s->peer);
}

u32 loop_stream_poll(struct loop_sock *s, struct poll_table *pt)
{
    u32 ready = 0, state;
    size_t low;

    poll_wait(pt, &s->writable);
    state = loop_state(s);
    if (__atomic_load_n(&s->error, __ATOMIC_RELAXED) != 0)
        ready |= POLLERR;
    if (state == LOOP_PENDING)
        return ready;
    if (state != LOOP_INSIDE) /* never connected: closed in both directions */
        return ready | POLLHUP | POLLOUT | POLLWRNORM;
    low = MIN((size_t)loop_opt(s, OPT_RCVLOWAT), (size_t)(s->ring.limit / 2));
    if (ended(s))
        ready |= POLLIN | POLLRDNORM | POLLRDHUP;
    if (ring_used(&s->ring) >= MAX(low, (size_t)1))
        ready |= POLLIN | POLLRDNORM;
    if (s->reset || (ended(s) && s->shut_write))
        ready |= POLLHUP;
    if (room_to_send(s))
        ready |= POLLOUT | POLLWRNORM;
    if (s->urgent >= 0 || (s->marked && loop_opt(s, OPT_OOBINLINE)))
        ready |= POLLPRI;
    return ready;
}

int loop_tcp_state(const struct loop_sock *s)
{
    switch (loop_state(s)) {
    case LOOP_LISTENING:
        return LOOP_TCP_LISTEN;
    case LOOP_PENDING:
        return 2; /* SYN_SENT */
    case LOOP_INSIDE:
        if (loop_stream_done(s))
            return 7;                              /* CLOSE */
        return s->fin ? 8 : s->shut_write ? 5 : 1; /* CLOSE_WAIT, FIN_WAIT2, ESTABLISHED */
    default:
        return 7;
    }
}

/* ---- the end ---- */

int loop_stream_shutdown(struct loop_sock *s, int how)
{
    struct loop_sock *peer = s->peer;

    if (loop_stream_done(s))
        return -ENOTCONN;
    if (how != SHUT_WR)
        __atomic_store_n(&s->shut_read, true, __ATOMIC_RELEASE);
    if (how != SHUT_RD) {
        /* Under the peer's lock, as data come: nothing of ours comes behind it. */
        mutex_lock(&peer->lock);
        ring_show(&peer->ring);
        __atomic_store_n(&s->shut_write, true, __ATOMIC_RELEASE);
        __atomic_store_n(&peer->fin, true, __ATOMIC_RELEASE);
        mutex_unlock(&peer->lock);
        loop_wake(peer);
    }
    loop_wake(s);
    return 0;
}

void loop_stream_close(struct loop_sock *s)
{
    struct loop_sock *peer;
    bool abort;

    mutex_lock(&s->lock); /* LOOP_CLOSED already: nothing comes any more */
    abort = ring_used(&s->ring) > 0 || loop_opt(s, OPT_LINGER) == 0;
    ring_reset(&s->ring);
    peer = s->peer;
    mutex_unlock(&s->lock);
    if (peer == NULL)
        return;
    mutex_lock(&peer->lock);
    ring_show(&peer->ring);
    if (abort && !loop_stream_done(s))
        reset(peer);
    else
        __atomic_store_n(&peer->fin, true, __ATOMIC_RELEASE);
    mutex_unlock(&peer->lock);
    loop_wake(peer);
    mutex_lock(&s->lock);
    s->peer = NULL;
    mutex_unlock(&s->lock);
    loop_put(peer);
}
