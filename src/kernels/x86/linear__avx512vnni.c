/*
 * linear for AVX-512 with VNNI: tiles of 32 features x up to 6 tokens, 12 int32 and 12 f32
 * accumulators in registers; float types: up to 12 tokens.
 *
 * Coded weights: vpdpbusd multiplies unsigned weight codes with signed activation codes; a dword
 * lane is one feature, the activation dword is broadcast. Q8_0 codes are stored as q + 128, so its
 * sums start at -128 * sum(activation codes), exact in int32. Per block of 32 the integer sum goes
 * into the float chain of NUMERICS.md.
 *
 * Why 32 x 6: the multiply pipes bound the tile (16 vpdpbusd and 6-8 float operations per block,
 * token and panel), weights loads and unpacking are shared by the tokens, and 12 chains hide the
 * latency of vpdpbusd. One token: memory bound, the panel is one forward stream.
 */
#include "kernels/kernel_table.h"

#include "kernels/x86/linear_tile_tmpl.h"

enum code_form {
    FORM_Q8_0,    /* PANEL32 Q8_0 */
    FORM_Q4_1,    /* PANEL32 Q4_1 */
    FORM_UNPACKED /* Q4_1 unpacked: 32 f32 d, 32 f32 m, then 16 vectors of u8 codes as in Q8_0 */
};

#define PREFETCH_BYTES 4096

V16_INLINE __m512i broadcast_codes(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}

V16_INLINE __m512i load_codes(const uint8_t *p)
{
    return _mm512_loadu_si512((const void *)p);
}

/* Rows t of x: three per base pointer, so that they are addressing modes and not 6 pointers. */
struct code_rows {
    const int8_t *base[2];
    int64_t ld;
};

V16_INLINE const int8_t *code_row(const struct code_rows *x, int t)
{
    return x->base[t / 3] + t % 3 * x->ld;
}

/* sum += 32 codes of 8-bit weights: 16 vectors (k dword j, half h). */
V16_INLINE void dot_bytes(const uint8_t *w, const struct code_rows *x, int tokens,
                          __m512i sum[6][2])
{
    KN_UNROLL
    for (int j = 0; j < 8; j++) {
        __m512i w0 = load_codes(w + 128 * j), w1 = load_codes(w + 128 * j + 64);
        KN_UNROLL
        for (int t = 0; t < tokens; t++) {
            __m512i a = broadcast_codes(code_row(x, t) + 4 * j);
            sum[t][0] = _mm512_dpbusd_epi32(sum[t][0], w0, a);
            sum[t][1] = _mm512_dpbusd_epi32(sum[t][1], w1, a);
        }
    }
}

/* The same from nibbles: vector j holds k dword j in its low, 4 + j in its high nibbles. */
V16_INLINE void dot_nibbles(const uint8_t *w, const struct code_rows *x, int tokens,
                            __m512i sum[6][2])
{
    const __m512i low = _mm512_set1_epi8(0x0f);
    KN_UNROLL
    for (int j = 0; j < 4; j++) {
        __m512i v0 = load_codes(w + 128 * j), v1 = load_codes(w + 128 * j + 64);
        __m512i lo0 = _mm512_and_si512(v0, low), lo1 = _mm512_and_si512(v1, low);
        __m512i hi0 = _mm512_and_si512(_mm512_srli_epi16(v0, 4), low);
        __m512i hi1 = _mm512_and_si512(_mm512_srli_epi16(v1, 4), low);
        KN_UNROLL
        for (int t = 0; t < tokens; t++) {
            __m512i a = broadcast_codes(code_row(x, t) + 4 * j);
            __m512i b = broadcast_codes(code_row(x, t) + 4 * j + 16);
            sum[t][0] = _mm512_dpbusd_epi32(sum[t][0], lo0, a);
            sum[t][1] = _mm512_dpbusd_epi32(sum[t][1], lo1, a);
            sum[t][0] = _mm512_dpbusd_epi32(sum[t][0], hi0, b);
            sum[t][1] = _mm512_dpbusd_epi32(sum[t][1], hi1, b);
        }
    }
}

