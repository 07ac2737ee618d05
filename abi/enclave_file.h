/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave file: the thing that is signed, measured and loaded. A header, a table of page
 * ranges, an optional table of ENCLU sites, then page contents. Little-endian, no pointers.
 *
 * What MRENCLAVE covers: the header's size and ssa_frame_size (ECREATE), the place, type and
 * permissions of every range (EADD), and the contents of ranges marked ENCLAVE_FILE_MEASURED
 * (EEXTEND). Ranges are added in the order of the table. Everything else in the header is a wish of
 * the builder that the processor checks another way (attributes: SIGSTRUCT) or that only serves the
 * loader.
 */
#pragma once

#include <stdint.h>

#define ENCLAVE_FILE_MAGIC     "RUNEENC1"
#define ENCLAVE_FILE_VERSION   1u
#define ENCLAVE_FILE_PAGE      4096ull
#define ENCLAVE_FILE_ZERO      UINT64_MAX /* file_offset of a range whose contents are zero */
#define ENCLAVE_FILE_RANGE_MAX 65536u     /* ranges of a file */
#define ENCLAVE_FILE_SITE_MAX  65536u     /* ENCLU sites of a file */
#define ENCLAVE_FILE_INFO      8u

/* enclave_file_header.flags */
#define ENCLAVE_FILE_ANY_BASE \
    (1u << 0) /* position independent: base is ignored, the loader chooses */

/* Memory is added while the enclave runs: a loader on a machine without SGX2 refuses. */
#define ENCLAVE_FILE_NEEDS_SGX2 (1u << 1)

/* enclave_file_range.flags */
#define ENCLAVE_FILE_MEASURED (1u << 0) /* EEXTEND over the contents */

/* enclave_file_range.secinfo_flags: SECINFO.FLAGS as the SDM has them. A TCS has no permission
 * bits. */
#define ENCLAVE_FILE_R   (1ull << 0)
#define ENCLAVE_FILE_W   (1ull << 1)
#define ENCLAVE_FILE_X   (1ull << 2)
#define ENCLAVE_FILE_TCS (1ull << 8)
#define ENCLAVE_FILE_REG (2ull << 8)

struct enclave_file_header {
    char magic[8];
    uint32_t version;
    uint32_t header_size; /* sizeof(struct enclave_file_header) */
    uint64_t base; /* of ELRANGE; a multiple of size; 0 is a valid base (mapped from 64 KiB) */
    uint64_t size; /* of ELRANGE, bytes, a power of two */
    uint64_t attributes; /* wanted ATTRIBUTES.FLAGS; INIT, DEBUG and KSS are the loader's */
    uint64_t xfrm;       /* wanted ATTRIBUTES.XFRM; the loader takes away what the machine lacks */
    uint32_t miscselect;
    uint32_t ssa_frame_size; /* pages */
    uint64_t file_size;      /* of the whole file: a truncated file is refused */
    uint64_t ranges_offset;
    uint32_t range_count;
    uint32_t range_size;   /* sizeof(struct enclave_file_range) */
    uint64_t sites_offset; /* array of uint64_t: offsets in ELRANGE, ascending */
    uint32_t site_count;
    uint32_t flags;
    uint64_t trampoline_offset; /* ELRANGE offset of a page that is never added, within 2 GiB of
                                   every site; 0: none */
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    uint32_t reserved0;
    uint8_t isv_ext_prod_id[16];
    uint8_t isv_family_id[16];
    /* Free for the runtime; not measured, so never trusted inside. */
    uint64_t info[ENCLAVE_FILE_INFO];
    uint8_t reserved[48]; /* zero */
};
_Static_assert(sizeof(struct enclave_file_header) == 256, "header layout");

struct enclave_file_range {
    uint64_t offset;      /* in ELRANGE, bytes, page aligned */
    uint64_t size;        /* bytes, page aligned, not 0 */
    uint64_t file_offset; /* page aligned, or ENCLAVE_FILE_ZERO */
    uint64_t secinfo_flags;
    uint32_t flags;
    uint32_t reserved; /* zero */
};
_Static_assert(sizeof(struct enclave_file_range) == 40, "range layout");

/*
 * An ENCLU site: eight bytes in a measured, executable, never writable range:
 *     0f 01 d7 0f 1f 44 00 00       enclu; nopl 0(%rax,%rax,1)
 * On hardware they stay as they are. After EINIT an emulating driver may replace them in memory by
 * a call to its own page at trampoline_offset. Contract of enclave code at a site: the 256 bytes
 * below RSP hold nothing alive (build with -mno-red-zone), and GS base is what EENTER loaded from
 * TCS.OGSBASE, which differs for every TCS. All registers and flags are afterwards what the leaf
 * leaves in them, except that RIP of a fault in a leaf may be reported at the site.
 */
#define ENCLAVE_FILE_SITE_SIZE 8u
#define ENCLAVE_FILE_SITE_BYTES                        \
    {                                                  \
        0x0f, 0x01, 0xd7, 0x0f, 0x1f, 0x44, 0x00, 0x00 \
    }
#define ENCLU_SITE_ASM ".byte 0x0f, 0x01, 0xd7, 0x0f, 0x1f, 0x44, 0x00, 0x00"
