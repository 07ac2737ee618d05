/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the user what a long step is about, once it has taken two seconds; a quick one says
 * nothing. With a log file it is a line there (--debug), for standard error is the program's. */
#pragma once

struct progress;

struct progress *progress_start(void);
/* A new step begins; ctx is the struct progress, so that this can be a callback. */
void progress_step(void *ctx, const char *step);
void progress_end(struct progress *progress);
