/* SPDX-License-Identifier: Apache-2.0 */
/* The process of an exec (`rune exec --process`), and what the engine reads out of its strings. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "container/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct oci_process *process)
{
    cleanup_error struct error err = ERROR_INIT;
    const struct oci_strings *lists[] = {&process->args, &process->env};
    for (size_t i = 0; i < array_count(lists); i++) {
        size_t count = 0;
        while (lists[i]->items[count])
            count++;
        if (count != lists[i]->count)
            abort(); /* they become argv and envp */
    }
    if (process->scheduler.present &&
        (process->scheduler.nice < -20 || process->scheduler.nice > 19))
        abort();
    if (process->io_priority_set && (process->io_priority < 0 || process->io_priority > 7))
        abort();
    if (process->umask & ~(mode_t)0777)
        abort();
    const char *cpus[] = {process->cpu_affinity_initial, process->cpu_affinity_final};
    cpu_set_t set;
    for (size_t i = 0; i < array_count(cpus); i++)
        if (cpus[i])
            (void)cpu_list_parse(cpus[i], &set, &err);
    char **env = process_environment(process);
    bool home = false;
    for (size_t i = 0; env[i]; i++)
        home |= strncmp(env[i], "HOME=", 5) == 0 && env[i][5];
    if (!home)
        abort();
    /* Those of the process itself are the configuration's. */
    for (size_t i = 0; env[i]; i++) {
        bool own = false;
        for (size_t j = 0; j < process->env.count; j++)
            own |= env[i] == process->env.items[j];
        if (!own)
            free(env[i]);
    }
    free(env);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_config struct oci_config *owner = oci_config_new();
    struct oci_process process = {0};
    json_t *json = json_parse((const char *)data, size, "fuzz", &err);
    if (json && oci_process_parse(json, owner, &process, &err) == 0)
        check(&process);
    return 0;
}
