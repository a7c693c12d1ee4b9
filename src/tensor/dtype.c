/*
 * The dtype table and half-precision conversions.
 *
 * The conversions are plain integer code, equal to the F16C instructions in every bit (a signalling
 * NaN becomes quiet and keeps its upper payload bits), so that kernels may use either.
 */
#include "tensor/dtype.h"

#include <string.h>

#include "base/memory.h"

#define TN_DTYPE_INFO(id, name, gguf, block, bytes) [id] = {name, gguf, block, bytes},
static const struct tn_dtype_info dtype_infos[TN_DTYPE_COUNT] = {TN_DTYPE_TABLE(TN_DTYPE_INFO)};
#undef TN_DTYPE_INFO

const struct tn_dtype_info *tn_dtype_info(enum tn_dtype dtype)
{
    return &dtype_infos[dtype];
}

bool tn_dtype_from_gguf(uint32_t gguf_id, enum tn_dtype *dtype_out)
{
    for (int i = 0; i < TN_DTYPE_COUNT; i++) {
        if (dtype_infos[i].gguf_id >= 0 && (uint32_t)dtype_infos[i].gguf_id == gguf_id) {
            *dtype_out = (enum tn_dtype)i;
            return true;
        }
    }
    return false;
}

bool tn_dtype_from_name(struct hs_str name, enum tn_dtype *dtype_out)
{
    for (int i = 0; i < TN_DTYPE_COUNT; i++) {
        if (hs_str_is(name, dtype_infos[i].name)) {
            *dtype_out = (enum tn_dtype)i;
            return true;
        }
    }
    return false;
}

bool tn_dtype_is_quantized(enum tn_dtype dtype)
{
    return dtype < TN_DTYPE_COUNT && dtype_infos[dtype].block > 1 && dtype != TN_A8;
}

bool tn_row_bytes(enum tn_dtype dtype, int64_t cols, size_t *bytes_out)
{
    const struct tn_dtype_info *info = &dtype_infos[dtype];
    if (cols < 0 || cols % info->block != 0)
        return false;
    return hs_size_mul((size_t)(cols / info->block), (size_t)info->block_bytes, bytes_out);
}

static uint32_t bits_of_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float f32_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float tn_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 31, fraction = half & 0x3ff;
    if (exponent == 31)
        return f32_of_bits(sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0));
    if (exponent != 0)
        return f32_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float magnitude = (float)fraction * 0x1p-24f; /* subnormal: exact in f32 */
    return f32_of_bits(sign | bits_of_f32(magnitude));
}

uint16_t tn_f32_to_f16(float value)
{
    uint32_t bits = bits_of_f32(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) /* NaN */
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) /* >= 65520 rounds to infinity */
        return sign | 0x7c00;
    if (magnitude < 0x38800000) { /* below 2^-14: a multiple of 2^-24 */
        /* Adding 0.5 leaves the value as a multiple of 2^-24, rounded to nearest even. */
        float shifted = f32_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (bits_of_f32(shifted) - 0x3f000000));
    }
    uint32_t odd = magnitude >> 13 & 1;
    uint32_t rounded = magnitude + 0xfff + odd; /* may carry into the exponent, as it should */
    return (uint16_t)(sign | ((rounded - (112u << 23)) >> 13));
}

uint16_t tn_f32_to_bf16(float value)
{
    uint32_t bits = bits_of_f32(value);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
