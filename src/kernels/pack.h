/* Inside of packing: what pack.c and the packers of machine classes share. */
#ifndef HASTEN_KERNELS_PACK_H
#define HASTEN_KERNELS_PACK_H

#include "tensor/layout.h"

/* A row-major matrix and the packed weight it becomes. */
struct kn_packing {
    enum tn_dtype dtype;
    int64_t rows, cols;
    const uint8_t *source; /* row-major, the whole matrix */
    uint8_t *target;       /* the whole packed weight */
};

/* Packs panels [first, last); both give the same bytes. */
void kn_pack_plain(const struct kn_packing *job, int64_t first, int64_t last);
void kn_pack_avx2(const struct kn_packing *job, int64_t first, int64_t last);

#endif
