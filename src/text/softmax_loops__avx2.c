/* The sampler's passes for machines of class avx2; see softmax_loops.h. */
#if defined(__x86_64__)
#define LOOPS tx_softmax_loops_avx2
#include "text/softmax_loops_tmpl.h"
#endif
