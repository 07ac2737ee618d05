/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "container/stats.h"
#include "rune/commands.h"

static const char *interval = "5s";
static bool stats_once;
static const struct option options[] = {
    {"interval", NULL, OPTION_TEXT, &interval, "duration",
     "set the stats collection interval (default: 5s)"},
    {"stats", NULL, OPTION_FLAG, &stats_once, NULL, "display the container's stats then exit"},
};

/* Go's durations: "5s", "100ms", "1m30s". In milliseconds, negative when malformed. */
static long long parse_duration(const char *text)
{
    double total = 0;
    while (*text) {
        char *end;
        double number = strtod(text, &end);
        if (end == text)
            return -1;
        static const struct {
            const char *name;
            double milliseconds;
        } units[] = {{"ms", 1},      {"us", 0.001}, {"ns", 0.000001},
                     {"h", 3600000}, {"m", 60000},  {"s", 1000}};
        size_t i = 0;
        while (i < array_count(units) && strncmp(end, units[i].name, strlen(units[i].name)) != 0)
            i++;
        if (i == array_count(units))
            return -1;
        total += number * units[i].milliseconds;
        text = end + strlen(units[i].name);
    }
    return (long long)total;
}

static void print_event(const struct container *container, const char *type, json_t *data)
{
    cleanup_json json_t *event = json_pack("{s:s,s:s}", "type", type, "id", container->id);
    if (data)
        json_object_set_new(event, "data", data);
    cleanup_free char *text = json_text(event, JSON_COMPACT);
    puts(text);
    fflush(stdout);
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static int watch(const struct container *container, long long period, struct error *err)
{
    cleanup_close int oom = container_oom_open(container, err);
    if (oom < 0)
        return oom;
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, container->state->pid, 0);
    uint64_t seen = 0;
    long long next = now_ms() + period;
    for (;;) {
        struct pollfd fds[] = {{.fd = oom, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
        long long left = next - now_ms();
        int n = poll(fds, 2, left > 0 ? (int)left : 0);
        if (n < 0 && errno != EINTR)
            return error_errno(err, errno, "poll");
        if (n > 0 && fds[0].revents && container_oom_read(container, oom, &seen) == 1)
            print_event(container, "oom", NULL);
        if (n > 0 && fds[1].revents)
            return 0;
        if (n == 0) {
            print_event(container, "stats", container_stats(container));
            next += period;
        }
    }
}

static int run(int argc, char **argv, struct error *err)
{
    cleanup_container struct container *container = NULL;
    if (open_container(argv[0], &container, err) < 0)
        return -1;
    long long period = parse_duration(interval);
    if (period <= 0)
        return error_set(err, "duration interval must be greater than 0");
    enum container_status status = container_status(container);
    if (status == CONTAINER_STOPPED)
        return error_set(err, "container with id %s is not running", container->id);
    if (stats_once) {
        print_event(container, "stats", container_stats(container));
        return 0;
    }
    return watch(container, period, err);
}

const struct command command_events = {
    .name = "events",
    .arguments = "<container-id>",
    .summary = "show statistics and events of a container",
    .description =
        "Prints one JSON object a line until the container ends: statistics of processor, memory "
        "and disks, and each kill by the limit of memory.",
    .examples = "rune events --stats web\n"
                "rune events --interval 10s web\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
