/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exception table: instructions of LibOS code that may fault, each with the place where to go
 * on when the fault cannot be repaired. EX_ACCESS: an access to application or host memory, whose
 * page mm may bring. EX_ENCLU: a leaf whose page the host does not give; mm must not be asked, for
 * it is mm that executes it. EX_PROBE: an instruction that the processor may not have; only #UD
 * says that it has not. EX_HOST: a copy between the host and memory of the enclave. Where that is a
 * process's the copy may be mm's own, with its locks held: a page that is there is tried again.
 */
#pragma once

#define EX_ACCESS "0"
#define EX_ENCLU  "1"
#define EX_PROBE  "2"
#define EX_HOST   "3"
/* The same for C. */
#define EX_KIND_ENCLU 1
#define EX_KIND_PROBE 2
#define EX_KIND_HOST  3

#ifndef EX_SECTION /* unit tests choose one whose start and end the linker tells */
#define EX_SECTION ".ex_table"
#endif

#define EX_TABLE_KIND(instruction, fixup, kind)         \
    ".pushsection " EX_SECTION ", \"a\", @progbits\n\t" \
    ".long " instruction " - .\n\t"                     \
    ".long " fixup " - .\n\t"                           \
    ".long " kind "\n\t"                                \
    ".popsection\n\t"
#define EX_TABLE(instruction, fixup) EX_TABLE_KIND(instruction, fixup, EX_ACCESS)
