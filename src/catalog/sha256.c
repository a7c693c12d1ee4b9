/* SHA-256 (FIPS 180-4) by libcrypto, which uses the machine's SHA instructions. */
#include <openssl/evp.h>

#include "catalog/catalog_internal.h"

struct ct_sha256 {
    EVP_MD_CTX *context;
};

struct ct_sha256 *ct_sha256_new(void)
{
    struct ct_sha256 *sha = hs_calloc(1, sizeof(*sha));
    if (!sha)
        return NULL;
    sha->context = EVP_MD_CTX_new();
    if (!sha->context || EVP_DigestInit_ex(sha->context, EVP_sha256(), NULL) != 1) {
        ct_sha256_free(sha);
        return NULL;
    }
    return sha;
}

bool ct_sha256_add(struct ct_sha256 *sha, const void *data, size_t size_bytes)
{
    return EVP_DigestUpdate(sha->context, data, size_bytes) == 1;
}

bool ct_sha256_finish(struct ct_sha256 *sha, char hex_out[CT_SHA256_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned size_bytes = 0;
    if (EVP_DigestFinal_ex(sha->context, sum, &size_bytes) != 1 || size_bytes * 2 != CT_SHA256_HEX)
        return false;
    for (unsigned i = 0; i < size_bytes; i++) {
        hex_out[2 * i] = digits[sum[i] >> 4];
        hex_out[2 * i + 1] = digits[sum[i] & 15];
    }
    hex_out[CT_SHA256_HEX] = 0;
    return true;
}

void ct_sha256_free(struct ct_sha256 *sha)
{
    if (!sha)
        return;
    EVP_MD_CTX_free(sha->context);
    hs_free(sha);
}
