/*
 * linear: the epilogue steps, on a finished f32 tile in L1 (op_attrs.h, enum op_epilogue_kind).
 *
 * All steps work on rows of whole vectors: a tile row has room for a multiple of 32 features, and
 * what stands beyond the segment's last feature is computed along but never written to an output.
 * Formulas: NUMERICS.md. A step is a few operations per output against K multiply-adds, so clarity
 * decides here, except that every loop stays vectorised.
 *
 * Included once per machine class by linear_driver_tmpl.h.
 */
#ifndef HASTEN_KERNELS_X86_LINEAR_EPILOGUE_TMPL_H
#define HASTEN_KERNELS_X86_LINEAR_EPILOGUE_TMPL_H

#include <math.h>

#include "kernels/kernel.h"
#include "kernels/x86/kv_write_tmpl.h"
#include "kernels/x86/vec_math_tmpl.h"

/* A finished tile: tokens [token, token + tokens) x features [row, row + rows) of one segment. */
struct linear_result {
    const struct kn_call *call;
    const struct op_segment *segment;
    float *tile; /* [tokens][ld] */
    int64_t ld;  /* a multiple of 32 */
    int64_t row; /* a multiple of 32 */
    int rows;
    int64_t token;
    int tokens;
};

static void epilogue_add(const struct linear_result *r, const float *operand)
{
    for (int t = 0; t < r->tokens; t++) {
        const float *other = operand + (r->token + t) * r->segment->rows + r->row;
        float *tile = r->tile + t * r->ld;
        int i = 0;
        for (; i + 16 <= r->rows; i += 16)
            v16_store(tile + i, v16_add(v16_load(tile + i), v16_load(other + i)));
        for (; i < r->rows; i++)
            tile[i] += other[i];
    }
}

/* Pairs (2i, 2i+1): y0 = fma(x0, c, -(x1 s)), y1 = fma(x0, s, x1 c); table = c0 s0 c1 s1 ... */
static void rope_adjacent(float *x, const float *table, int dims)
{
    int i = 0;
#ifdef __AVX512F__
    for (; i + 16 <= dims; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i), cs = _mm512_loadu_ps(table + i);
        __m512 rounded = _mm512_mul_ps(_mm512_movehdup_ps(v), _mm512_permute_ps(cs, 0xB1));
        _mm512_storeu_ps(x + i, _mm512_fmaddsub_ps(_mm512_moveldup_ps(v), cs, rounded));
    }
#else
    for (; i + 8 <= dims; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i), cs = _mm256_loadu_ps(table + i);
        __m256 rounded = _mm256_mul_ps(_mm256_movehdup_ps(v), _mm256_permute_ps(cs, 0xB1));
        _mm256_storeu_ps(x + i, _mm256_fmaddsub_ps(_mm256_moveldup_ps(v), cs, rounded));
    }
#endif
    for (; i < dims; i += 2) {
        float x0 = x[i], x1 = x[i + 1], c = table[i], s = table[i + 1];
        x[i] = fmaf(x0, c, -(x1 * s));
        x[i + 1] = fmaf(x0, s, x1 * c);
    }
}

/* 16 cosines and 16 sines out of 32 floats c0 s0 c1 s1 ... */
V16_INLINE void load_cos_sin(const float *table, v16 *c, v16 *s)
{
#ifdef __AVX512F__
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    __m512 a = _mm512_loadu_ps(table), b = _mm512_loadu_ps(table + 16);
    *c = _mm512_permutex2var_ps(a, even, b);
    *s = _mm512_permutex2var_ps(a, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b);
#else
    __m256 part[2][2];
    for (int i = 0; i < 2; i++) {
        __m256 a = _mm256_loadu_ps(table + 16 * i), b = _mm256_loadu_ps(table + 16 * i + 8);
        __m256 low = _mm256_permute2f128_ps(a, b, 0x20), high = _mm256_permute2f128_ps(a, b, 0x31);
        part[0][i] = _mm256_shuffle_ps(low, high, 0x88);
        part[1][i] = _mm256_shuffle_ps(low, high, 0xDD);
    }
    *c = V16_BOTH(part[0][0], part[0][1]);
    *s = V16_BOTH(part[1][0], part[1][1]);
#endif
}

/* Pairs (i, i + dims/2), the same formula. */
static void rope_halves(float *x, const float *table, int dims)
{
    const int half = dims / 2;
    int i = 0;
    for (; i + 16 <= half; i += 16) {
        v16 x0 = v16_load(x + i), x1 = v16_load(x + half + i), c, s;
        load_cos_sin(table + 2 * i, &c, &s);
        v16_store(x + i, v16_fma(x0, c, v16_neg(v16_mul(x1, s))));
        v16_store(x + half + i, v16_fma(x0, s, v16_mul(x1, c)));
    }
    for (; i < half; i++) {
        float x0 = x[i], x1 = x[half + i], c = table[2 * i], s = table[2 * i + 1];
        x[i] = fmaf(x0, c, -(x1 * s));
        x[half + i] = fmaf(x0, s, x1 * c);
    }
}

static void epilogue_rope(const struct linear_result *r, const float *table)
{
    const int dims = r->segment->rope_dims, head_dim = r->segment->rope_head_dim;
    for (int t = 0; t < r->tokens; t++) {
        const float *angles = table + (r->token + t) * dims;
        for (int head = 0; head < r->rows; head += head_dim) {
            if (r->segment->rope_style == OP_ROPE_ADJACENT)
                rope_adjacent(r->tile + t * r->ld + head, angles, dims);
            else
                rope_halves(r->tile + t * r->ld + head, angles, dims);
        }
    }
}

