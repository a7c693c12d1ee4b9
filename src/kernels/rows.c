/* Row codecs: walks a row block by block. The block formats stand in rows_decode.c and
 * rows_encode.c, panels in pack.c. Pure functions, any thread. */
#include "kernels/rows.h"

#include <math.h>
#include <string.h>

#include "kernels/rows_codec.h"

bool kn_can_decode(enum tn_dtype dtype)
{
    return kn_block_decoder_of(dtype) != NULL;
}

void kn_decode_row(enum tn_dtype dtype, const void *row, int64_t cols, float *out)
{
    const struct tn_dtype_info *info = tn_dtype_info(dtype);
    kn_block_decoder decode = kn_block_decoder_of(dtype);
    const uint8_t *block = row;
    for (int64_t k = 0; k < cols; k += info->block, block += info->block_bytes)
        decode(block, out + k);
}

bool kn_can_encode(enum tn_dtype dtype)
{
    return kn_block_encoder_of(dtype) != NULL;
}

void kn_encode_row(enum tn_dtype dtype, const float *values, int64_t cols, void *row)
{
    const struct tn_dtype_info *info = tn_dtype_info(dtype);
    kn_block_encoder encode = kn_block_encoder_of(dtype);
    uint8_t *block = row;
    for (int64_t k = 0; k < cols; k += info->block, block += info->block_bytes)
        encode(values + k, block);
}

static bool all_finite(const float *x, int count)
{
    for (int i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        if ((bits & 0x7fffffff) >= 0x7f800000)
            return false;
    }
    return true;
}

/* One block of 32: NUMERICS.md, "quantize (A8)". */
static void quantize_block(const float *x, int8_t *codes, float *scale_out, float *sum_out)
{
    if (!all_finite(x, TN_QUANT_BLOCK)) {
        memset(codes, 0, TN_QUANT_BLOCK);
        *scale_out = *sum_out = NAN;
        return;
    }
    float amax = 0.0f;
    for (int i = 0; i < TN_QUANT_BLOCK; i++)
        amax = fmaxf(amax, fabsf(x[i]));
    float scale = amax / 127.0f, inverse = amax >= 0x1p-100f ? 127.0f / amax : 0.0f;
    int sum = 0;
    for (int i = 0; i < TN_QUANT_BLOCK; i++) {
        codes[i] = (int8_t)rintf(x[i] * inverse); /* |x * inverse| <= 127 * (1 + 2^-23) */
        sum += codes[i];
    }
    *scale_out = scale;
    *sum_out = scale * (float)sum;
}

void kn_quantize_row_ref(const float *x, int64_t cols, int8_t *codes, float *scales, float *sums,
                         int64_t stride)
{
    for (int64_t b = 0; b < cols / TN_QUANT_BLOCK; b++)
        quantize_block(x + b * TN_QUANT_BLOCK, codes + b * TN_QUANT_BLOCK, &scales[b * stride],
                       &sums[b * stride]);
}
