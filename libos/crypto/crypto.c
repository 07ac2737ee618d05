/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto.h"
#include "log.h"

#include <nettle/cmac.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <nettle/sha2.h>

/* What vector.S saves: XMM0-15, then the FS base. */
struct crypto_frame {
    u8 xmm[16][16];
    u64 fs_base;
};
void crypto_enter(struct crypto_frame *frame);
void crypto_leave(struct crypto_frame *frame);

void sha256_once(const void *prefix, size_t prefix_size, const void *data, size_t size,
                 u8 digest[SHA256_SIZE])
{
    struct sha256_ctx ctx;
    struct crypto_frame frame;
    crypto_enter(&frame);
    nettle_sha256_init(&ctx);
    nettle_sha256_update(&ctx, prefix_size, prefix);
    nettle_sha256_update(&ctx, size, data);
    nettle_sha256_digest(&ctx, SHA256_SIZE, digest);
    memzero_explicit(&ctx, sizeof(ctx)); /* before: it may use vector registers */
    crypto_leave(&frame);
}

void hmac_sha256_once(const void *key, size_t key_size, const void *data, size_t size,
                      u8 mac[SHA256_SIZE])
{
    struct hmac_sha256_ctx ctx;
    struct crypto_frame frame;
    crypto_enter(&frame);
    nettle_hmac_sha256_set_key(&ctx, key_size, key);
    nettle_hmac_sha256_update(&ctx, size, data);
    nettle_hmac_sha256_digest(&ctx, SHA256_SIZE, mac);
    memzero_explicit(&ctx, sizeof(ctx));
    crypto_leave(&frame);
}

void aes_cmac_once(const u8 key[16], const void *data, size_t size, u8 mac[AES_CMAC_SIZE])
{
    struct cmac_aes128_ctx ctx;
    struct crypto_frame frame;
    crypto_enter(&frame);
    nettle_cmac_aes128_set_key(&ctx, key);
    nettle_cmac_aes128_update(&ctx, size, data);
    nettle_cmac_aes128_digest(&ctx, AES_CMAC_SIZE, mac);
    memzero_explicit(&ctx, sizeof(ctx));
    crypto_leave(&frame);
}

bool crypto_equal(const void *a, const void *b, size_t size)
{
    const volatile u8 *x = a, *y = b;
    u8 different = 0;
    while (size--)
        different |= *x++ ^ *y++;
    return different == 0;
}

/* ---- start ---- */

static const char *g_nettle_features = "vendor:intel,aesni,pclmul";

const char *crypto_nettle_features(void);

/* nettle's dispatch asks here before it would execute CPUID, which enclaves cannot. */
const char *crypto_nettle_features(void)
{
    return g_nettle_features;
}

/* FIPS 180-4, RFC 4231 (2), RFC 4493 (2). */
static bool known_answers(void)
{
    static const u8 sha[SHA256_SIZE] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                        0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                        0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
                                        0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    static const u8 hmac[SHA256_SIZE] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e,
                                         0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
                                         0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83,
                                         0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
    static const u8 cmac_key[16] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                                    0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
    static const u8 cmac_text[16] = {0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96,
                                     0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a};
    static const u8 cmac[16] = {0x07, 0x0a, 0x16, 0xb4, 0x6b, 0x4d, 0x41, 0x44,
                                0xf7, 0x9b, 0xdd, 0x9d, 0xd0, 0x4a, 0x28, 0x7c};
    u8 out[SHA256_SIZE];

    sha256_once(NULL, 0, "abc", 3, out);
    if (memcmp(out, sha, sizeof(sha)) != 0)
        return false;
    hmac_sha256_once("Jefe", 4, "what do ya want for nothing?", 28, out);
    if (memcmp(out, hmac, sizeof(hmac)) != 0)
        return false;
    aes_cmac_once(cmac_key, cmac_text, sizeof(cmac_text), out);
    return memcmp(out, cmac, sizeof(cmac)) == 0;
}

void crypto_init(u32 features)
{
    if (features & CRYPTO_HAVE_SHA_NI)
        g_nettle_features = "vendor:intel,aesni,pclmul,sha_ni";
    if (!known_answers())
        panic("cryptography self-test failed: the processor or the enclave image is not sound");
}
