/* attention and attention_quantize for AVX2 + FMA + F16C (the algorithm: attention_tmpl.h). */
#include "kernels/kernel_table.h"

#include "kernels/x86/attention_tmpl.h"
