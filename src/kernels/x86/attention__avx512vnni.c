/* attention and attention_quantize for AVX-512 (the algorithm: attention_tmpl.h). */
#include "kernels/kernel_table.h"

#include "kernels/x86/attention_tmpl.h"
