/* The sampler's passes for machines of class avx512vnni; see softmax_loops.h. */
#if defined(__x86_64__)
#define LOOPS tx_softmax_loops_avx512vnni
#include "text/softmax_loops_tmpl.h"
#endif
