/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between the runtime and SGX: one table in the shape of Linux's uAPI (<asm/sgx.h>).
 * `kernel` is /dev/sgx_enclave and the vDSO, `emulated` is src/sgx/emulator. Everything above is
 * the same code for both.
 *
 * All functions return 0 or -errno with *err filled; the errno is the one that Linux's driver
 * gives.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <asm/sgx.h>

#include "sgx_arch.h"

struct error;
struct sgx_handle; /* an enclave being built or running; private to the driver */

struct sgx_driver {
    const char *name; /* "intelSgx" or "simulatedSgx", as in the annotation enclave.type */
    bool emulated;    /* protects nothing from the host */
    bool sgx2;        /* EAUG on fault, EMODPR, EMODT, EREMOVE */
    bool kss;         /* ATTRIBUTES.KSS: CONFIGID and its kin */

    /* A new enclave. */
    int (*open)(struct sgx_handle **out, struct error *err);

    /*
     * Reserve ELRANGE: `size` bytes at `base`, or, with any_base, at a naturally aligned address of
     * the driver's choice. base 0 is allowed and means [64 KiB, size). The range belongs to the
     * handle until close.
     */
    int (*reserve)(struct sgx_handle *h, uint64_t base, uint64_t size, bool any_base, uint64_t *out,
                   struct error *err);

    int (*create)(struct sgx_handle *h, const struct sgx_secs *secs, struct error *err);

    /*
     * EADD (and EEXTEND with `measure`) `length` bytes from `src`, which is page aligned. *count is
     * how many bytes were added, also on failure; may be NULL.
     */
    int (*add_pages)(struct sgx_handle *h, const void *src, uint64_t offset, uint64_t length,
                     const struct sgx_secinfo *secinfo, bool measure, uint64_t *count,
                     struct error *err);

    /* The right to use the provisioning key: /dev/sgx_provision. */
    int (*provision)(struct sgx_handle *h, struct error *err);

    int (*init)(struct sgx_handle *h, const struct sgx_sigstruct *sigstruct, struct error *err);

    /*
     * What mmap and mprotect of the device do: the enclave pages in [addr, addr+length) are
     * accessible as `prot` allows (PROT_NONE takes the access away). More than the pages were added
     * with is EACCES.
     */
    int (*map)(struct sgx_handle *h, uint64_t addr, uint64_t length, int prot, struct error *err);

    /* SGX2. *result is the leaf's error code, *count the bytes done, also on failure. */
    int (*restrict_permissions)(struct sgx_handle *h, struct sgx_enclave_restrict_permissions *arg,
                                struct error *err);
    int (*modify_types)(struct sgx_handle *h, struct sgx_enclave_modify_types *arg,
                        struct error *err);
    int (*remove_pages)(struct sgx_handle *h, struct sgx_enclave_remove_pages *arg,
                        struct error *err);

    /*
     * Install a handler for a signal that may hit a thread inside the enclave: sigaction(2), which
     * for the emulated driver must not be called directly, because the enclave's stack and FS base
     * are no place for a handler. The handler sees the context that hardware shows: RIP at the AEP,
     * RAX = ERESUME, RBX = TCS, RCX = AEP, RSP and RBP of the caller of enter. It may set RAX to
     * EENTER (and RDI, RSI, RDX, R8, R9), to enter the enclave at CSSA + 1 in place of resuming it.
     */
    int (*sigaction)(int signo, const struct sigaction *act, struct sigaction *old);

    /*
     * __vdso_sgx_enter_enclave, with all non-volatile registers preserved. From any thread; a
     * thread's first call costs some system calls. #DB is never reported in `run` but by SIGTRAP,
     * as Linux does; the emulated driver reports it in `run` when the process has no handler for
     * SIGTRAP, where Linux would end the process. INT3 of an enclave is #UD.
     */
    vdso_sgx_enter_enclave_t enter;

    /*
     * ENCLU sites of the enclave file (abi/enclave_file.h), offered after init; NULL where the
     * processor needs no help.
     */
    int (*use_sites)(struct sgx_handle *h, const uint64_t *sites, uint32_t count,
                     uint64_t trampoline, struct error *err);

    /* Destroy the enclave and release ELRANGE. No thread may be inside. */
    void (*close)(struct sgx_handle *h);
};

/* NULL with *err filled when the machine has none (the message says what is missing). */
const struct sgx_driver *sgx_driver_kernel(struct error *err);
const struct sgx_driver *sgx_driver_emulated(struct error *err);

/*
 * "intelSgx" or "simulatedSgx". There is no falling back from one to the other: rune decides what
 * "auto" is, by the node's configuration (src/enclave/launch.c). Warns once when the driver is
 * emulated. NULL with *err filled on failure.
 */
const struct sgx_driver *sgx_driver_open(const char *type, struct error *err);

/* XFRM bits that this machine and kernel can give to an enclave: XCR0, cut to what the driver can
 * save. */
uint64_t sgx_host_xfrm(void);

/* Bytes that an SSA frame needs for `xfrm` and `miscselect`: XSAVE area, MISC and GPR regions. */
uint64_t sgx_ssa_size(uint64_t xfrm, uint32_t miscselect);
