/*
 * Row-wise ops on v16, written once for all x86 classes: rmsnorm, rmsnorm_quantize, quantize,
 * silu, gelu_tanh, softcap, rope_apply and kv_append. add, mul, scale, select_rows and embed have
 * no kernel here: the compiler vectorises the reference, or it is a copy.
 *
 * Unit: one row. Operations and their order: NUMERICS.md. Included by row_ops__<class>.c only.
 * Thread safety: pure functions of the call.
 */
#ifndef HASTEN_KERNELS_X86_ROW_OPS_TMPL_H
#define HASTEN_KERNELS_X86_ROW_OPS_TMPL_H

#include <string.h>

#include "kernels/kernel.h"
#include "kernels/x86/kv_write_tmpl.h"
#include "kernels/x86/rope_tmpl.h"
#include "kernels/x86/vec_math_tmpl.h"

static int64_t row_units(const struct kn_call *call)
{
    return call->rows;
}

static void *row_output(const struct kn_call *call)
{
    return call->operand[call->inputs];
}

/* ---- rmsnorm, quantize ---- */

/* 1 / sqrt(mean of squares + eps) of n features. */
static float row_norm_inverse(const float *x, int64_t n, float eps)
{
    v16 lane[2] = {v16_zero(), v16_zero()};
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        v16 low = v16_load(x + i), high = v16_load(x + i + 16);
        lane[0] = v16_fma(low, low, lane[0]);
        lane[1] = v16_fma(high, high, lane[1]);
    }
    for (int j = 0; i < n; i += 16, j++) { /* zeros add nothing */
        v16 part = v16_load_part(x + i, n - i < 16 ? (int)(n - i) : 16);
        lane[j] = v16_fma(part, part, lane[j]);
    }
    float mean = v16_sum32(lane[0], lane[1]) / (float)n;
    return 1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + eps)));
}

V16_INLINE v16 row_normalize(const float *x, const float *weight, v16 inverse)
{
    return v16_mul(v16_mul(v16_load(x), inverse), v16_load(weight));
}

static void row_norm_group(const float *x, const float *weight, int64_t n, float eps, float *out)
{
    const v16 inverse = v16_set1(row_norm_inverse(x, n, eps));
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(out + i, row_normalize(x + i, weight + i, inverse));
    if (i < n) {
        const int rest = (int)(n - i);
        v16 y = v16_mul(v16_load_part(x + i, rest), inverse);
        v16_store_part(out + i, v16_mul(y, v16_load_part(weight + i, rest)), rest);
    }
}

static bool row_norm_accepts(const void *attributes)
{
    const struct op_norm_attrs *a = attributes;
    return a->features >= 1 && a->group >= 0 && (a->group == 0 || a->features % a->group == 0);
}

/* A8 blocks must not cross groups here: the reference takes what is left. */
static bool row_norm_quantize_accepts(const void *attributes)
{
    const struct op_norm_attrs *a = attributes;
    return row_norm_accepts(a) && a->features % TN_QUANT_BLOCK == 0 &&
           a->group % TN_QUANT_BLOCK == 0;
}

static enum hasten_status row_norm_run(const struct kn_call *call, int64_t first, int64_t last,
                                       void *scratch)
{
    (void)scratch;
    const struct op_norm_attrs *a = call->attrs;
    const int64_t n = a->group ? a->group : a->features;
    const float *x = call->operand[0], *weight = call->operand[1];
    float *out = row_output(call);
    for (int64_t i = first * a->features; i < last * a->features; i += n)
        row_norm_group(x + i, weight, n, a->eps, out + i);
    return HASTEN_OK;
}

static enum hasten_status row_norm_quantize_run(const struct kn_call *call, int64_t first,
                                                int64_t last, void *scratch)
{
    (void)scratch;
    const struct op_norm_attrs *a = call->attrs;
    const int64_t n = a->group ? a->group : a->features;
    const float *weight = call->operand[1];
    const struct tn_a8 a8 = tn_a8_view(row_output(call), call->rows, a->features);
    for (int64_t t = first; t < last; t++) {
        const float *x = (const float *)call->operand[0] + t * a->features;
        int8_t *codes = a8.codes + t * a->features;
        int64_t entry = t;
        for (int64_t i = 0; i < a->features; i += n) {
            const v16 inverse = v16_set1(row_norm_inverse(x + i, n, a->eps));
            for (int64_t k = 0; k < n; k += TN_QUANT_BLOCK, entry += call->rows)
                v16_quantize32(row_normalize(x + i + k, weight + k, inverse),
                               row_normalize(x + i + k + 16, weight + k + 16, inverse),
                               codes + i + k, a8.scales + entry, a8.sums + entry);
        }
    }
    return HASTEN_OK;
}

