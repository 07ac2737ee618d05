/* SPDX-License-Identifier: Apache-2.0 */
/* What server and client share: frames in and out of a socket, without waiting. */
#pragma once

#include "base/buffer.h"
#include "ttrpc/ttrpc.h"

struct connection {
    struct loop *loop;
    struct loop_watch watch;
    struct buffer in, out;
    size_t skip;  /* bytes of an oversized message that are still to come */
    size_t limit; /* with more than this many bytes unsent nothing is read; 0: no limit */
    bool lost;    /* nothing more goes out */
    bool broken;  /* set by `frame`: the peer is not to be talked to any more */
    /*
     * A frame; payload NULL: its message is larger than allowed and is skipped. May not free the
     * connection.
     */
    void (*frame)(struct connection *connection, const struct ttrpc_header *header,
                  const uint8_t *payload);
    /*
     * The peer has gone, or sends what is none. May free the connection. Not called out of
     * connection_send().
     */
    void (*closed)(struct connection *connection);
};

/* `socket` is taken also when this fails. */
int connection_open(struct connection *connection, struct loop *loop, int socket,
                    struct error *err);
void connection_close(struct connection *connection);
void connection_send(struct connection *connection, enum ttrpc_type type, uint32_t stream,
                     const ProtobufCMessage *message);
