/*
 * The kernel interface: units and ranges.
 *
 * A kernel divides a call into units, and runs any range of them. It never sees a thread id or a
 * thread count, a graph, a model or a log: who computes a unit cannot change a bit. The executor
 * owns the loop (own range first, then stealing) and looks at cancel and error flags between
 * units, so kernels need nothing for that. Units aim at <= 100 us.
 *
 * Numerics (docs/ARCHITECTURE.md "Same bits"): every output element is one float chain in a fixed
 * order that depends on nothing but the op, the types and K:
 *   linear, float weights   acc = fma(w[k], x[k], acc), k ascending, acc starts at +0
 *   linear, coded weights   per group of 32 or 16 k that shares a scale, ascending: isum exact in
 *                           int32; acc = fma((float)isum, d_w * d_a, acc), then for types with a
 *                           minimum acc = fma(m_w, sum_a, acc), sum_a = d_a * (float)sum(codes)
 *   reductions over a row   32 virtual lanes: lane i adds elements i, i+32, ... ascending, then
 *                           lanes i and i+16, i+8, i+4, i+2, i+1 are added pairwise
 *   exp, tanh, sin, cos     own polynomials (kernels/math.h), the same operations on every machine
 * so kernels/ref executes the same chain with fmaf, and tests compare with ==.
 *
 * Thread safety: run may be called by several threads on disjoint ranges of one call.
 */
#ifndef HASTEN_KERNELS_KERNEL_H
#define HASTEN_KERNELS_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/status.h"
#include "ops/op.h"
#include "ops/op_attrs.h"
#include "tensor/layout.h"

/*
 * %batch: which rows belong to which sequence, and where their K and V live. One contiguous block
 * of i32 made by runtime/batch_builder; this struct is a set of views into it.
 */
struct kn_batch {
    int32_t tokens;            /* T */
    int32_t sequences;         /* S */
    int32_t wanted_rows;       /* R */
    int32_t groups;            /* page groups, <= KN_PAGE_GROUPS */
    int32_t table_stride;      /* Pg: entries per sequence in a page table */
    const int32_t *row_start;  /* [S+1] first row of each sequence */
    const int32_t *kv_len;     /* [S] positions in the KV cache after this step's append */
    const int32_t *seq_of_row; /* [T] */
    const int32_t *position;   /* [T] rope position; its KV index is kv_len - (row_end - row) */
    const int32_t *rows;       /* [R] rows whose results are wanted, ascending */
#define KN_PAGE_GROUPS 4
    struct {
        const int32_t *first; /* [S] number of leading pages given back (sliding windows) */
        const int32_t *table; /* [S][Pg] page numbers; entry i holds positions 32i..32i+31 */
    } group[KN_PAGE_GROUPS];
};

/* KV index (position in the cache) of row `row` of the batch. */
static inline int32_t kn_kv_index(const struct kn_batch *batch, int32_t row)
{
    int32_t s = batch->seq_of_row[row];
    return batch->kv_len[s] - (batch->row_start[s + 1] - row);
}

/* A KV state as an operand: pages of one group, one layer of it. */
struct kn_state {
    uint8_t *pool;     /* page p at pool + p * page_bytes */
    size_t page_bytes; /* all layers of the group */
    struct tn_kv_layout layout;
    int32_t group; /* index into kn_batch.group */
};

#define KN_OPERANDS 24

struct kn_call {
    const struct kn_batch *batch; /* NULL only for ops that do not take %batch */
    int64_t rows;                 /* current rows of the output: T or R */
    const void *attrs;            /* the op's attribute struct */
    /* Inputs then outputs, in the op's order. Tensors: pointer to data; a state: pointer to a
     * struct kn_state; %batch: NULL (it stands above). Outputs that are states repeat the input. */
    void *operand[KN_OPERANDS];
    int32_t inputs, outputs;
    void *workspace; /* memory that the units of this call share, 64-byte aligned, or NULL */
    size_t workspace_bytes;
};

/* Bounds of all calls of a plan. */
struct kn_bounds {
    int64_t rows;      /* kn_call.rows */
    int64_t positions; /* of a sequence in the KV cache */
};

struct kn_kernel {
    const char *name; /* e.g. "linear__avx512vnni" */
    enum op_id op;
    enum hs_cpu_class cpu_class; /* lowest class it runs on */
    /* May this kernel execute an instruction with these attributes? (types, layouts, sizes) */
    bool (*accepts)(const void *attrs);
    int64_t (*units)(const struct kn_call *call); /* >= 0 */
    /* Units [first, last). Scratch: scratch_bytes(attrs) bytes, 64-byte aligned, one per thread. */
    enum hasten_status (*run)(const struct kn_call *call, int64_t first, int64_t last,
                              void *scratch);
    size_t (*scratch_bytes)(const void *attrs); /* NULL: none */
    /* Workspace that calls within the bounds make use of. A call with less, or without, gives the
     * same bits, perhaps from fewer units. Its contents mean nothing before begin. NULL: none. */
    size_t (*workspace_bytes)(const void *attrs, const struct kn_bounds *bounds);
    /* Called once per call, before its units run, by one thread. NULL: nothing to do. */
    void (*begin)(const struct kn_call *call);
};

/*
 * Best kernel for an op with these attributes on machines of class cpu_class or lower; the
 * reference kernels accept everything that is valid, so NULL means the attributes are wrong.
 */
const struct kn_kernel *kn_find(enum op_id op, const void *attrs, enum hs_cpu_class cpu_class);
/* The whole table, for tests and benchmarks: entries 0..kn_count()-1. */
int kn_count(void);
const struct kn_kernel *kn_at(int index);

#endif
