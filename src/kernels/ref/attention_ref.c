/*
 * kv_append, attention and attention_quantize (NUMERICS.md, "attention").
 *
 * Units: attention one (row, head), the others one row. The softmax over positions is cut into
 * leaves of 256 absolute positions that are merged in a fixed tree (leaves of a group of 16
 * ascending, then groups ascending), so that a result does not depend on chunking or threads.
 * Scratch: three partial outputs, the scores of a leaf, and a row for attention_quantize.
 */
#include <math.h>
#include <string.h>

#include "kernels/math.h"
#include "kernels/ref/ref_util.h"
#include "kernels/rows.h"

static bool append_accepts(const void *attrs)
{
    const struct op_kv_attrs *a = attrs;
    return a->kv_heads >= 1 && a->head_dim >= 1 && a->kv_layer >= 0 &&
           tn_kv_dtype_valid(a->kv_dtype);
}

/* Inputs: state, k, v, %batch. */
static enum hasten_status append_run(const struct kn_call *call, int64_t first, int64_t last,
                                     void *scratch)
{
    (void)scratch;
    const struct op_kv_attrs *a = call->attrs;
    const struct kn_state *state = call->operand[0];
    const float *k = call->operand[1], *v = call->operand[2];
    for (int64_t t = first; t < last; t++) {
        struct kn_ref_slot slot =
            kn_ref_find_slot(state, call->batch, a->kv_layer, call->batch->seq_of_row[t],
                             kn_kv_index(call->batch, (int32_t)t));
        for (int h = 0; h < a->kv_heads; h++) {
            int64_t at = (t * a->kv_heads + h) * a->head_dim;
            kn_ref_store_k(&state->layout, slot, h, k + at);
            kn_ref_store_v(&state->layout, slot, h, v + at);
        }
    }
    return HASTEN_OK;
}

const struct kn_kernel kn_kv_append__ref = {
    .name = "kv_append__ref",
    .op = OP_KV_APPEND,
    .cpu_class = HS_CPU_CLASS_REF,
    .accepts = append_accepts,
    .units = kn_ref_row_units,
    .run = append_run,
};

/* Softmax over some positions, not yet divided: maximum, denominator, weighted sum of V. */
struct partial {
    float m, l;
    float *o; /* [head_dim] */
};

/* What one query row and head attends. */
struct query {
    const struct op_attention_attrs *attrs;
    const struct kn_batch *batch;
    const struct kn_state *state;
    const float *q; /* [head_dim] */
    int sequence, kv_head;
    int64_t low, position; /* attends low..position */
};

static float score(const struct query *query, int64_t j)
{
    const struct op_attention_attrs *a = query->attrs;
    struct kn_ref_slot slot =
        kn_ref_find_slot(query->state, query->batch, a->kv_layer, query->sequence, j);
    float acc = 0.0f;
    for (int d = 0; d < a->head_dim; d++)
        acc = fmaf(query->q[d], kn_ref_load_k(&query->state->layout, slot, query->kv_head, d), acc);
    float s = acc * a->scale;
    if (a->softcap != 0.0f)
        s = a->softcap * kn_tanhf(s / a->softcap);
    return s;
}

static void attend_leaf(const struct query *query, int64_t leaf, float *scores, struct partial *out)
{
    const struct op_attention_attrs *a = query->attrs;
    int64_t start = leaf * TN_LEAF_POSITIONS, end = start + TN_LEAF_POSITIONS - 1;
    start = start < query->low ? query->low : start;
    end = end > query->position ? query->position : end;
    out->m = -INFINITY;
    for (int64_t j = start; j <= end; j++) {
        float s = score(query, j);
        scores[j - start] = s;
        if (s > out->m)
            out->m = s;
    }
    float lanes[KN_REF_LANES] = {0};
    memset(out->o, 0, (size_t)a->head_dim * sizeof(float));
    for (int64_t j = start; j <= end; j++) {
        struct kn_ref_slot slot =
            kn_ref_find_slot(query->state, query->batch, a->kv_layer, query->sequence, j);
        float e = kn_expf(scores[j - start] - out->m);
        lanes[j % KN_REF_LANES] = lanes[j % KN_REF_LANES] + e;
        for (int d = 0; d < a->head_dim; d++)
            out->o[d] =
                fmaf(e, kn_ref_load_v(&query->state->layout, slot, query->kv_head, d), out->o[d]);
    }
    out->l = kn_ref_sum_lanes(lanes);
}

/* into = into + part; the first part is copied. */
static void merge_partial(struct partial *into, const struct partial *part, bool is_first,
                          int head_dim)
{
    if (is_first) {
        into->m = part->m;
        into->l = part->l;
        memcpy(into->o, part->o, (size_t)head_dim * sizeof(float));
        return;
    }
    float m = part->m > into->m ? part->m : into->m;
    float a = kn_expf(into->m - m), b = kn_expf(part->m - m);
    into->m = m;
    into->l = fmaf(into->l, a, part->l * b);
    for (int d = 0; d < head_dim; d++)
        into->o[d] = fmaf(into->o[d], a, part->o[d] * b);
}

