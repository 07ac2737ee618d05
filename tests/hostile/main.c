/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile-run [--seed N] [--plan NAME]... [--script ROWS]... [--limit SECONDS] [--from-boot]
 *             [--ignore-abort] [--proxy FILE] [--aexnotify] [--stdin] [--base ADDRESS] [--bad TEXT]
 *             [--] LIBOS-RUN'S ARGUMENTS
 * The exit code is the outcome: 0 fine, 1 application, 2 refused, 3 hang, 4 host, 5 fault.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/hostile/hostile.h"
#include "tests/hostile/shadow.h"

int __real_main(int argc, char **argv);
int __wrap_main(int argc, char **argv);
_Noreturn void __wrap__exit(int code);

void __wrap__exit(int code)
{
    watch_end(code);
}

static int add_plan(const char *name)
{
    for (const struct plan *p = g_plans; p->name != NULL; p++)
        if (strcmp(p->name, name) == 0)
            return lies_add(p->script);
    fprintf(stderr, "hostile: no plan \"%s\"\n", name);
    return -1;
}

static void list_plans(void)
{
    for (const struct plan *p = g_plans; p->name != NULL; p++)
        printf("%s\n", p->name);
}

int __wrap_main(int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"plan", required_argument, NULL, 'p'},
                                            {"script", required_argument, NULL, 'x'},
                                            {"limit", required_argument, NULL, 'l'},
                                            {"bad", required_argument, NULL, 'B'},
                                            {"base", required_argument, NULL, 'b'},
                                            {"from-boot", no_argument, NULL, 'f'},
                                            {"ignore-abort", no_argument, NULL, 'i'},
                                            {"proxy", required_argument, NULL, 'r'},
                                            {"plans", no_argument, NULL, 'P'},
                                            {"aexnotify", no_argument, NULL, 'a'},
                                            {"stdin", no_argument, NULL, 'I'},
                                            {NULL, 0, NULL, 0}};
    int bad = 0;

    for (int c; (c = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
        switch (c) {
        case 's':
            lies_seed(strtoull(optarg, NULL, 0));
            break;
        case 'p':
            bad |= add_plan(optarg);
            break;
        case 'x':
            bad |= lies_add(optarg);
            break;
        case 'l':
            g_host.limit = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'b':
            g_host.wanted_base = strtoull(optarg, NULL, 0);
            break;
        case 'B':
            g_host.bad = optarg;
            break;
        case 'f':
            g_host.from_boot = true;
            break;
        case 'i':
            g_host.ignore_abort = true;
            break;
        case 'r':
            g_host.proxy = optarg;
            g_runtime.proxy_fd = open(optarg, O_RDONLY | O_CLOEXEC);
            bad |= g_runtime.proxy_fd < 0;
            break;
        case 'a':
            g_host.aexnotify = true;
            break;
        case 'I':
            g_host.gives_stdin = true;
            break;
        case 'P':
            list_plans();
            return 0;
        default:
            bad = -1;
        }
    }
    if (bad)
        return 6;
    argv[optind - 1] = argv[0];
    argc -= optind - 1;
    argv += optind - 1;
    optind = 1;
    /* For a LibOS with sanitizers; another one does not look at it. */
    mmap((void *)SHADOW_START, SHADOW_SIZE, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    epcm_start();
    limit_start(g_host.limit);
    watch_end(__real_main(argc, argv));
}
