/* SPDX-License-Identifier: Apache-2.0 */
/* The line discipline of a pty: what termios(3) says. No locks, no waiting: the pty's lock is held
 * by the caller. */
#pragma once

#include "heap.h"
#include "user.h"

#include <asm/termbits.h>

#define LDISC_SIZE 4096u /* of each buffer; MAX_CANON as Linux has it */

struct ldisc {
    struct termios termios;
    u8 *in;    /* ring: lines ready, then (canonical) the line being edited */
    u8 *marks; /* bit of each byte of `in`: 1 ends a line, 2 it is an end-of-file mark, not data */
    u32 in_head, in_ready, in_edit; /* bytes that may be read; bytes of the unfinished line */
    u8 *out;
    u32 out_head, out_used;
    u32 out_mark;            /* out_used when the input being worked on came */
    u32 column, edit_column; /* of the output; where the edited line began */
    bool stopped;            /* ^S */
    bool literal;            /* ^V: the next byte as it is */
};

int ldisc_init(struct ldisc *l);
void ldisc_free(struct ldisc *l);
void ldisc_set_termios(struct ldisc *l, const struct termios *t);
/* From the master: bytes taken (fewer when the buffer is full). Bit n-1 of *signals: signal n for
 * the foreground group. */
size_t ldisc_input(struct ldisc *l, const u8 *data, size_t n, u32 *signals);
bool ldisc_input_room(const struct ldisc *l);
/* To the slave's reader: bytes, 0 for end of file, -EAGAIN when nothing is ready. */
ssize_t ldisc_read(struct ldisc *l, struct uio *io);
bool ldisc_readable(const struct ldisc *l);
u32 ldisc_input_size(const struct ldisc *l);
/* From the slave's writer: bytes taken, -EAGAIN when there is no room. */
ssize_t ldisc_write(struct ldisc *l, struct uio *io);
bool ldisc_output_room(const struct ldisc *l);
/* To the master's reader; -EAGAIN. */
ssize_t ldisc_output_read(struct ldisc *l, struct uio *io);
bool ldisc_output_ready(const struct ldisc *l);
u32 ldisc_output_size(const struct ldisc *l);
void ldisc_flush_input(struct ldisc *l);
void ldisc_flush_output(struct ldisc *l);