/* One of the nibbles of all 8 vectors, where it stands; its activations start at x + first_k. */
V16_INLINE void dot_masked(const uint8_t *w, const struct code_rows *x, __m512i mask, int first_k,
                           int tokens, __m512i sum[6][2])
{
    KN_UNROLL
    for (int j = 0; j < 4; j++) {
        __m512i w0 = _mm512_and_si512(load_codes(w + 128 * j), mask);
        __m512i w1 = _mm512_and_si512(load_codes(w + 128 * j + 64), mask);
        KN_UNROLL
        for (int t = 0; t < tokens; t++) {
            __m512i a = broadcast_codes(code_row(x, t) + 4 * j + first_k);
            sum[t][0] = _mm512_dpbusd_epi32(sum[t][0], w0, a);
            sum[t][1] = _mm512_dpbusd_epi32(sum[t][1], w1, a);
        }
    }
}

/* For few tokens: high nibbles stay where they are (x 16) and the sum is shifted once, which saves
 * a shift per vector. Only from sum = 0. */
V16_INLINE void dot_nibbles_few(const uint8_t *w, const struct code_rows *x, int tokens,
                                __m512i sum[6][2])
{
    const __m512i low = _mm512_set1_epi8(0x0f), high = _mm512_set1_epi8((char)0xf0);
    dot_masked(w, x, high, 16, tokens, sum);
    KN_UNROLL
    for (int t = 0; t < tokens; t++) {
        sum[t][0] = _mm512_srai_epi32(sum[t][0], 4);
        sum[t][1] = _mm512_srai_epi32(sum[t][1], 4);
    }
    dot_masked(w, x, low, 0, tokens, sum);
}

V16_INLINE int form_bytes(enum code_form form)
{
    return form == FORM_Q8_0 ? 1088 : form == FORM_Q4_1 ? 640 : 1280;
}

/* 16 scales (f16, or f32 when unpacked) at place i (0: d lanes 0..15, 1: d 16..31, 2, 3: m). */
V16_INLINE __m512 load_scales(enum code_form form, const uint8_t *block, int i)
{
    if (form == FORM_UNPACKED)
        return _mm512_loadu_ps((const float *)(const void *)block + 16 * i);
    return v16_load_f16((const uint16_t *)(const void *)block + 16 * i);
}

/* Integer sums of one block: exact, so any order of the products will do. */
V16_INLINE void dot_block(enum code_form form, const uint8_t *w, const struct code_rows *x,
                          int tokens, __m512i sum[6][2])
{
    if (form == FORM_Q8_0)
        dot_bytes(w + 64, x, tokens, sum);
    else if (form == FORM_UNPACKED)
        dot_bytes(w + 256, x, tokens, sum);
    else if (tokens <= 3)
        dot_nibbles_few(w + 128, x, tokens, sum);
    else
        dot_nibbles(w + 128, x, tokens, sum);
}

/* acc = fma(isum, d_w * d_a, acc), then with minimums acc = fma(m_w, sum_a, acc). */
V16_INLINE void add_block(enum code_form form, const uint8_t *w, const float *scales,
                          const float *sums, int tokens, __m512i sum[6][2], __m512 acc[6][2])
{
    KN_UNROLL
    for (int h = 0; h < 2; h++) {
        const __m512 d = load_scales(form, w, h);
        KN_UNROLL
        for (int t = 0; t < tokens; t++) {
            __m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(scales[t]));
            acc[t][h] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t][h]), scale, acc[t][h]);
        }
    }
    if (form == FORM_Q8_0)
        return;
    KN_UNROLL
    for (int h = 0; h < 2; h++) {
        const __m512 m = load_scales(form, w, 2 + h);
        KN_UNROLL
        for (int t = 0; t < tokens; t++)
            acc[t][h] = _mm512_fmadd_ps(m, _mm512_set1_ps(sums[t]), acc[t][h]);
    }
}

V16_INLINE void prefetch_block(const uint8_t *w, int bytes)
{
    KN_UNROLL
    for (int i = 0; i < bytes / 64; i++)
        _mm_prefetch((const char *)w + PREFETCH_BYTES + 64 * i, _MM_HINT_T0);
}