static void epilogue_scale(const struct linear_result *r, float value)
{
    const v16 factor = v16_set1(value);
    for (int t = 0; t < r->tokens; t++) {
        float *tile = r->tile + t * r->ld;
        for (int i = 0; i < r->rows; i += 16)
            v16_store(tile + i, v16_mul(v16_load(tile + i), factor));
    }
}

static void epilogue_softcap(const struct linear_result *r, float value)
{
    const v16 cap = v16_set1(value);
    for (int t = 0; t < r->tokens; t++) {
        float *tile = r->tile + t * r->ld;
        for (int i = 0; i < r->rows; i += 16)
            v16_store(tile + i, v16_softcap(v16_load(tile + i), cap));
    }
}

/* tile = activation(tile) * up, up = the tile of the next segment */
static void epilogue_glu(const struct linear_result *r, const float *up, int kind)
{
    for (int t = 0; t < r->tokens; t++) {
        float *tile = r->tile + t * r->ld;
        for (int i = 0; i < r->rows; i += 16) {
            v16 gate = v16_load(tile + i);
            gate = kind == OP_EPI_GLU_SILU ? v16_silu(gate) : v16_gelu_tanh(gate);
            v16_store(tile + i, v16_mul(gate, v16_load(up + t * r->ld + i)));
        }
    }
}

static void epilogue_store(const struct linear_result *r, float *output)
{
    for (int t = 0; t < r->tokens; t++) {
        float *to = output + (r->token + t) * r->segment->rows + r->row;
        const float *tile = r->tile + t * r->ld;
        int i = 0;
        for (; i + 16 <= r->rows; i += 16)
            v16_store(to + i, v16_load(tile + i));
        for (; i < r->rows; i++)
            to[i] = tile[i];
    }
}

static void epilogue_quantize(const struct linear_result *r, void *output)
{
    const int64_t features = r->segment->rows, all = r->call->rows;
    const struct tn_a8 a8 = tn_a8_view(output, all, features);
    for (int t = 0; t < r->tokens; t++) {
        const int64_t row = r->token + t;
        const float *tile = r->tile + t * r->ld;
        for (int i = 0; i < r->rows; i += TN_QUANT_BLOCK) {
            const int64_t entry = (r->row + i) / TN_QUANT_BLOCK * all + row;
            v16_quantize32(v16_load(tile + i), v16_load(tile + i + 16),
                           a8.codes + row * features + r->row + i, &a8.scales[entry],
                           &a8.sums[entry]);
        }
    }
}

/* Rows go to the page that the table of their sequence names, at their KV index. */
static void epilogue_append(const struct linear_result *r, const struct kn_state *state, bool is_v)
{
    const struct kn_batch *batch = r->call->batch;
    const int head_dim = r->segment->kv_head_dim;
    const size_t stream = (size_t)r->segment->kv_layer * state->layout.layer_bytes +
                          (is_v ? state->layout.k_bytes : 0);
    for (int t = 0; t < r->tokens; t++) {
        const int32_t row = (int32_t)(r->token + t), index = kn_kv_index(batch, row);
        const int32_t *table = batch->group[state->group].table +
                               (int64_t)batch->seq_of_row[row] * batch->table_stride;
        uint8_t *page =
            state->pool + (size_t)table[index / TN_PAGE_POSITIONS] * state->page_bytes + stream;
        for (int i = 0; i < r->rows;) {
            const int64_t feature = r->row + i;
            struct kv_part part = {.x = r->tile + t * r->ld + i,
                                   .head = (int)(feature / head_dim),
                                   .first = (int)(feature % head_dim),
                                   .position = index % TN_PAGE_POSITIONS};
            part.count = head_dim - part.first < r->rows - i ? head_dim - part.first : r->rows - i;
            if (is_v)
                kv_write_v(&state->layout, page, part);
            else
                kv_write_k(&state->layout, page, part);
            i += part.count;
        }
    }
}

/* Runs the steps of r's segment; up is the tile of the next segment (GLU only, else NULL). */
static void run_epilogue(const struct linear_result *r, const float *up)
{
    void *const *in = r->call->operand, *const *out = in + r->call->inputs;
    for (int i = 0; i < OP_EPILOGUE_STEPS; i++) {
        const struct op_epilogue_step *step = &r->segment->steps[i];
        switch (step->kind) {
        case OP_EPI_ADD:
            epilogue_add(r, in[step->operand]);
            break;
        case OP_EPI_ROPE:
            epilogue_rope(r, in[step->operand]);
            break;
        case OP_EPI_SCALE:
            epilogue_scale(r, step->value);
            break;
        case OP_EPI_SOFTCAP:
            epilogue_softcap(r, step->value);
            break;
        case OP_EPI_GLU_SILU:
        case OP_EPI_GLU_GELU:
            epilogue_glu(r, up, step->kind);
            break;
        case OP_EPI_STORE:
            epilogue_store(r, out[step->output]);
            return;
        case OP_EPI_QUANTIZE:
            epilogue_quantize(r, out[step->output]);
            return;
        case OP_EPI_APPEND_K:
        case OP_EPI_APPEND_V:
            epilogue_append(r, in[step->operand], step->kind == OP_EPI_APPEND_V);
            return;
        default:
            return;
        }
    }
}

#endif