static bool row_quantize_accepts(const void *attributes)
{
    const struct op_row_attrs *a = attributes;
    return a->features >= 1 && a->features % TN_QUANT_BLOCK == 0;
}

static enum hasten_status row_quantize_run(const struct kn_call *call, int64_t first, int64_t last,
                                           void *scratch)
{
    (void)scratch;
    const struct op_row_attrs *a = call->attrs;
    const struct tn_a8 a8 = tn_a8_view(row_output(call), call->rows, a->features);
    for (int64_t t = first; t < last; t++) {
        const float *x = (const float *)call->operand[0] + t * a->features;
        int8_t *codes = a8.codes + t * a->features;
        int64_t entry = t;
        for (int64_t k = 0; k < a->features; k += TN_QUANT_BLOCK, entry += call->rows)
            v16_quantize32(v16_load(x + k), v16_load(x + k + 16), codes + k, a8.scales + entry,
                           a8.sums + entry);
    }
    return HASTEN_OK;
}

/* ---- elementwise ---- */

enum row_function { ROW_SILU, ROW_GELU_TANH, ROW_SOFTCAP };

V16_INLINE v16 row_apply(const enum row_function function, v16 x, v16 value)
{
    if (function == ROW_SILU)
        return v16_silu(x);
    return function == ROW_GELU_TANH ? v16_gelu_tanh(x) : v16_softcap(x, value);
}

/* out[i] = function(x[i]) for count elements; out may be x. */
V16_INLINE void row_map(const enum row_function function, const float *x, float *out, int64_t count,
                        float parameter)
{
    const v16 value = v16_set1(parameter);
    int64_t i = 0;
    for (; i + 16 <= count; i += 16)
        v16_store(out + i, row_apply(function, v16_load(x + i), value));
    if (i < count) {
        const int rest = (int)(count - i);
        v16_store_part(out + i, row_apply(function, v16_load_part(x + i, rest), value), rest);
    }
}

static bool row_accepts(const void *attributes)
{
    const struct op_row_attrs *a = attributes;
    return a->features >= 1;
}

static bool row_softcap_accepts(const void *attributes)
{
    const struct op_scale_attrs *a = attributes;
    return a->features >= 1 && a->value > 0.0f;
}

static enum hasten_status row_silu_run(const struct kn_call *call, int64_t first, int64_t last,
                                       void *scratch)
{
    (void)scratch;
    const struct op_row_attrs *a = call->attrs;
    const int64_t start = first * a->features, count = (last - first) * a->features;
    row_map(ROW_SILU, (const float *)call->operand[0] + start, (float *)row_output(call) + start,
            count, 0.0f);
    return HASTEN_OK;
}

static enum hasten_status row_gelu_tanh_run(const struct kn_call *call, int64_t first, int64_t last,
                                            void *scratch)
{
    (void)scratch;
    const struct op_row_attrs *a = call->attrs;
    const int64_t start = first * a->features, count = (last - first) * a->features;
    row_map(ROW_GELU_TANH, (const float *)call->operand[0] + start,
            (float *)row_output(call) + start, count, 0.0f);
    return HASTEN_OK;
}

static enum hasten_status row_softcap_run(const struct kn_call *call, int64_t first, int64_t last,
                                          void *scratch)
{
    (void)scratch;
    const struct op_scale_attrs *a = call->attrs;
    const int64_t start = first * a->features, count = (last - first) * a->features;
    row_map(ROW_SOFTCAP, (const float *)call->operand[0] + start, (float *)row_output(call) + start,
            count, a->value);
    return HASTEN_OK;
}

/* ---- rope ---- */

