/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plans of an ordinary container, an enclave container and a further process, beside those
 * that tests/unit/plans/ has: who moves, adds or takes a step sees there what that changes. With
 * PLANS_WRITE=1 in the environment they are written anew.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "container/sequence.h"

/* As `rune spec` writes it, with hooks and names. */
static const char g_config[] =
    "{\"ociVersion\": \"1.0.2\", \"hostname\": \"web\", \"root\": {\"path\": \"rootfs\"},"
    " \"process\": {\"cwd\": \"/\", \"args\": [\"sh\"], \"terminal\": false,"
    "               \"noNewPrivileges\": true, \"user\": {\"uid\": 0, \"gid\": 0}},"
    " \"hooks\": {\"createRuntime\": [{\"path\": \"/bin/true\"}],"
    "             \"startContainer\": [{\"path\": \"/bin/true\"}]},"
    " \"linux\": {\"namespaces\": [{\"type\": \"mount\"}, {\"type\": \"network\"},"
    "                              {\"type\": \"pid\"}, {\"type\": \"uts\"}]}}";

static struct oci_config *config_of(const char *text)
{
    struct oci_config *config;
    cleanup_error struct error err = ERROR_INIT;
    if (oci_config_parse(text, strlen(text), "config.json", &config, &err) < 0)
        fail_msg("%s", error_text(&err));
    return config;
}

static char *plan_text(unsigned facts)
{
    char *text = xstrdup("");
    for (size_t i = 0; i < container_step_count; i++) {
        if (!sequence_due(&container_steps[i], facts))
            continue;
        char *longer = xasprintf("%s%s\n", text, container_steps[i].name);
        free(text);
        text = longer;
    }
    return text;
}

static void is_plan(const struct setup *setup, const char *name)
{
    cleanup_free char *plan = plan_text(sequence_facts(setup));
    cleanup_free char *file = xasprintf("%s/%s.txt", PLANS, name);
    cleanup_buffer struct buffer expected = BUFFER_INIT;
    if (getenv("PLANS_WRITE"))
        assert_int_equal(replace_file_at(AT_FDCWD, file, plan, strlen(plan), 0644, false, NULL), 0);
    assert_int_equal(read_file_at(AT_FDCWD, file, &expected, 65536, NULL), 0);
    assert_string_equal(plan, buffer_text(&expected));
}

static void init_of(struct container_init *out, struct oci_config *config)
{
    *out = (struct container_init){
        .config = config, .process = &config->process, .fifo_fd = 3, .seccomp.present = true};
}

static void the_plan_of_an_ordinary_container(void **state)
{
    cleanup_config struct oci_config *config = config_of(g_config);
    struct container_init init;
    init_of(&init, config);
    is_plan(&(struct setup){.init = &init}, "ordinary");
}

static void the_plan_of_an_enclave_container(void **state)
{
    cleanup_config struct oci_config *config = config_of(g_config);
    struct container_init init;
    init_of(&init, config);
    is_plan(&(struct setup){.init = &init, .init_program = "init-runelet"}, "enclave");
}

static void the_plan_of_a_further_process(void **state)
{
    cleanup_config struct oci_config *config = config_of(g_config);
    struct container_init init;
    init_of(&init, config);
    init.is_exec = true;
    init.fifo_fd = -1;
    is_plan(&(struct setup){.init = &init}, "exec");
}

/* init-runelet goes on where rune's clone left off. */
static void init_runelet_has_the_plan_of_its_container(void **state)
{
    cleanup_config struct oci_config *config = config_of(g_config);
    const struct container_payload payload = {.name = "runelet"};
    struct container_init init;
    init_of(&init, config);
    unsigned before = sequence_facts(&(struct setup){.init = &init, .init_program = "runelet"});
    assert_int_equal(sequence_facts(&(struct setup){.init = &init, .payload = &payload}), before);
}

static size_t place_of(const char *name, unsigned facts)
{
    for (size_t i = 0; i < container_step_count; i++)
        if (strcmp(container_steps[i].name, name) == 0 && sequence_due(&container_steps[i], facts))
            return i;
    fail_msg("no step \"%s\"", name);
    return 0;
}

/* Whatever the configuration: the filter is loaded exactly once where there is one. */
static void the_filter_is_loaded_once_under_all_facts(void **state)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned facts = (i & 1 ? EXEC : CONTAINER) | (i & 2 ? PAYLOAD : PROGRAM) |
                         (i & 4 ? NO_NEW_PRIVS : NEW_PRIVS) | FILTER |
                         (i & 8 ? FILTER_EARLY : FILTER_LATE);
        size_t loaded = 0;
        for (size_t k = 0; k < container_step_count; k++)
            loaded += sequence_due(&container_steps[k], facts) &&
                      strcmp(container_steps[k].name, "load the seccomp filter") == 0;
        assert_int_equal(loaded, 1);
    }
}

/* Without no_new_privs it needs a capability that is dropped later; with it, it need not allow the
 * set-up. */
static void the_filter_is_loaded_while_it_can_be(void **state)
{
    unsigned kept = CONTAINER | PROGRAM | NEW_PRIVS | FILTER | FILTER_LATE;
    assert_true(place_of("load the seccomp filter", kept) <
                place_of("become the user, enter the working directory", kept));
    unsigned none = CONTAINER | PROGRAM | NO_NEW_PRIVS | FILTER_LATE | GATE;
    assert_true(place_of("load the seccomp filter", none) > place_of("wait for rune start", none));
    unsigned enclave = CONTAINER | PAYLOAD | NO_NEW_PRIVS | FILTER_EARLY;
    assert_true(place_of("load the seccomp filter", enclave) <
                place_of("start the enclave", enclave));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_of_an_ordinary_container),
        cmocka_unit_test(the_plan_of_an_enclave_container),
        cmocka_unit_test(the_plan_of_a_further_process),
        cmocka_unit_test(init_runelet_has_the_plan_of_its_container),
        cmocka_unit_test(the_filter_is_loaded_once_under_all_facts),
        cmocka_unit_test(the_filter_is_loaded_while_it_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