V16_INLINE void code_tile(const struct linear_tile *tile, enum code_form form, int tokens,
                          bool prefetch)
{
    const int bytes = form_bytes(form);
    const uint8_t *w = tile->w;
    const float *scales = tile->scales, *sums = tile->sums;
    const int32_t *offset = tile->offset;
    struct code_rows x = {{tile->codes, tile->codes + 3 * tile->ld_x}, tile->ld_x};
    __m512 acc[6][2];
    KN_UNROLL
    for (int t = 0; t < tokens; t++)
        acc[t][0] = acc[t][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < tile->cols; k += TN_QUANT_BLOCK) {
        __m512i sum[6][2];
        if (prefetch)
            prefetch_block(w, bytes);
        KN_UNROLL
        for (int t = 0; t < tokens; t++)
            sum[t][0] = sum[t][1] =
                form == FORM_Q8_0 ? _mm512_set1_epi32(offset[t]) : _mm512_setzero_si512();
        dot_block(form, w, &x, tokens, sum);
        add_block(form, w, scales, sums, tokens, sum, acc);
        w += bytes;
        x.base[0] += TN_QUANT_BLOCK;
        x.base[1] += TN_QUANT_BLOCK;
        scales += tile->ld_scales;
        sums += tile->ld_scales;
        offset += tile->ld_scales;
    }
    KN_UNROLL
    for (int t = 0; t < tokens; t++) {
        _mm512_storeu_ps(tile->out + t * tile->ld_out, acc[t][0]);
        _mm512_storeu_ps(tile->out + t * tile->ld_out + 16, acc[t][1]);
    }
}

/* clang-format off */
#define CODE_TILE(name, form, tokens, prefetch)                                                    \
    static void name##_##tokens(const struct linear_tile *tile)                                    \
    {                                                                                              \
        code_tile(tile, form, tokens, prefetch);                                                   \
    }
