/*
 * Random valid rows of every type, for tests, benchmarks and random model files: codes are random
 * bits, scales small finite numbers, so that a matrix of such rows behaves like a trained one in
 * size. (The quantizers of most block types are fits; none is needed to make valid blocks.)
 *
 * The standard deviation of a type with scale 1 follows from uniform codes: e.g. q6_k is an int8
 * scale (73.9 rms) times a code of -32..31 (18.5 rms). Types with a minimum get the minimum that
 * makes the mean zero. Pure functions of (seed, stream), any thread.
 */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/rows.h"
#include "kernels/rows_codec.h"

/* Where the f16 fields of a block are, and what codes amount to when the scale is 1. */
struct random_form {
    enum tn_dtype dtype;
    float rms;     /* of an element at scale 1 */
    int scale_at;  /* f16 scale; -1: none */
    int min_at;    /* f16 minimum; -1: none */
    float minimum; /* minimum / scale */
};

static const struct random_form forms[] = {
    {TN_Q4_0, 4.64f, 0, -1, 0},     {TN_Q4_1, 4.61f, 0, 2, -7.5f}, {TN_Q5_0, 9.25f, 0, -1, 0},
    {TN_Q5_1, 9.23f, 0, 2, -15.5f}, {TN_Q8_0, 73.9f, 0, -1, 0},    {TN_Q2_K, 13.9f, 80, 82, 1.5f},
    {TN_Q3_K, 43.3f, 108, -1, 0},   {TN_Q4_K, 258.0f, 0, 2, 7.5f}, {TN_Q5_K, 527.0f, 0, 2, 15.5f},
    {TN_Q6_K, 1366.0f, 208, -1, 0}, {TN_IQ4_NL, 67.4f, 0, -1, 0},  {TN_IQ4_XS, 1246.0f, 0, -1, 0},
    {TN_MXFP4, 5.85f, -1, -1, 0},
};

static void random_bytes(const struct kn_random *random, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i += 8) {
        uint64_t bits = hs_rng_u64(random->seed, random->stream, i / 8);
        memcpy(out + i, &bits, count - i < 8 ? count - i : 8);
    }
}

/* Turns the random bits of a block's scale fields into scales; u is uniform in [0, 1). */
static void set_scales(const struct random_form *form, float deviation, float u, uint8_t *block)
{
    if (form->dtype == TN_MXFP4) { /* a power of two around deviation / rms */
        int exponent = (int)floorf(log2f(deviation / form->rms)) + 128 + (u < 0.5f);
        block[0] = (uint8_t)(exponent < 0 ? 0 : exponent > 254 ? 254 : exponent);
        return;
    }
    float scale = deviation / form->rms * (0.75f + 0.5f * u);
    bool negative = form->min_at < 0 && (block[form->scale_at] & 1); /* as files have them */
    kn_store_u16(block + form->scale_at, tn_f32_to_f16(negative ? -scale : scale));
    if (form->min_at >= 0)
        kn_store_u16(block + form->min_at, tn_f32_to_f16(scale * form->minimum));
}

static void random_plain(enum tn_dtype dtype, const struct kn_random *random, int64_t cols,
                         uint8_t *row)
{
    const int bytes = tn_dtype_info(dtype)->block_bytes;
    for (int64_t k = 0; k < cols; k++) {
        double u = hs_rng_unit(random->seed, random->stream, (uint64_t)k);
        float value = (float)(u * 2 - 1) * 1.7320508f * random->deviation;
        kn_encode_row(dtype, &value, 1, row + k * bytes);
    }
}

bool kn_random_row(enum tn_dtype dtype, const struct kn_random *random, int64_t cols, void *row)
{
    const struct tn_dtype_info *info = tn_dtype_info(dtype);
    const struct random_form *form = NULL;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        form = forms[i].dtype == dtype ? &forms[i] : form;
    if (cols < 0 || cols % info->block != 0 ||
        (!form && (info->block > 1 || !kn_can_encode(dtype))))
        return false;
    if (!form) {
        random_plain(dtype, random, cols, row);
        return true;
    }
    const int64_t blocks = cols / info->block;
    random_bytes(random, (size_t)(blocks * info->block_bytes), row);
    for (int64_t b = 0; b < blocks; b++) {
        double u = hs_rng_unit(random->seed, ~random->stream, (uint64_t)b);
        set_scales(form, random->deviation, (float)u, (uint8_t *)row + b * info->block_bytes);
    }
    return true;
}
