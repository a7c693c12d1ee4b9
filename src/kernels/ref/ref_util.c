/* Lane sums and KV page addressing of the reference kernels (NUMERICS.md, tensor/layout.h). */
#include "kernels/ref/ref_util.h"

#include <math.h>
#include <string.h>

#include "kernels/rows.h"

float kn_ref_sum_lanes(float lanes[KN_REF_LANES])
{
    for (int step = KN_REF_LANES / 2; step >= 1; step /= 2) {
        for (int i = 0; i < step; i++)
            lanes[i] = lanes[i] + lanes[i + step];
    }
    return lanes[0];
}

int64_t kn_ref_row_units(const struct kn_call *call)
{
    return call->rows;
}

struct kn_ref_slot kn_ref_find_slot(const struct kn_state *state, const struct kn_batch *batch,
                                    int layer, int sequence, int64_t position)
{
    const int32_t *table = batch->group[state->group].table;
    int64_t entry = (int64_t)sequence * batch->table_stride + position / TN_PAGE_POSITIONS;
    uint8_t *page = state->pool + (size_t)table[entry] * state->page_bytes;
    return (struct kn_ref_slot){page + (size_t)layer * state->layout.layer_bytes,
                                (int)(position % TN_PAGE_POSITIONS)};
}

/* Element numbers inside the K and V streams of float pages. */
static size_t k_index(const struct tn_kv_layout *layout, int in_page, int head, int feature)
{
    size_t tile = (size_t)head * (TN_PAGE_POSITIONS / 16) + (size_t)(in_page / 16);
    return (tile * (size_t)layout->head_dim_padded + (size_t)feature) * 16 + (size_t)(in_page % 16);
}

static size_t v_index(const struct tn_kv_layout *layout, int in_page, int head, int feature)
{
    size_t row = (size_t)head * TN_PAGE_POSITIONS + (size_t)in_page;
    return row * (size_t)layout->head_dim_padded + (size_t)feature;
}

/* Where a value of a Q8_0 page lies in its stream, in bytes. */
struct q8_place {
    size_t scale, code;
};

static struct q8_place k_place(const struct tn_kv_layout *layout, int in_page, int head,
                               int feature)
{
    const size_t block_bytes = 16 * (sizeof(uint16_t) + 32), lane = (size_t)(in_page % 16);
    size_t tile = (size_t)head * (TN_PAGE_POSITIONS / 16) + (size_t)(in_page / 16);
    size_t blocks = (size_t)layout->head_dim_padded / 32;
    size_t block = (tile * blocks + (size_t)feature / 32) * block_bytes;
    return (struct q8_place){block + 2 * lane, block + 32 + (size_t)(feature % 32) * 16 + lane};
}

static struct q8_place v_place(const struct tn_kv_layout *layout, int in_page, int head,
                               int feature)
{
    const size_t padded = (size_t)layout->head_dim_padded;
    size_t scales = (size_t)head * layout->head_bytes;
    size_t codes = scales + 2 * TN_PAGE_POSITIONS * (padded / 32);
    return (struct q8_place){scales +
                                 2 * ((size_t)feature / 32 * TN_PAGE_POSITIONS + (size_t)in_page),
                             codes + (size_t)in_page * padded + (size_t)feature};
}

static float load_element(enum tn_dtype dtype, const uint8_t *stream, size_t index)
{
    if (dtype == TN_F32) {
        float value;
        memcpy(&value, stream + 4 * index, 4);
        return value;
    }
    uint16_t half;
    memcpy(&half, stream + 2 * index, 2);
    return dtype == TN_BF16 ? tn_bf16_to_f32(half) : tn_f16_to_f32(half);
}

static void store_element(enum tn_dtype dtype, uint8_t *stream, size_t index, float value)
{
    if (dtype == TN_F32) {
        memcpy(stream + 4 * index, &value, 4);
        return;
    }
    uint16_t half = dtype == TN_BF16 ? tn_f32_to_bf16(value) : tn_f32_to_f16(value);
    memcpy(stream + 2 * index, &half, 2);
}

static float load_q8(const uint8_t *stream, struct q8_place place)
{
    uint16_t scale;
    memcpy(&scale, stream + place.scale, 2);
    return tn_f16_to_f32(scale) * (float)(int8_t)stream[place.code];
}

float kn_ref_load_k(const struct tn_kv_layout *layout, struct kn_ref_slot slot, int head,
                    int feature)
{
    if (layout->dtype == TN_Q8_0)
        return load_q8(slot.layer, k_place(layout, slot.in_page, head, feature));
    return load_element(layout->dtype, slot.layer, k_index(layout, slot.in_page, head, feature));
}

float kn_ref_load_v(const struct tn_kv_layout *layout, struct kn_ref_slot slot, int head,
                    int feature)
{
    const uint8_t *stream = slot.layer + layout->k_bytes;
    if (layout->dtype == TN_Q8_0)
        return load_q8(stream, v_place(layout, slot.in_page, head, feature));
    return load_element(layout->dtype, stream, v_index(layout, slot.in_page, head, feature));
}

/* Quantizes a head, block by block, to where `place` says. */
static void store_q8(const struct tn_kv_layout *layout, struct kn_ref_slot slot, int head,
                     const float *values, bool is_v)
{
    uint8_t *stream = slot.layer + (is_v ? layout->k_bytes : 0);
    for (int first = 0; first < layout->head_dim_padded; first += 32) {
        float x[32] = {0}, scale, sum;
        int8_t codes[32];
        for (int i = 0; i < 32 && first + i < layout->head_dim; i++)
            x[i] = values[first + i];
        kn_quantize_row_ref(x, 32, codes, &scale, &sum, 1);
        uint16_t half = tn_f32_to_f16(scale);
        for (int i = 0; i < 32; i++) {
            struct q8_place place = is_v ? v_place(layout, slot.in_page, head, first + i)
                                         : k_place(layout, slot.in_page, head, first + i);
            memcpy(stream + place.scale, &half, 2);
            stream[place.code] = (uint8_t)codes[i];
        }
    }
}

void kn_ref_store_k(const struct tn_kv_layout *layout, struct kn_ref_slot slot, int head,
                    const float *values)
{
    if (layout->dtype == TN_Q8_0) {
        store_q8(layout, slot, head, values, false);
        return;
    }
    for (int d = 0; d < layout->head_dim_padded; d++)
        store_element(layout->dtype, slot.layer, k_index(layout, slot.in_page, head, d),
                      d < layout->head_dim ? values[d] : 0.0f);
}

void kn_ref_store_v(const struct tn_kv_layout *layout, struct kn_ref_slot slot, int head,
                    const float *values)
{
    if (layout->dtype == TN_Q8_0) {
        store_q8(layout, slot, head, values, true);
        return;
    }
    uint8_t *stream = slot.layer + layout->k_bytes;
    for (int d = 0; d < layout->head_dim_padded; d++)
        store_element(layout->dtype, stream, v_index(layout, slot.in_page, head, d),
                      d < layout->head_dim ? values[d] : 0.0f);
}

void kn_ref_rotate(float *head, int dims, int style, const float *table_row)
{
    for (int i = 0; i < dims / 2; i++) {
        int i0 = style == OP_ROPE_ADJACENT ? 2 * i : i;
        int i1 = style == OP_ROPE_ADJACENT ? 2 * i + 1 : i + dims / 2;
        float c = table_row[2 * i], s = table_row[2 * i + 1];
        float x0 = head[i0], x1 = head[i1];
        head[i0] = fmaf(x0, c, -(x1 * s));
        head[i1] = fmaf(x0, s, x1 * c);
    }
}