#define CODE_TILES(name, form, prefetch)                                                           \
    CODE_TILE(name, form, 1, prefetch) CODE_TILE(name, form, 2, prefetch)                          \
    CODE_TILE(name, form, 3, prefetch) CODE_TILE(name, form, 4, prefetch)                          \
    CODE_TILE(name, form, 5, prefetch) CODE_TILE(name, form, 6, prefetch)                          \
    static const linear_tile_fn name[6] = {name##_1, name##_2, name##_3, name##_4, name##_5,       \
                                           name##_6};
CODE_TILES(tile_q8_0, FORM_Q8_0, false)
CODE_TILES(tile_q8_0_first, FORM_Q8_0, true)
CODE_TILES(tile_q4_1, FORM_Q4_1, false)
CODE_TILES(tile_q4_1_first, FORM_Q4_1, true)
CODE_TILES(tile_unpacked, FORM_UNPACKED, false)

#define FLOAT_TILE(name, dtype, tokens)                                                            \
    static void name##_##tokens(const struct linear_tile *tile)                                    \
    {                                                                                              \
        float_tile(tile, dtype, 0, 2, tokens);                                                     \
    }
#define FLOAT_TILES(name, dtype)                                                                   \
    FLOAT_TILE(name, dtype, 1) FLOAT_TILE(name, dtype, 2) FLOAT_TILE(name, dtype, 3)               \
    FLOAT_TILE(name, dtype, 4) FLOAT_TILE(name, dtype, 5) FLOAT_TILE(name, dtype, 6)               \
    FLOAT_TILE(name, dtype, 7) FLOAT_TILE(name, dtype, 8) FLOAT_TILE(name, dtype, 9)               \
    FLOAT_TILE(name, dtype, 10) FLOAT_TILE(name, dtype, 11) FLOAT_TILE(name, dtype, 12)            \
    static const linear_tile_fn name[12] = {                                                       \
        name##_1, name##_2, name##_3, name##_4,  name##_5,  name##_6,                              \
        name##_7, name##_8, name##_9, name##_10, name##_11, name##_12};
FLOAT_TILES(tile_f32, TN_F32)
FLOAT_TILES(tile_f16, TN_F16)
FLOAT_TILES(tile_bf16, TN_BF16)
/* clang-format on */

static int tile_tokens_max(enum tn_dtype dtype)
{
    return dtype == TN_Q8_0 || dtype == TN_Q4_1 ? 6 : 12;
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

/* Nibbles cost 3 operations per vector and group of tokens on the ports that also multiply (where
 * 512-bit operations have two ports in all); from some groups on it is cheaper to unpack once. */
static bool unpack_pays(enum tn_dtype dtype, int64_t tokens)
{
    return dtype == TN_Q4_1 && tokens >= 24;
}

static size_t unpack_bytes(int64_t cols)
{
    return (size_t)(cols / TN_QUANT_BLOCK) * 1280;
}

static void unpack_panel(const uint8_t *w, int64_t cols, uint8_t *to)
{
    const __m512i low = _mm512_set1_epi8(0x0f);
    for (int64_t k = 0; k < cols; k += TN_QUANT_BLOCK, w += 640, to += 1280) {
        prefetch_block(w, 640);
        for (int i = 0; i < 4; i++)
            _mm512_storeu_ps((float *)(void *)to + 16 * i, load_scales(FORM_Q4_1, w, i));
        for (int i = 0; i < 8; i++) {
            __m512i v = load_codes(w + 128 + 64 * i);
            _mm512_storeu_si512((void *)(to + 256 + 64 * i), _mm512_and_si512(v, low));
            v = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
            _mm512_storeu_si512((void *)(to + 256 + 512 + 64 * i), v);
        }
    }
}

static linear_tile_fn unpacked_function(int tokens)
{
    return tile_unpacked[tokens - 1];
}

/* Lanes 0..3 of each 128-bit part: the part's sums of a, b, c, d. */
V16_INLINE __m512i add_parts(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* -128 * sum of two blocks (64 bytes; with `one` only the first) of 8 rows: 8 rows' first block,
 * then 8 rows' second block. */
V16_INLINE __m512i sum_blocks(const int8_t *const row[8], int64_t k, bool one)
{
    const __m512i order = _mm512_setr_epi32(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15);
    const __mmask16 mask = one ? 0x00ff : 0xffff;
    __m512i part[8];
    KN_UNROLL
    for (int i = 0; i < 8; i++)
        part[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1),
                                      _mm512_maskz_loadu_epi32(mask, row[i] + k));
    __m512i p = add_parts(part[0], part[1], part[2], part[3]);
    __m512i q = add_parts(part[4], part[5], part[6], part[7]);
    __m512i sum =
        _mm512_add_epi32(_mm512_shuffle_i32x4(p, q, 0x88), _mm512_shuffle_i32x4(p, q, 0xDD));
    sum = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sum, 7));
    return _mm512_permutexvar_epi32(order, sum);
}

/* out [K/32][tokens]: what Q8_0 sums start at. 8 tokens x 2 blocks at a time; rows beyond the last
 * token are read as the last and not stored. */
static void code_offsets(const int8_t *codes, int64_t cols, int tokens, int32_t *out)
{
    for (int t = 0; t < tokens; t += 8) {
        const int count = tokens - t < 8 ? tokens - t : 8;
        const __mmask8 stored = (__mmask8)((1u << count) - 1u);
        const int8_t *row[8];
        for (int i = 0; i < 8; i++)
            row[i] = codes + (t + (i < count ? i : count - 1)) * cols;
        for (int64_t k = 0; k < cols; k += 2 * TN_QUANT_BLOCK) {
            const bool one = k + TN_QUANT_BLOCK == cols;
            int32_t *to = out + k / TN_QUANT_BLOCK * tokens + t;
            __m512i sum = sum_blocks(row, k, one);
            _mm256_mask_storeu_epi32(to, stored, _mm512_castsi512_si256(sum));
            if (!one)
                _mm256_mask_storeu_epi32(to + tokens, stored, _mm512_extracti32x8_epi32(sum, 1));
        }
    }
}

#include "kernels/x86/linear_driver_tmpl.h"

const struct kn_kernel kn_linear__avx512vnni = {.name = "linear__avx512vnni",
                                                .op = OP_LINEAR,
                                                .cpu_class = HS_CPU_CLASS_AVX512VNNI,
                                                .accepts = linear_accepts,
                                                .units = linear_units,
                                                .run = linear_run,
                                                .scratch_bytes = linear_scratch_bytes};
