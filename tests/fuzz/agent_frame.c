/* SPDX-License-Identifier: Apache-2.0 */
/* What a broken client can send to the agent: a frame, and the process in it. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "enclave/process.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int pair[2];
    if (size > 60000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return 0;
    /* A valid head is far away for a random input, so half of the inputs begin behind it. */
    if (size > 1 && (data[0] & 1) != 0) {
        struct agent_header header = {AGENT_MAGIC, AGENT_VERSION, AGENT_EXEC,
                                      (uint32_t)((size - 1) * data[0] / 256), 0};
        header.blob_size = (uint32_t)(size - 1) - header.json_size;
        if (write(pair[0], &header, sizeof(header)) != sizeof(header))
            _exit(1);
        data++;
        size--;
    }
    if (write(pair[0], data, size) != (ssize_t)size)
        _exit(1);
    close(pair[0]);

    struct error err = ERROR_INIT;
    struct agent_frame frame;
    while (agent_recv(pair[1], &frame, &err) == 1) {
        struct enclave_process process = {0};
        for (int i = 0; i < 3; i++)
            frame.fds[i] = frame.fds[i] < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : frame.fds[i];
        enclave_process_decode(&frame, &process, &err);
        enclave_process_release(&process);
        agent_frame_release(&frame);
        error_release(&err);
    }
    agent_frame_release(&frame);
    error_release(&err);
    close(pair[1]);
    return 0;
}
