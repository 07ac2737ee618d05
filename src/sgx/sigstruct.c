/* SPDX-License-Identifier: Apache-2.0 */
#include "sgx/sigstruct.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "sgx/measure.h"

#define SIGNED1_SIZE offsetof(struct sgx_sigstruct, modulus)
#define SIGNED2_AT   offsetof(struct sgx_sigstruct, miscselect)
#define SIGNED2_SIZE (offsetof(struct sgx_sigstruct, reserved4) - SIGNED2_AT)
_Static_assert(SIGNED1_SIZE + SIGNED2_SIZE == SGX_SIGNING_MATERIAL_SIZE, "signed bytes");

static const uint8_t g_header[16] = {6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
static const uint8_t g_header2[16] = {1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0};

void sgx_sigstruct_fill(const struct sgx_sign_params *params, struct sgx_sigstruct *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->header, g_header, sizeof(g_header));
    memcpy(out->header2, g_header2, sizeof(g_header2));
    out->vendor = params->vendor;
    out->date = params->date ? params->date : 0x20200101;
    out->swdefined = params->swdefined;
    out->miscselect = params->miscselect;
    out->misc_mask = params->misc_mask;
    memcpy(out->isv_family_id, params->isv_family_id, sizeof(out->isv_family_id));
    memcpy(out->isv_ext_prod_id, params->isv_ext_prod_id, sizeof(out->isv_ext_prod_id));
    out->attributes = params->attributes;
    out->attribute_mask = params->attribute_mask;
    memcpy(out->mrenclave, params->mrenclave, sizeof(out->mrenclave));
    out->isv_prod_id = params->isv_prod_id;
    out->isv_svn = params->isv_svn;
}

void sgx_sigstruct_signing_material(const struct sgx_sigstruct *s,
                                    uint8_t out[SGX_SIGNING_MATERIAL_SIZE])
{
    memcpy(out, s, SIGNED1_SIZE);
    memcpy(out + SIGNED1_SIZE, (const uint8_t *)s + SIGNED2_AT, SIGNED2_SIZE);
}

void sgx_sigstruct_mrsigner(const struct sgx_sigstruct *s, uint8_t mrsigner[32])
{
    sgx_sha256(s->modulus, sizeof(s->modulus), mrsigner);
}

/* ---- the signature, as the processor checks it: by Q1 and Q2, without a division ---- */

#define LIMBS (SGX_RSA_SIZE / sizeof(uint64_t))

/* Numbers of 3072 bits and products of two, the least significant limb first */
struct number {
    uint64_t limb[LIMBS];
};
struct product {
    uint64_t limb[2 * LIMBS];
};

static void load(const uint8_t bytes[SGX_RSA_SIZE], struct number *out)
{
    memcpy(out->limb, bytes, sizeof(out->limb));
}

static void multiply(const struct number *a, const struct number *b, struct product *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < LIMBS; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < LIMBS; j++) {
            const unsigned __int128 sum = (unsigned __int128)a->limb[i] * b->limb[j] +
                                          out->limb[i + j] + carry;
            out->limb[i + j] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
        out->limb[i + LIMBS] = carry;
    }
}

static bool is_less(const struct number *a, const struct number *b)
{
    for (size_t i = LIMBS; i-- > 0;)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i];
    return false;
}

/* a -= b; returns what is to be borrowed. */
static uint64_t subtract(struct number *a, const struct number *b)
{
    uint64_t borrow = 0;

    for (size_t i = 0; i < LIMBS; i++) {
        const unsigned __int128 difference = (unsigned __int128)a->limb[i] - b->limb[i] - borrow;
        a->limb[i] = (uint64_t)difference;
        borrow = difference >> 64 ? 1 : 0;
    }
    return borrow;
}

/* *out = a * b mod n, bit by bit: slow, and for no more than a message. */
static void multiply_slowly(const struct number *a, const struct number *b, const struct number *n,
                            struct number *out)
{
    struct product value;

    multiply(a, b, &value);
    memset(out, 0, sizeof(*out));
    for (size_t bit = 2 * LIMBS * 64; bit-- > 0;) {
        uint64_t carry = value.limb[bit / 64] >> bit % 64 & 1;
        for (size_t i = 0; i < LIMBS; i++) {
            const uint64_t top = out->limb[i] >> 63;
            out->limb[i] = out->limb[i] << 1 | carry;
            carry = top;
        }
        if (carry || !is_less(out, n))
            (void)subtract(out, n);
    }
}

/* *out = a * b mod n, where q is the quotient. False when it is not, so when *out is not in 0..n-1:
 * there is one such q only. */
