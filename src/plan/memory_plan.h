/*
 * Offsets for values with lifetimes: the static memory plan. Pure.
 *
 * Greedy by size (largest first), first fit among the offsets left by already placed values that
 * live at the same time: within a few percent of optimal on layered networks, where few sizes
 * repeat (Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).
 */
#ifndef HASTEN_PLAN_MEMORY_PLAN_H
#define HASTEN_PLAN_MEMORY_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct pl_lifetime {
    size_t size_bytes; /* 0: not placed */
    int32_t first;     /* instruction that writes it */
    int32_t last;      /* last instruction that reads it (>= first) */
    size_t offset;     /* result, a multiple of 64 */
};

/* Places all; *total_out is the arena size. OUT_OF_MEMORY or LIMIT (overflow). */
HS_MUST_USE enum hasten_status pl_place(struct pl_lifetime *values, int32_t count,
                                        struct hs_error *error, size_t *total_out);

#endif
