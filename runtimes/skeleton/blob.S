/* SPDX-License-Identifier: Apache-2.0 */
/* The signed enclave travels inside the library: when pal_init runs, the host's files are out of
 * sight. */
    .section .rodata
    .globl skeleton_enclave, skeleton_enclave_end, skeleton_sigstruct
    .hidden skeleton_enclave, skeleton_enclave_end, skeleton_sigstruct
    .balign 4096
skeleton_enclave:
    .incbin "skeleton.enclave"
skeleton_enclave_end:
    .balign 4096
skeleton_sigstruct:
    .incbin "skeleton.sigstruct"
    .section .note.GNU-stack, "", @progbits
