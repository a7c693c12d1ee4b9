/* Packing with 256-bit vectors; see pack_tmpl.h. */
#include "kernels/pack.h"

#include "kernels/pack_tmpl.h"

void kn_pack_avx2(const struct kn_packing *job, int64_t first, int64_t last)
{
    pack_panels(job, first, last);
}
