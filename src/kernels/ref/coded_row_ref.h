/* Coded weight rows, unpacked for the reference linear: integer codes, scales, minimums. */
#ifndef HASTEN_KERNELS_REF_CODED_ROW_REF_H
#define HASTEN_KERNELS_REF_CODED_ROW_REF_H

#include "tensor/layout.h"

struct kn_ref_coded_row {
    int16_t *codes; /* [cols] */
    float *scales;  /* [cols / group]: d_w of NUMERICS.md */
    float *mins;    /* [cols / group]: m_w; only for types with a minimum */
};

/* Unpacks row n of a weight of cols columns; the type must be coded. */
void kn_ref_unpack_row(enum tn_dtype dtype, const uint8_t *weight, int64_t cols, int64_t n,
                       const struct kn_ref_coded_row *row);
/* The same of a PANEL32 weight. */
void kn_ref_unpack_panel_row(enum tn_dtype dtype, const uint8_t *weight, int64_t cols, int64_t n,
                             const struct kn_ref_coded_row *row);

#endif
