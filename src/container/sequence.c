/* SPDX-License-Identifier: Apache-2.0 */
#include "container/sequence.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/log.h"

static unsigned when(bool condition, unsigned yes, unsigned no)
{
    return condition ? yes : no;
}

static unsigned facts_of_config(const struct oci_config *config)
{
    const struct oci_namespace *net = &config->namespaces[OCI_NS_NETWORK];
    bool early = config->hooks[OCI_HOOK_PRESTART].count ||
                 config->hooks[OCI_HOOK_CREATE_RUNTIME].count ||
                 config->hooks[OCI_HOOK_CREATE_CONTAINER].count;
    bool start = config->hooks[OCI_HOOK_START_CONTAINER].count;
    return when(net->present && !net->path, NEW_NETWORK, 0) |
           when(config->hostname || config->domainname, NAMES, 0) |
           when(config->namespaces[OCI_NS_MOUNT].present, MOUNTS, 0) |
           when(early || start, HOOKS, 0) | when(start, START_HOOKS, 0) |
           when(config->personality_set, PERSONALITY, 0);
}

unsigned sequence_facts(const struct setup *s)
{
    const struct container_init *init = s->init;
    const bool payload = s->payload || s->init_program;
    /* A payload that makes itself ready starts threads, which a filter loaded later would not bind.
     * A listener is handed over by rune, which is gone after the gate. */
    const bool early = (payload && !init->is_exec) || init->seccomp.notify;
    unsigned facts = facts_of_config(init->config);
    facts |= when(init->is_exec, EXEC, CONTAINER) | when(payload, PAYLOAD, PROGRAM) |
             when(init->new_user_namespace, USER_NAMESPACE, 0) | when(s->waits, WAITS, 0) |
             when(!init->no_new_keyring, KEYRING, 0) |
             when(init->process->terminal, TERMINAL, STDIO) |
             when(init->process->no_new_privileges, NO_NEW_PRIVS, NEW_PRIVS) |
             when(init->fifo_fd >= 0, GATE, 0) | when(init->of_ordinary_user, ORDINARY_USER, 0);
    if (init->seccomp.present)
        facts |= FILTER | when(early, FILTER_EARLY, FILTER_LATE);
    return facts;
}

bool sequence_due(const struct step *step, unsigned facts)
{
    return (step->facts & facts) == step->facts;
}

void sequence_log(unsigned facts)
{
    for (size_t i = 0; i < container_step_count; i++)
        if (sequence_due(&container_steps[i], facts))
            log_debug("plan: %s", container_steps[i].name);
}

/* init-runelet begins after the step by which it came to be. */
static size_t first_step(const struct setup *s)
{
    size_t i = 0;
    if (s->spawn)
        return 0;
    while (container_steps[i].run != step_become_runelet)
        i++;
    return i + 1;
}

static int run_steps(struct setup *s, struct error *err)
{
    const unsigned facts = sequence_facts(s);
    int ret = 0;
    for (size_t i = first_step(s); i < container_step_count && ret >= 0; i++)
        if (sequence_due(&container_steps[i], facts))
            ret = container_steps[i].run(s, err);
    return ret;
}

int sequence_run(struct setup *s, struct error *err)
{
    s->root_fd = s->slave = -1;
    int ret = run_steps(s, err);
    close_fds((int[]){s->root_fd, s->slave}, 2);
    free(s->program);
    if (ret >= 0)
        return ret;
    log_divert(NULL, NULL);
    if (init_report(s->init, err) == 0)
        return 1;
    log_fatal("%s", error_text(err));
    bool refused = s->init->is_exec && (err->code == EACCES || err->code == EPERM);
    return refused ? 126 : 127;
}
