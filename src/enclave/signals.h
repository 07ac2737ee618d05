/* SPDX-License-Identifier: Apache-2.0 */
/* Signals of init-runelet and of the exec proxy: read from a signalfd and passed on, never acted
 * upon. */
#pragma once

#include <stdbool.h>
#include <sys/signalfd.h>

#include "base/error.h"

/*
 * Block every asynchronous signal and give a descriptor to read them from. SIGILL, SIGBUS,
 * SIGFPE, SIGSEGV and SIGSYS stay unblocked (an enclave runtime lives on them); those that another
 * process sends are written to the same reader: call this before a runtime installs its own
 * handlers, which hand on what is not theirs.
 */
int signals_open(int *signal_fd, int *sent_fault_fd, struct error *err);
/* True when the terminal driver sent it: for the foreground process group. */
bool signal_from_terminal(const struct signalfd_siginfo *info);
/* True for what is for this process itself and is not passed on (SIGCHLD, what it sent to
 * itself). */
bool signal_is_own(const struct signalfd_siginfo *info);
/* True when the default action ends a process. */
bool signal_ends_process(int sig);
/* End this process by `sig`, without a core file; returns when that cannot be (PID 1 of a
 * namespace). */
void signal_die(int sig);
