/*
 * linear for AVX2 (no VNNI): coded weights up to 4 tokens, float types up to 6 tokens per tile.
 *
 * Coded weights: vpmaddubsw multiplies unsigned with signed bytes and adds pairs in int16, a dword
 * lane is one feature. It saturates at 32767, so:
 *   Q4_1  nibbles are unsigned; a pair is at most 2 * 15 * 127 = 3810, all 8 pairs of a block fit
 *         into int16 (30480), and are widened once per block;
 *   Q8_0  |w| times a with the sign of w: at most 2 * 128 * 127 = 32512; widened at once. Exact for
 *         w = -128 too (|w| = 128 unsigned). Activation codes are -127..127 by definition.
 * 16 registers: one token takes the whole panel (4 registers of 8 features, one forward stream);
 * more tokens take the two 16-feature halves one after the other, the second from L1.
 */
#include "kernels/kernel_table.h"

#include "kernels/x86/linear_tile_tmpl.h"

enum code_form { FORM_Q8_0, FORM_Q4_1 };

#define PREFETCH_BYTES 4096
#define TOKENS_MAX     4

V16_INLINE __m256i broadcast_codes(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}

V16_INLINE __m256i load_codes(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* Keeps a running sum a running sum: gcc regroups integer additions into a tree over the whole
 * block, whose products then live on the stack. */
#define KEEP_ORDER(sum) __asm__("" : "+x"(sum))

/* A part of a tile: `quarters` registers of 8 features from first_quarter on. */
struct code_part {
    int first_quarter, quarters, tokens; /* constants */
    const int8_t *codes;                 /* [tokens][ld], of this block */
    int64_t ld;
};

V16_INLINE void dot_q8_0(const uint8_t *w, const struct code_part *part, __m256i sum[TOKENS_MAX][4])
{
    const __m256i flip = _mm256_set1_epi8((char)0x80), ones = _mm256_set1_epi16(1);
    w += 32 * part->first_quarter;
    KN_UNROLL
    for (int j = 0; j < 8; j++) {
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++) {
            __m256i weight = _mm256_xor_si256(load_codes(w + 128 * j + 32 * q), flip);
            __m256i size = _mm256_abs_epi8(weight);
            KN_UNROLL
            for (int t = 0; t < part->tokens; t++) {
                __m256i a = broadcast_codes(part->codes + t * part->ld + 4 * j);
                __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(a, weight));
                sum[t][q] = _mm256_add_epi32(sum[t][q], _mm256_madd_epi16(pairs, ones));
                KEEP_ORDER(sum[t][q]);
            }
        }
    }
}

/* sum is used as int16 pairs until the end of the block. */
V16_INLINE void dot_q4_1(const uint8_t *w, const struct code_part *part, __m256i sum[TOKENS_MAX][4])
{
    const __m256i low = _mm256_set1_epi8(0x0f), ones = _mm256_set1_epi16(1);
    w += 32 * part->first_quarter;
    KN_UNROLL
    for (int j = 0; j < 4; j++) {
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++) {
            __m256i both = load_codes(w + 128 * j + 32 * q);
            __m256i first = _mm256_and_si256(both, low);
            __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
            KN_UNROLL
            for (int t = 0; t < part->tokens; t++) {
                const int8_t *a = part->codes + t * part->ld + 4 * j;
                __m256i pairs = _mm256_maddubs_epi16(first, broadcast_codes(a));
                sum[t][q] = _mm256_add_epi16(sum[t][q], pairs);
                KEEP_ORDER(sum[t][q]);
                pairs = _mm256_maddubs_epi16(second, broadcast_codes(a + 16));
                sum[t][q] = _mm256_add_epi16(sum[t][q], pairs);
                KEEP_ORDER(sum[t][q]);
            }
        }
    }
    KN_UNROLL
    for (int t = 0; t < part->tokens; t++) {
        KN_UNROLL
        for (int q = 0; q < part->quarters; q++)
            sum[t][q] = _mm256_madd_epi16(sum[t][q], ones);
    }
}

