/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a broken peer can send: frames to a server, with every message that the shim decodes, and to
 * a client. The first byte says which: 0 frames as they are; others a request of one method around
 * the rest, or an answer.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "shim/options.pb-c.h"
#include "shim/task.pb-c.h"
#include "ttrpc/ttrpc.h"
#include "ttrpc/ttrpc.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void echo(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *request)
{
    ttrpc_reply(call, request);
}

static const char *const names[] = {"t", NULL};
static const struct ttrpc_method methods[] = {
    {"1", &task__process_request__descriptor, echo},
    {"2", &task__create_request__descriptor, echo},
    {"3", &task__checkpoint_request__descriptor, echo},
    {"4", &task__kill_request__descriptor, echo},
    {"5", &task__exec_request__descriptor, echo},
    {"6", &task__resize_pty_request__descriptor, echo},
    {"7", &task__close_iorequest__descriptor, echo},
    {"8", &task__update_request__descriptor, echo},
    {"9", &task__shutdown_request__descriptor, echo},
    {"a", &options__runc__descriptor, echo},
    {"b", &options__checkpoint__descriptor, echo},
    {"c", &options__bootstrap_params__descriptor, echo},
    {"d", &ttrpc__any__descriptor, echo},
};
static const struct ttrpc_service service = {names, methods, array_count(methods)};

static void done(void *ctx, enum ttrpc_code code, const char *message, const uint8_t *payload,
                 size_t size)
{
    if (code != TTRPC_OK && strlen(message) > 1 << 20)
        abort();
}

static void send_frame(int fd, enum ttrpc_type type, const void *body, size_t size)
{
    struct ttrpc_header header = {(uint32_t)size, 1, (uint8_t)type, 0};
    uint8_t head[TTRPC_HEADER_SIZE];
    ttrpc_header_encode(&header, head);
    if (write_all(fd, head, sizeof(head)) < 0 || write_all(fd, body, size) < 0)
        _exit(1);
}

static void run(struct loop *loop)
{
    for (int i = 0; i < 16; i++)
        (void)loop_step(loop, 0, NULL);
}

static void to_server(struct loop *loop, int ours, int theirs, const uint8_t *data, size_t size)
{
    struct ttrpc_server *server;
    if (ttrpc_server_new(loop, -1, &service, NULL, NULL, &server, NULL) < 0 ||
        ttrpc_server_adopt(server, theirs, NULL) < 0)
        _exit(1);
    size_t number = data[0];
    if (number == 0) {
        if (write_all(ours, data + 1, size - 1) < 0)
            _exit(1);
    } else {
        Ttrpc__Request request = TTRPC__REQUEST__INIT;
        size_t packed;
        request.service = (char *)"t";
        request.method = (char *)methods[number % array_count(methods)].name;
        request.payload = (ProtobufCBinaryData){size - 1, (uint8_t *)data + 1};
        cleanup_free uint8_t *bytes = ttrpc_pack(&request.base, &packed);
        send_frame(ours, TTRPC_REQUEST, bytes, packed);
    }
    run(loop);
    close(ours);
    run(loop);
    ttrpc_server_free(server);
}

static void to_client(struct loop *loop, int ours, int theirs, const uint8_t *data, size_t size)
{
    struct ttrpc_client *client;
    Ttrpc__Empty empty = TTRPC__EMPTY__INIT;
    if (ttrpc_client_new(loop, theirs, NULL, NULL, &client, NULL) < 0)
        _exit(1);
    ttrpc_client_call(client, "t", "1", &empty.base, NULL, 0, done, NULL);
    if (data[0] & 1)
        send_frame(ours, TTRPC_RESPONSE, data + 1, size - 1);
    else if (write_all(ours, data + 1, size - 1) < 0)
        _exit(1);
    run(loop);
    close(ours);
    run(loop);
    ttrpc_client_free(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct loop loop;
    int pair[2];
    if (size < 1 || size > 60000 || loop_init(&loop, NULL) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return 0;
    if (data[0] < 200)
        to_server(&loop, pair[0], pair[1], data, size);
    else
        to_client(&loop, pair[0], pair[1], data, size);
    loop_release(&loop);
    return 0;
}
