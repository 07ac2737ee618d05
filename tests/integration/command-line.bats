#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the programs say about themselves: one table makes --help, man page and completion.

bats_require_minimum_version 1.5.0

programs=(rune rune-image sgx-tools)

commands() { # PROGRAM: the names of its commands
    "$1" --help | sed -n '/^COMMANDS:/,/^$/p' | awk '/^   [a-z]/ && $1 != "help" {print $1}'
}

each_command() { # FUNCTION: called with PROGRAM and COMMAND, for all
    local program command
    for program in "${programs[@]}"; do
        [ "$(commands "$program" | wc -l)" -gt 3 ]
        for command in $(commands "$program"); do
            "$1" "$program" "$command" || { echo "$program $command: $1"; return 1; }
        done
    done
}

has_all_sections() {
    local section text
    text=$("$1" "$2" --help)
    for section in NAME USAGE DESCRIPTION OPTIONS EXAMPLES; do
        grep -qx "$section:" <<<"$text" || return 1
    done
    [ "$text" = "$("$1" help "$2")" ]
}

examples_use_its_options() {
    local text option
    text=$("$1" "$2" --help)
    for option in $(sed -n '/^EXAMPLES:/,$p' <<<"$text" | grep -E "^   $1 (--[a-z]+ )?$2" | grep -oE '( |\|)--[a-zA-Z-]+' | tr -d ' |'); do
        { sed -n '/^OPTIONS:/,/^EXAMPLES:/p' <<<"$text" && "$1" --help; } | grep -qE "^   $option(,| |$)" || { echo "$option"; return 1; }
    done
}

fits_80_columns() {
    # The line of USAGE and examples are to be copied: they are not broken.
    ! "$1" "$2" --help | sed '/^USAGE:/,/^$/d; /^EXAMPLES:/,$d' | grep -nE '.{81}'
}

@test "every command has a description and an example" {
    each_command has_all_sections
}

@test "the examples of a command use options that it has" {
    each_command examples_use_its_options
}

@test "help fits into 80 columns" {
    each_command fits_80_columns
}

@test "help follows the width of the terminal" {
    widest() { script -qec "stty cols $1; rune run --help" /dev/null </dev/null | tr -d '\r' | sed '/^USAGE:/,/^$/d; /^EXAMPLES:/,$d' | awk '{if (length > n) n = length} END {print n}'; }
    [ "$(widest 60)" -le 60 ]
    [ "$(widest 110)" -gt 80 ]
}

@test "an unknown command is named, and help is one step away" {
    for program in rune-image sgx-tools; do
        run "$program" nosuch
        [ "$status" -eq 1 ]
        [ "$output" = "$program: unknown command \"nosuch\"; see $program --help" ]
    done
    run rune nosuch
    [ "$status" -eq 3 ] # as runc's
    [[ "$output" == *"No help topic for 'nosuch'"*"rune --help"* ]]
}

@test "a wrong number of arguments and an unknown option are named" {
    run sgx-tools measure
    [ "$status" -eq 1 ]
    [[ "$output" == *'"sgx-tools measure" requires exactly 1 argument'* ]]
    run rune-image list --nosuch
    [ "$status" -eq 1 ]
    [ "$output" = "rune-image: flag provided but not defined: -nosuch" ]
}

@test "bash completes commands and options of each program" {
    for program in "${programs[@]}"; do
        "$program" completion bash >"$BATS_TEST_TMPDIR/completion"
        run -0 bash -c '
            source "$1"
            complete=$(complete -p "$2")
            function=${complete#*-F }
            COMP_WORDS=("$2" "$3") COMP_CWORD=1
            ${function%% *}
            echo "${COMPREPLY[@]}"
            COMP_WORDS=("$2" "$4" --) COMP_CWORD=2
            ${function%% *}
            echo "${COMPREPLY[@]}"' - "$BATS_TEST_TMPDIR/completion" "$program" "" "$(commands "$program" | head -1)"
        for command in $(commands "$program"); do
            [[ " ${lines[0]} " == *" $command "* ]]
        done
        [[ " ${lines[1]} " == *" --help "* ]]
    done
}

@test "the man page has every command and option of rune" {
    rune completion man >"$BATS_TEST_TMPDIR/rune.8"
    for command in $(commands rune); do
        grep -qF ".SS ${command//-/\\-}" "$BATS_TEST_TMPDIR/rune.8"
    done
    grep -qF '\-\-console\-socket' "$BATS_TEST_TMPDIR/rune.8"
    run -0 awk '/^\.SH/ {print $2}' "$BATS_TEST_TMPDIR/rune.8"
    [[ "${lines[*]}" == "NAME SYNOPSIS DESCRIPTION GLOBAL COMMANDS EXIT FILES SEE" ]]
}
