/*
 * The kernel table and the choice of a kernel: highest machine class that accepts the attributes.
 * Called when plans are built, never on the hot path; a linear walk over some dozens is enough.
 */
#include "kernels/kernel_table.h"

#define KN_KERNEL_ENTRY(object) &object,
static const struct kn_kernel *const kernels[] = {KN_KERNEL_TABLE(KN_KERNEL_ENTRY)};
#undef KN_KERNEL_ENTRY

int kn_count(void)
{
    return (int)(sizeof kernels / sizeof kernels[0]);
}

const struct kn_kernel *kn_at(int index)
{
    return kernels[index];
}

const struct kn_kernel *kn_find(enum op_id op, const void *attrs, enum hs_cpu_class cpu_class)
{
    const struct kn_kernel *best = NULL;
    for (int i = 0; i < kn_count(); i++) {
        const struct kn_kernel *kernel = kernels[i];
        if (kernel->op != op || kernel->cpu_class > cpu_class)
            continue;
        if (best && kernel->cpu_class < best->cpu_class)
            continue;
        if (kernel->accepts(attrs))
            best = kernel;
    }
    return best;
}
