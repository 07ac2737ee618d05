/* SPDX-License-Identifier: Apache-2.0 */
/* Between the two halves of the libos/net tests; plain C types only. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* How the host lies; all zero: it does not. */
struct host_hostile {
    uint16_t family; /* of addresses */
    uint32_t addr_len;
    int so_error;
    uint32_t control_data; /* bytes that the first control message claims */
    uint32_t epoll_events; /* added to every event */
    uint32_t epoll_data;   /* added to every token */
    void (*late)(void);    /* called once, before the next answer to getsockname() */
    uint16_t port;         /* that it gives, in network order; 0: the true one */
};
extern struct host_hostile g_hostile;

/* The calling thread becomes a LibOS thread; what thread.host should be. */
void *stub_thread_enter(void *tcb, int wakefd);
int stub_wakefd(void);
int stub_open_path(const char *path);
int stub_unlink(const char *path);
uint64_t stub_thread_start(void *tcb, int wakefd, void (*fn)(void *), void *arg);
void stub_thread_join(uint64_t thread);
void stub_abort(const char *fmt, va_list ap) __attribute__((noreturn));
