/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "rune/rune.h"

extern const struct command command_attest, command_attest_host, command_cp, command_create,
    command_delete, command_doctor, command_enclave, command_exec, command_kill, command_list,
    command_ps, command_run, command_spec, command_start, command_state, command_pause,
    command_resume, command_update, command_events, command_features, command_checkpoint,
    command_install_runtime, command_restore;

/* Negated, what a command returns to have rune exit so after the error's line. */
enum exec_status {
    EXEC_REFUSED = 126,
    EXEC_NOT_FOUND = 127,
    EXEC_FAILED = 255, /* rune itself failed, as with runc */
};

/* `rune exec CONTAINER COMMAND...`: the program's status, or an exec_status, negated. */
int exec_run(int argc, char **argv, struct error *err);

const char *seccomp_version_text(void);
