/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "rune/commands.h"
#include "rune/criu_flags.h"
#include "rune/shared_options.h"

static const char *g_page_server;
static long long g_status_fd = -1;

static const struct option options[] = {
    CRIU_COMMON_OPTIONS,
    {"parent-path", NULL, OPTION_TEXT, &g_criu.options.parent_path, "dir",
     "directory of the images of a previous --pre-dump, relative to --image-path"},
    {"leave-running", NULL, OPTION_FLAG, &g_criu.options.leave_running, NULL,
     "leave the process running after checkpointing"},
    {"pre-dump", NULL, OPTION_FLAG, &g_criu.options.pre_dump, NULL,
     "dump container's memory information only, leave the container running after this"},
    {"tcp-skip-in-flight", NULL, OPTION_FLAG, &g_criu.options.tcp_skip_in_flight, NULL,
     "skip in-flight tcp connections"},
    {"link-remap", NULL, OPTION_FLAG, &g_criu.options.link_remap, NULL,
     "allow one to link unlinked files back when possible"},
    OPTION_LAZY_PAGES(&g_criu.options.lazy_pages),
    {"status-fd", NULL, OPTION_NUMBER, &g_status_fd, "fd",
     "descriptor that gets a NUL byte once the server of --lazy-pages is ready"},
    {"page-server", NULL, OPTION_TEXT, &g_page_server, "address:port",
     "send the memory pages to this page server; with --lazy-pages: listen there"},
};

/* "10.0.0.1:27000", "[::1]:27000" */
static int read_page_server(struct error *err)
{
    enum { PORT_MAX = 65535 };
    if (!g_page_server || !*g_page_server)
        return 0;
    const char *colon = strrchr(g_page_server, ':'), *start = g_page_server;
    size_t length = colon ? (size_t)(colon - start) : 0;
    bool bracketed = length > 2 && start[0] == '[' && start[length - 1] == ']';
    if (bracketed) {
        start++;
        length -= 2;
    }
    if (length == 0 || !colon[1] || (!bracketed && memchr(start, ':', length)))
        return error_set(err, "Use --page-server ADDRESS:PORT to specify page server");
    char *end;
    long port = strtol(colon + 1, &end, 10);
    if (*end || port < 1 || port > PORT_MAX)
        return error_set(err, "Invalid port number");
    g_criu.options.page_server_address = xstrndup(start, length);
    g_criu.options.page_server_port = (int)port;
    return 0;
}

static int run(int argc, char **argv, struct error *err)
{
    enum { FD_MAX = 1 << 20 };
    cleanup_container struct container *container = NULL;
    if (g_status_fd < -1 || g_status_fd > FD_MAX)
        return error_set(err, "invalid --status-fd argument %lld", g_status_fd);
    g_criu.options.status_fd = (int)g_status_fd;
    if (open_container(argv[0], &container, err) < 0 || criu_flags_finish(err) < 0 ||
        read_page_server(err) < 0)
        return -1;
    return container_checkpoint(container, &g_criu.options, err);
}

const struct command command_checkpoint = {
    .name = "checkpoint",
    .arguments = "<container-id>",
    .summary = "save a running container as image files",
    .description =
        "Saves the state of a running container through CRIU, then stops and deletes the "
        "container; with --leave-running or --pre-dump it stays. \"rune restore\" makes the "
        "container anew from the image files. An enclave container cannot be saved: nobody "
        "outside can read its memory.",
    .examples = "rune checkpoint --image-path /var/tmp/web web\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
