/*
 * Block encoders: F32, F16, BF16 and the simple quantizers Q8_0, Q4_0, Q4_1, bit-equal to the gguf
 * Python package (which equals llama.cpp's reference quantizers) for finite values.
 *
 * f16 scales are rounded to nearest even, but codes are computed from the unrounded f32 scale, as
 * there. Codes are clamped, so values without meaning (inf, NaN, scales whose reciprocal overflows)
 * give some code instead of undefined behaviour. Pure functions, any thread.
 */
#include "kernels/rows_codec.h"

#include <math.h>
#include <string.h>

static void encode_f32(const float *values, uint8_t *block)
{
    memcpy(block, values, sizeof *values);
}

static void encode_f16(const float *values, uint8_t *block)
{
    kn_store_u16(block, tn_f32_to_f16(*values));
}

static void encode_bf16(const float *values, uint8_t *block)
{
    kn_store_u16(block, tn_f32_to_bf16(*values));
}

/* Integer of an already rounded value, clamped; NaN gives low. */
static int clamp_code(float value, int low, int high)
{
    if (!(value > (float)low))
        return low;
    return value < (float)high ? (int)value : high;
}

static float reciprocal_or_zero(float d)
{
    return d == 0.0f ? 0.0f : 1.0f / d;
}

static void encode_q8_0(const float *values, uint8_t *block)
{
    float amax = 0.0f;
    for (int i = 0; i < 32; i++)
        amax = fmaxf(amax, fabsf(values[i]));
    float d = amax / 127.0f, inverse = reciprocal_or_zero(d);
    kn_store_u16(block, tn_f32_to_f16(d));
    for (int i = 0; i < 32; i++) /* half away from zero, as the reference */
        block[2 + i] = (uint8_t)clamp_code(roundf(values[i] * inverse), -127, 127);
}

static void encode_q4_0(const float *values, uint8_t *block)
{
    float extreme = 0.0f; /* first value of largest magnitude, with its sign: becomes code 0 */
    for (int i = 0; i < 32; i++) {
        if (fabsf(values[i]) > fabsf(extreme))
            extreme = values[i];
    }
    float d = extreme / -8.0f;
    double inverse = (double)reciprocal_or_zero(d);
    kn_store_u16(block, tn_f32_to_f16(d));
    int codes[32];
    for (int i = 0; i < 32; i++) /* one rounding to f32, then truncation: as the reference */
        codes[i] = clamp_code((float)((double)values[i] * inverse + 8.5), 0, 15);
    for (int i = 0; i < 16; i++)
        block[2 + i] = (uint8_t)(codes[i] | codes[16 + i] << 4);
}

static void encode_q4_1(const float *values, uint8_t *block)
{
    float low = values[0], high = values[0];
    for (int i = 1; i < 32; i++) {
        low = fminf(low, values[i]);
        high = fmaxf(high, values[i]);
    }
    float d = (high - low) / 15.0f, inverse = reciprocal_or_zero(d);
    kn_store_u16(block, tn_f32_to_f16(d));
    kn_store_u16(block + 2, tn_f32_to_f16(low));
    int codes[32];
    for (int i = 0; i < 32; i++)
        codes[i] = clamp_code((values[i] - low) * inverse + 0.5f, 0, 15);
    for (int i = 0; i < 16; i++)
        block[4 + i] = (uint8_t)(codes[i] | codes[16 + i] << 4);
}

kn_block_encoder kn_block_encoder_of(enum tn_dtype dtype)
{
    switch (dtype) {
    case TN_F32:
        return encode_f32;
    case TN_F16:
        return encode_f16;
    case TN_BF16:
        return encode_bf16;
    case TN_Q8_0:
        return encode_q8_0;
    case TN_Q4_0:
        return encode_q4_0;
    case TN_Q4_1:
        return encode_q4_1;
    default:
        return NULL;
    }
}
