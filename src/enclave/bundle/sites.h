/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "manifest.h"

/* Private to the site scanner: elf_code.c tells where code is, sites_scan.c finds windows in it,
 * sites.c makes the table. */

struct function {
    uint64_t start, end; /* virtual addresses */
    bool many_entries;   /* something unknown (an exception) may enter it in the middle */
    bool guessed;        /* the code between two known functions */
};

struct code_range {
    uint64_t address, offset, size; /* offset in the file */
};

struct elf_code {
    struct code_range *ranges; /* executable segments */
    size_t range_count;
    struct function *functions; /* sorted, not overlapping */
    size_t function_count;
    uint64_t *labels; /* sorted: addresses that symbols name */
    size_t label_count;
};

/* False: not an x86-64 program or library, or nothing executable in it. Any bytes are safe. */
bool elf_code_read(const uint8_t *file, size_t size, struct elf_code *out);
void elf_code_release(struct elf_code *code);

struct sites_list {
    struct sites_entry *sites;
    size_t count, room;
    uint64_t syscalls; /* `syscall` instructions in known functions */
};

/* Sites of one file, sorted by offset. 0, or -1 when the disassembler is not available. */
int sites_scan(const uint8_t *file, size_t size, struct sites_list *out);
void sites_list_release(struct sites_list *list);
