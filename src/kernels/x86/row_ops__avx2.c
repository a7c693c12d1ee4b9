/* Row-wise ops for AVX2 + FMA + F16C (the code: row_ops_tmpl.h). */
#include "kernels/kernel_table.h"

#include "kernels/x86/row_ops_tmpl.h"
