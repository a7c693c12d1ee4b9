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

#include "kernels/kernel.h"
#include "kernels/x86/kv_write_tmpl.h"
#include "kernels/x86/rope_tmpl.h"
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

/* A unit has whole heads. */
static void epilogue_rope(const struct linear_result *r, const float *table)
{
    const int dims = r->segment->rope_dims, head_dim = r->segment->rope_head_dim;
    const struct rope_heads of = {r->rows / head_dim, head_dim, dims};
    for (int t = 0; t < r->tokens; t++)
        rotate_heads(&of, r->segment->rope_style, r->tile + t * r->ld,
                     table + (r->token + t) * dims);
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
