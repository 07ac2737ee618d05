/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between the agent in init-runelet and its clients (rune exec, rune enclave), over a UNIX
 * stream socket. docs/design/libenclave.md has the protocol as a table. A frame is a header, a JSON
 * object (small facts) and a blob (bytes as they are: strings that need not be UTF-8, reports);
 * descriptors travel with the header.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/json.h"

#define AGENT_SOCKET  "agent.sock"
#define AGENT_MAGIC   0x41454e52u /* "RNEA" */
#define AGENT_VERSION 1u

#define AGENT_JSON_MAX (1u << 20)
#define AGENT_BLOB_MAX (8u << 20)
#define AGENT_FDS_MAX  3

enum agent_type {
    /* client to agent */
    AGENT_EXEC =
        1, /* 3 descriptors; JSON: process; blob: argv, env, cwd. Answer: STARTED, later EXITED */
    AGENT_SIGNAL = 2, /* JSON: signal, foreground; to the process of this connection. No answer */
    AGENT_RESIZE = 3, /* JSON: rows, columns. No answer */
    AGENT_INFO = 4,   /* Answer: OK with what the enclave is */
    AGENT_STATS = 5,  /* Answer: OK with numbers */
    AGENT_REPORT = 6, /* blob: TARGETINFO. Answer: OK, blob: REPORT */
    AGENT_QUOTE = 7,  /* blob: 64 bytes of report data. Answer: OK, blob: quote */
    AGENT_LIMITS = 8, /* JSON: memory, threads, cpuQuota, cpuPeriod; 0: none. Answer: OK */
    /* agent to client */
    AGENT_OK = 100,
    AGENT_ERROR = 101,   /* JSON: code (errno), message */
    AGENT_STARTED = 102, /* JSON: pid in the enclave */
    AGENT_EXITED = 103,  /* JSON: status as from waitpid(2) */
};

struct agent_header {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t json_size;
    uint32_t blob_size;
};

struct agent_frame {
    enum agent_type type;
    json_t *json; /* an object, or NULL for an empty one */
    char *blob;   /* blob_size bytes and a NUL */
    size_t blob_size;
    int fds[AGENT_FDS_MAX]; /* -1 when absent */
};

#define cleanup_frame __attribute__((cleanup(agent_frame_release)))
void agent_frame_release(struct agent_frame *frame);

/* Send one frame; fds may be NULL. The json reference stays the caller's. Returns 0 or -errno. */
int agent_send(int socket, enum agent_type type, const json_t *json, const void *blob,
               size_t blob_size, const int *fds, size_t fd_count);
/*
 * Receive one frame into a zeroed one. Returns 1, 0 when the peer closed between frames, negative
 * with err for a broken frame or one of another protocol version.
 */
int agent_recv(int socket, struct agent_frame *frame, struct error *err);
