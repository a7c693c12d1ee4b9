/* Inside of packing: a file's block of 32 k, brought into the codes and scales of its panel form.
 * Used by pack.c only. */
#ifndef HASTEN_KERNELS_PACK_STAGE_H
#define HASTEN_KERNELS_PACK_STAGE_H

#include "tensor/layout.h"

/* 32 k of one row, as struct tn_panel_form of its type says. */
struct kn_staged {
    uint8_t header[4];  /* f16 d, f16 dmin of the 256 k (TN_SCALE_SUPER) */
    uint8_t scales[4];  /* f16 d, f16 m | f32 d | scale of group 0, 1, minimum of group 0, 1 */
    uint32_t dwords[8]; /* the codes as they stand in the panel; 4 of them for 4-bit codes */
};

/* Block `sub` of 32 k inside the file's block. */
typedef void (*kn_stager)(const uint8_t *block, int sub, struct kn_staged *out);

/* NULL when the type is not coded. */
kn_stager kn_stager_of(enum tn_dtype dtype);

#endif
