/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event loop over epoll for programs of one thread: descriptors, one-shot timers, nothing else.
 * Watches and timers are members of their owner's structure; the loop keeps pointers to them and
 * owns nothing. Without a timer that is set it sleeps until a descriptor is ready, however long.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/error.h"

struct loop_watch {
    int fd; /* borrowed; -1 while not in the loop */
    uint32_t events;
    /* `events` are EPOLL*; may remove any watch, its own too, and free its owner. */
    void (*ready)(struct loop_watch *watch, uint32_t events);
};

struct loop_timer {
    uint64_t due; /* milliseconds of CLOCK_MONOTONIC; 0: not set */
    void (*fire)(struct loop_timer *timer);
    struct loop_timer *next;
};

struct loop {
    int epoll;
    bool stop;
    struct loop_timer *timers; /* the soonest first */
    struct epoll_event *batch; /* of the round that is under way */
    int batch_count;
};

int loop_init(struct loop *loop, struct error *err);
void loop_release(struct loop *loop);
/* Watch a descriptor for EPOLL* events (0: for errors and hang-ups only), level-triggered. */
int loop_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events,
             struct error *err);
/* Other events for a watch that is in the loop; the same ones cost nothing. */
void loop_change(struct loop *loop, struct loop_watch *watch, uint32_t events);
/* Before the descriptor is closed. Nothing happens for a watch that is not in the loop. */
void loop_remove(struct loop *loop, struct loop_watch *watch);
/* Fire once after `delay` milliseconds; a timer that is set is set anew. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t delay);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
/* Until loop->stop. */
int loop_run(struct loop *loop, struct error *err);
/* One wait of at most `limit` milliseconds (-1: no limit), and what it brings. For tests. */
int loop_step(struct loop *loop, int limit, struct error *err);

uint64_t loop_now(void);