static bool multiply_mod(const struct number *a, const struct number *b, const struct number *q,
                         const struct number *n, struct number *out)
{
    struct product value, multiple;
    uint64_t borrow = 0, rest = 0;

    multiply(a, b, &value);
    multiply(q, n, &multiple);
    for (size_t i = 0; i < 2 * LIMBS; i++) {
        const unsigned __int128 difference = (unsigned __int128)value.limb[i] - multiple.limb[i] -
                                             borrow;
        borrow = difference >> 64 ? 1 : 0;
        if (i < LIMBS)
            out->limb[i] = (uint64_t)difference;
        else
            rest |= (uint64_t)difference;
    }
    return !borrow && !rest && is_less(out, n);
}

/* The PKCS #1 v1.5 encoding of the SHA-256 of the signed bytes, all of it. */
static void expected_number(const struct sgx_sigstruct *s, struct number *out)
{
    static const uint8_t digest_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                          0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                          0x01, 0x05, 0x00, 0x04, 0x20};
    const size_t hash_at = SGX_RSA_SIZE - 32, info_at = hash_at - sizeof(digest_info);
    uint8_t material[SGX_SIGNING_MATERIAL_SIZE], big[SGX_RSA_SIZE], little[SGX_RSA_SIZE];

    memset(big, 0xff, sizeof(big));
    big[0] = 0;
    big[1] = 1;
    big[info_at - 1] = 0;
    memcpy(big + info_at, digest_info, sizeof(digest_info));
    sgx_sigstruct_signing_material(s, material);
    sgx_sha256(material, sizeof(material), big + hash_at);
    for (size_t i = 0; i < sizeof(big); i++)
        little[i] = big[sizeof(big) - 1 - i];
    load(little, out);
}

static int check_signature(const struct sgx_sigstruct *s, struct error *err)
{
    struct number n, signature, q1, q2, square, cube, expected;

    load(s->modulus, &n);
    load(s->signature, &signature);
    load(s->q1, &q1);
    load(s->q2, &q2);
    if (!(n.limb[LIMBS - 1] >> 63) || !(n.limb[0] & 1))
        return error_code(err, EINVAL, "SIGSTRUCT: the modulus is not one of 3072 bits");
    if (!is_less(&signature, &n))
        return error_code(err, EINVAL, "SIGSTRUCT: the signature is not smaller than the modulus");
    const bool fits = multiply_mod(&signature, &signature, &q1, &n, &square) &&
                      multiply_mod(&square, &signature, &q2, &n, &cube);
    if (!fits) {
        multiply_slowly(&signature, &signature, &n, &square);
        multiply_slowly(&square, &signature, &n, &cube);
    }
    expected_number(s, &expected);
    if (memcmp(&cube, &expected, sizeof(cube)) != 0)
        return error_code(err, EPERM, "SIGSTRUCT: the signature does not match its contents");
    if (!fits)
        return error_code(err, EINVAL, "SIGSTRUCT: Q1 or Q2 does not belong to the signature");
    return 0;
}

int sgx_sigstruct_check(const struct sgx_sigstruct *s, struct error *err)
{
    if (memcmp(s->header, g_header, sizeof(g_header)) != 0 ||
        memcmp(s->header2, g_header2, sizeof(g_header2)) != 0)
        return error_code(err, EINVAL, "SIGSTRUCT: not a SIGSTRUCT (header)");
    if (s->exponent != 3)
        return error_code(err, EINVAL, "SIGSTRUCT: the exponent is %u, not 3", s->exponent);
    for (size_t i = 0; i < sizeof(s->reserved4); i++)
        if (s->reserved4[i])
            return error_code(err, EINVAL, "SIGSTRUCT: a reserved byte is not zero");
    return check_signature(s, err);
}

int sgx_sigstruct_read(int fd, struct sgx_sigstruct *out, struct error *err)
{
    struct stat st;
    ssize_t n = pread(fd, out, sizeof(*out), 0);

    if (n < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "read the SIGSTRUCT");
    if (n != sizeof(*out) || (S_ISREG(st.st_mode) && st.st_size != sizeof(*out)))
        return error_code(err, EINVAL, "read the SIGSTRUCT: it is not %zu bytes long",
                          sizeof(*out));
    return 0;
}

int sgx_sigstruct_write(int fd, const struct sgx_sigstruct *s, struct error *err)
{
    int rc = write_all(fd, s, sizeof(*s));

    return rc < 0 ? error_errno(err, -rc, "write the SIGSTRUCT") : 0;
}
