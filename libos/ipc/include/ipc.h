/* SPDX-License-Identifier: Apache-2.0 */
/* What start asks of System V IPC. */
#pragma once

#include "filesystems.h"

void sysv_process_exit(struct process *p); /* sysv_sem.c: undo of semaphores */
/* The tables of /proc/sysvipc, line by line. */
void sysv_show_shm(sysv_line *line, void *ctx);
void sysv_show_sem(sysv_line *line, void *ctx);
void sysv_show_msg(sysv_line *line, void *ctx);
