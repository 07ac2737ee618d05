/* SPDX-License-Identifier: Apache-2.0 */
/* PAL version 4: asynchronous exit, terminals, information, statistics. */
#define PAL_VERSION 4
#include "pal.h"
#include "toy.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static struct {
    pal_event_fn *event;
    void *context;
    bool end_in_start;
} g_pal;

int pal_get_version(void)
{
    return 4;
}

/* An enclave that ends while it starts: the event comes, the call does not return. */
static void *end(void *unused)
{
    struct pal_event event = {
        .size = sizeof(event), .type = PAL_EVENT_FATAL, .message = "the toy enclave broke"};
    g_pal.event(g_pal.context, &event);
    return NULL;
}

static _Noreturn void end_and_hang(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, end, NULL);
    for (;;)
        pause();
}

static void *end_later(void *unused)
{
    usleep(300000);
    return end(NULL);
}

int pal_init(const struct pal_init_args_v4 *args)
{
    toy_log("v4 init args=%s log=%s type=%s mounts=%u memory=%llu\n", args->args, args->log_level,
            args->enclave_type, args->mount_count, (unsigned long long)args->memory_limit);
    g_pal.event = args->event;
    g_pal.context = args->context;
    if (args->args != NULL && strcmp(args->args, "fail-init") == 0)
        return -ENOMEM;
    if (args->args != NULL && strcmp(args->args, "end-in-init") == 0)
        end_and_hang();
    g_pal.end_in_start = args->args != NULL && strcmp(args->args, "end-in-start") == 0;
    pthread_t thread;
    if (args->args != NULL && strcmp(args->args, "end-at-the-gate") == 0)
        pthread_create(&thread, NULL, end_later, NULL);
    if (args->log != NULL)
        args->log(args->context, 3, "toy PAL is up");
    return 0;
}

int pal_create_process(const struct pal_process_args_v4 *args, int *pid)
{
    struct toy_spec spec = {
        .argv = args->argv, .env = args->env, .cwd = args->cwd, .uid = args->uid, .gid = args->gid};
    memcpy(spec.stdio, args->stdio, sizeof(spec.stdio));
    *pid = toy_create(&spec);
    toy_log("v4 create %s pid=%d flags=%u groups=%u\n", args->argv[0], *pid, args->flags,
            args->group_count);
    return *pid < 0 ? *pid : 0;
}

static void process_exited(int pid, int status)
{
    struct pal_event event = {
        .size = sizeof(event), .type = PAL_EVENT_EXITED, .pid = pid, .status = status};
    g_pal.event(g_pal.context, &event);
}

int pal_start_process(int pid)
{
    if (g_pal.end_in_start)
        end_and_hang();
    return toy_start(pid, process_exited);
}

int pal_kill(int pid, int sig)
{
    toy_log("v4 kill %d %d\n", pid, sig);
    if (pid == 1 && sig == 64) { /* SIGRTMAX stands for an enclave that breaks */
        struct pal_event event = {
            .size = sizeof(event), .type = PAL_EVENT_FATAL, .message = "the toy enclave broke"};
        g_pal.event(g_pal.context, &event);
        return 0;
    }
    return toy_kill(pid, sig);
}

int pal_kill_foreground(int pid, int sig)
{
    toy_log("v4 kill_foreground %d %d\n", pid, sig);
    return toy_kill(pid, sig);
}

int pal_resize(int pid, uint16_t rows, uint16_t columns)
{
    return toy_resize(pid, rows, columns);
}

int pal_get_info(struct pal_info_v4 *info)
{
    size_t size = info->size;
    if (size < offsetof(struct pal_info_v4, tee))
        return -EINVAL;
    info->flags = PAL_FLAG_SIMULATION;
    memset(info->mrenclave, 0xab, sizeof(info->mrenclave));
    memset(info->mrsigner, 0xcd, sizeof(info->mrsigner));
    if (size >= sizeof(*info))
        memcpy(info->tee, "toy", 4);
    return 0;
}

int pal_get_stats(struct pal_stats_v4 *stats)
{
    if (stats->size < sizeof(*stats))
        return -EINVAL;
    stats->processes = toy_count();
    stats->memory_committed = 4096;
    return 0;
}

int pal_get_quote(const uint8_t report_data[64], uint8_t *quote, size_t *quote_size)
{
    return -ENOTSUP;
}

int pal_get_local_report(void *target_info, int target_info_len, void *report, int *report_len)
{
    if (target_info_len != 512 || *report_len < 432)
        return -EINVAL;
    memset(report, 0x5a, 432);
    *report_len = 432;
    return 0;
}

int pal_destroy(void)
{
    toy_log("v4 destroy\n");
    return 0;
}