V16_INLINE __m256 load_scales(const uint8_t *block, int quarter)
{
    const __m128i *p = (const __m128i *)(const void *)block + quarter;
    return _mm256_cvtph_ps(_mm_loadu_si128(p));
}

/* acc = fma(isum, d_w * d_a, acc), then with minimums acc = fma(m_w, sum_a, acc). */
V16_INLINE void add_block(enum code_form form, const uint8_t *w, const float *scales,
                          const float *sums, const struct code_part *part,
                          __m256i sum[TOKENS_MAX][4], __m256 acc[TOKENS_MAX][4])
{
    KN_UNROLL
    for (int q = 0; q < part->quarters; q++) {
        const __m256 d = load_scales(w, part->first_quarter + q);
        KN_UNROLL
        for (int t = 0; t < part->tokens; t++) {
            __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(scales[t]));
            acc[t][q] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[t][q]), scale, acc[t][q]);
        }
    }
    if (form == FORM_Q8_0)
        return;
    KN_UNROLL
    for (int q = 0; q < part->quarters; q++) {
        const __m256 m = load_scales(w + 64, part->first_quarter + q);
        KN_UNROLL
        for (int t = 0; t < part->tokens; t++)
            acc[t][q] = _mm256_fmadd_ps(m, _mm256_set1_ps(sums[t]), acc[t][q]);
    }
}

V16_INLINE void prefetch_block(const uint8_t *w, int bytes)
{
    KN_UNROLL
    for (int i = 0; i < bytes / 64; i++)
        _mm_prefetch((const char *)w + PREFETCH_BYTES + 64 * i, _MM_HINT_T0);
}

V16_INLINE void code_half_tile(const struct linear_tile *tile, enum code_form form,
                               struct code_part part, bool prefetch)
{
    const int bytes = form == FORM_Q8_0 ? 1088 : 640;
    const uint8_t *w = tile->w;
    const float *scales = tile->scales, *sums = tile->sums;
    __m256 acc[TOKENS_MAX][4];
    KN_UNROLL
    for (int t = 0; t < part.tokens; t++) {
        KN_UNROLL
        for (int q = 0; q < part.quarters; q++)
            acc[t][q] = _mm256_setzero_ps();
    }
    for (int64_t k = 0; k < tile->cols; k += TN_QUANT_BLOCK) {
        __m256i sum[TOKENS_MAX][4];
        if (prefetch)
            prefetch_block(w, bytes);
        KN_UNROLL
        for (int t = 0; t < part.tokens; t++) {
            KN_UNROLL
            for (int q = 0; q < part.quarters; q++)
                sum[t][q] = _mm256_setzero_si256();
        }
        if (form == FORM_Q8_0)
            dot_q8_0(w + 64, &part, sum);
        else
            dot_q4_1(w + 128, &part, sum);
        add_block(form, w, scales, sums, &part, sum, acc);
        w += bytes;
        part.codes += TN_QUANT_BLOCK;
        scales += tile->ld_scales;
        sums += tile->ld_scales;
    }
    KN_UNROLL
    for (int t = 0; t < part.tokens; t++) {
        KN_UNROLL
        for (int q = 0; q < part.quarters; q++)
            _mm256_storeu_ps(tile->out + t * tile->ld_out + 8 * (part.first_quarter + q),
                             acc[t][q]);
    }
}

V16_INLINE void code_tile(const struct linear_tile *tile, enum code_form form, int tokens,
                          bool prefetch)
{
    struct code_part part = {0, tokens == 1 ? 4 : 2, tokens, tile->codes, tile->ld_x};
    code_half_tile(tile, form, part, prefetch);
    if (tokens == 1)
        return;
    part.first_quarter = 2;
    code_half_tile(tile, form, part, false);
}

