/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: init-runelet's door for rune exec and for questions about the enclave. It listens on
 * agent.sock in the container's state directory (made before pivot_root, so nothing in the
 * container has a path to it). One thread for each connection; a connection that ends kills the
 * process that it started, as a terminal that goes away would.
 */
#pragma once

#include "enclave/agent_wire.h"
#include "enclave/pal_runtime.h"

struct agent;

/*
 * Bind agent.sock in the state directory (a descriptor) and listen: in rune create, for
 * init-runelet may be in a user namespace that has no right to write there. Returns the socket.
 */
int agent_listen(int state_dir, struct error *err);
/* Takes the listening socket. Nothing is accepted before agent_serve(). */
struct agent *agent_new(int listener);
/*
 * Serve: a thread accepts from now on. runtime is initialised and outlives the agent, as does
 * *memory_limit, which follows changes of the container's limit, atomically.
 */
int agent_serve(struct agent *agent, struct pal_runtime *runtime, uint64_t *memory_limit,
                struct error *err);
/* A process of the enclave ended: tell the client that started it, if one did. */
void agent_process_exited(struct agent *agent, int pid, int status);

/* --- clients --- */

/* Connect to the agent of the container with this state directory; the message says what a failure
 * means. */
int agent_connect(int state_dir, int *socket, struct error *err);
/* Send a question and wait for its answer; an AGENT_ERROR becomes err. */
int agent_ask(int socket, enum agent_type type, const json_t *json, const void *blob,
              size_t blob_size, struct agent_frame *answer, struct error *err);