static bool row_rope_accepts(const void *attributes)
{
    const struct op_rope_attrs *a = attributes;
    return a->heads >= 1 && a->head_dim >= 1 && a->dims >= 2 && a->dims % 2 == 0 &&
           a->dims <= a->head_dim && (a->style == OP_ROPE_ADJACENT || a->style == OP_ROPE_HALVES);
}

static enum hasten_status row_rope_run(const struct kn_call *call, int64_t first, int64_t last,
                                       void *scratch)
{
    (void)scratch;
    const struct op_rope_attrs *a = call->attrs;
    const struct rope_heads of = {a->heads, a->head_dim, a->dims};
    const int64_t features = (int64_t)a->heads * a->head_dim;
    const float *x = call->operand[0], *table = call->operand[1];
    float *out = row_output(call);
    for (int64_t t = first; t < last; t++) {
        float *row = out + t * features;
        if (out != x)
            memcpy(row, x + t * features, (size_t)features * sizeof(float));
        rotate_heads(&of, a->style, row, table + t * a->dims);
    }
    return HASTEN_OK;
}

/* ---- kv_append ---- */

static bool row_append_accepts(const void *attributes)
{
    const struct op_kv_attrs *a = attributes;
    return a->kv_heads >= 1 && a->head_dim >= 1 && a->kv_layer >= 0 &&
           tn_kv_dtype_valid(a->kv_dtype);
}

/* Inputs: state, k, v, %batch. */
static enum hasten_status row_append_run(const struct kn_call *call, int64_t first, int64_t last,
                                         void *scratch)
{
    (void)scratch;
    const struct op_kv_attrs *a = call->attrs;
    const struct kn_state *state = call->operand[0];
    const struct kn_batch *b = call->batch;
    const float *k = call->operand[1], *v = call->operand[2];
    for (int64_t t = first; t < last; t++) {
        const int32_t position = kn_kv_index(b, (int32_t)t);
        const int32_t *table =
            b->group[state->group].table + (size_t)b->seq_of_row[t] * (size_t)b->table_stride;
        uint8_t *k_stream = state->pool +
                            (size_t)table[position / TN_PAGE_POSITIONS] * state->page_bytes +
                            (size_t)a->kv_layer * state->layout.layer_bytes;
        for (int h = 0; h < a->kv_heads; h++) {
            const int64_t head = (t * a->kv_heads + h) * a->head_dim;
            struct kv_part part = {.x = k + head,
                                   .head = h,
                                   .count = a->head_dim,
                                   .position = position % TN_PAGE_POSITIONS};
            kv_write_k(&state->layout, k_stream, part);
            part.x = v + head;
            kv_write_v(&state->layout, k_stream + state->layout.k_bytes, part);
        }
    }
    return HASTEN_OK;
}

/* ---- the kernels ---- */

#define ROW_KERNEL(id, op_name, accepts_function, run_function)                                    \
    const struct kn_kernel KN_ISA(kn_##op_name) = {                                                \
        .name = #op_name KN_ISA_SUFFIX,                                                            \
        .op = id,                                                                                  \
        .cpu_class = KN_ISA_CLASS,                                                                 \
        .accepts = accepts_function,                                                               \
        .units = row_units,                                                                        \
        .run = run_function,                                                                       \
    };

ROW_KERNEL(OP_RMSNORM, rmsnorm, row_norm_accepts, row_norm_run)
ROW_KERNEL(OP_RMSNORM_QUANTIZE, rmsnorm_quantize, row_norm_quantize_accepts, row_norm_quantize_run)
ROW_KERNEL(OP_QUANTIZE, quantize, row_quantize_accepts, row_quantize_run)
ROW_KERNEL(OP_SILU, silu, row_accepts, row_silu_run)
ROW_KERNEL(OP_GELU_TANH, gelu_tanh, row_accepts, row_gelu_tanh_run)
ROW_KERNEL(OP_SOFTCAP, softcap, row_softcap_accepts, row_softcap_run)
ROW_KERNEL(OP_ROPE_APPLY, rope_apply, row_rope_accepts, row_rope_run)
ROW_KERNEL(OP_KV_APPEND, kv_append, row_append_accepts, row_append_run)

#endif
