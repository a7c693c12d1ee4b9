/*
 * Small shared parts of the reference kernels: lane sums, page addresses, call helpers. The
 * reference shares nothing with the machine-specific kernels, so that an error in one shows.
 */
#ifndef HASTEN_KERNELS_REF_UTIL_H
#define HASTEN_KERNELS_REF_UTIL_H

#include "kernels/kernel.h"

#define KN_REF_LANES 32

/* Adds 32 lanes pairwise: i and i+16, then +8, +4, +2, +1, the lower index on the left. Destroys
 * the lanes. */
float kn_ref_sum_lanes(float lanes[KN_REF_LANES]);

/* Output j of a call. */
static inline void *kn_ref_output(const struct kn_call *call, int j)
{
    return call->operand[call->inputs + j];
}

/* Units of row-wise kernels: one per output row. */
int64_t kn_ref_row_units(const struct kn_call *call);

/* One position of one layer in the pages of a sequence. */
struct kn_ref_slot {
    uint8_t *layer; /* this layer's share of the page: K stream, then V stream */
    int in_page;    /* position inside the page */
};

struct kn_ref_slot kn_ref_find_slot(const struct kn_state *state, const struct kn_batch *batch,
                                    int layer, int sequence, int64_t position);
/* Element `feature` (< head_dim_padded) of a KV head at a slot. */
float kn_ref_load_k(const struct tn_kv_layout *layout, struct kn_ref_slot slot, int head,
                    int feature);
float kn_ref_load_v(const struct tn_kv_layout *layout, struct kn_ref_slot slot, int head,
                    int feature);
/* Writes a whole head (head_dim values; its padding becomes zero). */
void kn_ref_store_k(const struct tn_kv_layout *layout, struct kn_ref_slot slot, int head,
                    const float *values);
void kn_ref_store_v(const struct tn_kv_layout *layout, struct kn_ref_slot slot, int head,
                    const float *values);

/* Rotates one head in place by a rope_table row [dims/2][2]. style: enum op_rope_style. */
void kn_ref_rotate(float *head, int dims, int style, const float *table_row);

#endif
