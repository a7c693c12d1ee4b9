/* The sampler's passes, for any machine, and their choice; see softmax_loops.h. */
#define LOOPS tx_softmax_loops_ref
#include "text/softmax_loops_tmpl.h"

const struct tx_softmax_loops *tx_softmax_loops(enum hs_cpu_class cpu_class)
{
    switch (cpu_class) {
#if defined(__x86_64__)
    case HS_CPU_CLASS_AVX512VNNI:
        return &tx_softmax_loops_avx512vnni;
    case HS_CPU_CLASS_AVX2:
        return &tx_softmax_loops_avx2;
#endif
    default:
        return &tx_softmax_loops_ref;
    }
}