/* One row and head; scratch as attention_scratch says. */
static void attend(const struct query *query, float *scratch, float *out)
{
    int head_dim = query->attrs->head_dim;
    float *scores = scratch;
    struct partial leaf_part = {0, 0, scratch + TN_LEAF_POSITIONS};
    struct partial group_part = {0, 0, leaf_part.o + head_dim};
    struct partial total = {0, 0, group_part.o + head_dim};
    int64_t first_leaf = query->low / TN_LEAF_POSITIONS;
    int64_t last_leaf = query->position / TN_LEAF_POSITIONS;
    int64_t first_group = first_leaf / TN_LEAVES_PER_GROUP;
    for (int64_t leaf = first_leaf; leaf <= last_leaf; leaf++) {
        int64_t group = leaf / TN_LEAVES_PER_GROUP;
        attend_leaf(query, leaf, scores, &leaf_part);
        merge_partial(&group_part, &leaf_part,
                      leaf == first_leaf || leaf % TN_LEAVES_PER_GROUP == 0, head_dim);
        if (leaf == last_leaf || (leaf + 1) % TN_LEAVES_PER_GROUP == 0)
            merge_partial(&total, &group_part, group == first_group, head_dim);
    }
    float inverse = 1.0f / total.l;
    for (int d = 0; d < head_dim; d++)
        out[d] = total.o[d] * inverse;
}

/* Inputs: q, state, %batch. out: [head_dim]. */
static void attend_row_head(const struct kn_call *call, int64_t t, int head, float *scratch,
                            float *out)
{
    const struct op_attention_attrs *a = call->attrs;
    const float *q = call->operand[0];
    struct query query = {
        .attrs = a,
        .batch = call->batch,
        .state = call->operand[1],
        .q = q + (t * a->heads + head) * a->head_dim,
        .sequence = call->batch->seq_of_row[t],
        .kv_head = head / (a->heads / a->kv_heads),
        .position = kn_kv_index(call->batch, (int32_t)t),
    };
    if (a->window > 0 && query.position - a->window + 1 > 0)
        query.low = query.position - a->window + 1;
    attend(&query, scratch, out);
}

static bool attention_accepts(const void *attrs)
{
    const struct op_attention_attrs *a = attrs;
    return a->heads >= 1 && a->kv_heads >= 1 && a->heads % a->kv_heads == 0 && a->head_dim >= 1 &&
           a->head_dim <= 65536 && a->window >= 0 && a->causal == 1 && a->softcap >= 0.0f &&
           a->kv_layer >= 0 && tn_kv_dtype_valid(a->kv_dtype);
}

static size_t attention_scratch(const void *attrs)
{
    const struct op_attention_attrs *a = attrs;
    return (TN_LEAF_POSITIONS + 3 * (size_t)a->head_dim) * sizeof(float);
}

static int64_t attention_units(const struct kn_call *call)
{
    const struct op_attention_attrs *a = call->attrs;
    return call->rows * a->heads;
}

static enum hasten_status attention_run(const struct kn_call *call, int64_t first, int64_t last,
                                        void *scratch)
{
    const struct op_attention_attrs *a = call->attrs;
    float *out = kn_ref_output(call, 0);
    for (int64_t unit = first; unit < last; unit++)
        attend_row_head(call, unit / a->heads, (int)(unit % a->heads), scratch,
                        out + unit * a->head_dim);
    return HASTEN_OK;
}

const struct kn_kernel kn_attention__ref = {
    .name = "attention__ref",
    .op = OP_ATTENTION,
    .cpu_class = HS_CPU_CLASS_REF,
    .accepts = attention_accepts,
    .units = attention_units,
    .run = attention_run,
    .scratch_bytes = attention_scratch,
};

static bool attention_quantize_accepts(const void *attrs)
{
    const struct op_attention_attrs *a = attrs;
    return attention_accepts(attrs) && (int64_t)a->heads * a->head_dim % TN_QUANT_BLOCK == 0;
}

static size_t attention_quantize_scratch(const void *attrs)
{
    const struct op_attention_attrs *a = attrs;
    return attention_scratch(attrs) + (size_t)a->heads * (size_t)a->head_dim * sizeof(float);
}

static enum hasten_status attention_quantize_run(const struct kn_call *call, int64_t first,
                                                 int64_t last, void *scratch)
{
    const struct op_attention_attrs *a = call->attrs;
    int64_t features = (int64_t)a->heads * a->head_dim;
    struct tn_a8 a8 = tn_a8_view(kn_ref_output(call, 0), call->rows, features);
    float *row = scratch, *attend_scratch = row + features;
    for (int64_t t = first; t < last; t++) {
        for (int h = 0; h < a->heads; h++)
            attend_row_head(call, t, h, attend_scratch, row + (int64_t)h * a->head_dim);
        kn_quantize_row_ref(row, features, a8.codes + t * features, a8.scales + t, a8.sums + t,
                            call->rows);
    }
    return HASTEN_OK;
}

const struct kn_kernel kn_attention_quantize__ref = {
    .name = "attention_quantize__ref",
    .op = OP_ATTENTION_QUANTIZE,
    .cpu_class = HS_CPU_CLASS_REF,
    .accepts = attention_quantize_accepts,
    .units = kn_ref_row_units,
    .run = attention_quantize_run,
    .scratch_bytes = attention_quantize_scratch,
};