/* Up to 2 tokens the whole panel at once, else half by half: 12 accumulators of 16 registers. */
V16_INLINE void float_panel(const struct linear_tile *tile, enum tn_dtype dtype, int tokens)
{
    float_tile(tile, dtype, 0, tokens <= 2 ? 2 : 1, tokens);
    if (tokens > 2)
        float_tile(tile, dtype, 1, 1, tokens);
}

/* clang-format off */
#define TILE(name, body, tokens, ...)                                                              \
    static void name##_##tokens(const struct linear_tile *tile)                                    \
    {                                                                                              \
        body(tile, __VA_ARGS__);                                                                   \
    }
#define CODE_TILES(name, form, prefetch)                                                           \
    TILE(name, code_tile, 1, form, 1, prefetch) TILE(name, code_tile, 2, form, 2, prefetch)        \
    TILE(name, code_tile, 3, form, 3, prefetch) TILE(name, code_tile, 4, form, 4, prefetch)        \
    static const linear_tile_fn name[4] = {name##_1, name##_2, name##_3, name##_4};
CODE_TILES(tile_q8_0, FORM_Q8_0, false)
CODE_TILES(tile_q8_0_first, FORM_Q8_0, true)
CODE_TILES(tile_q4_1, FORM_Q4_1, false)
CODE_TILES(tile_q4_1_first, FORM_Q4_1, true)

#define FLOAT_TILES(name, dtype)                                                                   \
    TILE(name, float_panel, 1, dtype, 1) TILE(name, float_panel, 2, dtype, 2)                      \
    TILE(name, float_panel, 3, dtype, 3) TILE(name, float_panel, 4, dtype, 4)                      \
    TILE(name, float_panel, 5, dtype, 5) TILE(name, float_panel, 6, dtype, 6)                      \
    static const linear_tile_fn name[6] = {name##_1, name##_2, name##_3,                           \
                                           name##_4, name##_5, name##_6};
FLOAT_TILES(tile_f32, TN_F32)
FLOAT_TILES(tile_f16, TN_F16)
FLOAT_TILES(tile_bf16, TN_BF16)
/* clang-format on */

static int tile_tokens_max(enum tn_dtype dtype)
{
    return dtype == TN_Q8_0 || dtype == TN_Q4_1 ? TOKENS_MAX : 6;
}

static linear_tile_fn tile_function(enum tn_dtype dtype, int tokens, bool first)
{
    switch (dtype) {
    case TN_Q8_0:
        return first ? tile_q8_0_first[tokens - 1] : tile_q8_0[tokens - 1];
    case TN_Q4_1:
        return first ? tile_q4_1_first[tokens - 1] : tile_q4_1[tokens - 1];
    case TN_F16:
        return tile_f16[tokens - 1];
    case TN_BF16:
        return tile_bf16[tokens - 1];
    default:
        return tile_f32[tokens - 1];
    }
}

/* Nothing is unpacked and no offsets are needed on this class. */
static bool unpack_pays(enum tn_dtype dtype, int64_t tokens)
{
    (void)dtype, (void)tokens;
    return false;
}

static size_t unpack_bytes(int64_t cols)
{
    (void)cols;
    return 0;
}

static void unpack_panel(const uint8_t *w, int64_t cols, uint8_t *to)
{
    (void)w, (void)cols, (void)to;
}

static linear_tile_fn unpacked_function(int tokens)
{
    (void)tokens;
    return NULL;
}

static void code_offsets(const int8_t *codes, int64_t cols, int tokens, int32_t *out)
{
    (void)codes, (void)cols, (void)tokens, (void)out;
}

#include "kernels/x86/linear_driver_tmpl.h"

const struct kn_kernel kn_linear__avx2 = {.name = "linear__avx2",
                                          .op = OP_LINEAR,
                                          .cpu_class = HS_CPU_CLASS_AVX2,
                                          .accepts = linear_accepts,
                                          .units = linear_units,
                                          .run = linear_run,
                                          .scratch_bytes = linear_scratch_bytes};
