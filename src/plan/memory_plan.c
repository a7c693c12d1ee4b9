#include "plan/memory_plan.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/memory.h"

enum { LINE = 64 };

struct place { /* sort key: larger first, then by index, so that the result is deterministic */
    size_t size_bytes;
    int32_t index;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->size_bytes != y->size_bytes)
        return x->size_bytes < y->size_bytes ? 1 : -1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static bool lives_together(const struct pl_lifetime *a, const struct pl_lifetime *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Size with padding to an odd number of lines: neighbours then start in different L1 sets. */
static bool padded_size(size_t size_bytes, size_t *out)
{
    size_t padded;
    if (!hs_size_align(size_bytes, LINE, &padded))
        return false;
    if ((padded / LINE) % 2 == 0)
        return hs_size_add(padded, LINE, out);
    *out = padded;
    return true;
}

/* Lowest offset where `value` fits among the placed values that live at the same time. Each round
 * moves the candidate past one obstacle, so it ends after at most `placed` rounds. */
static bool first_fit(const struct pl_lifetime *values, const struct place *order, int32_t placed,
                      const struct pl_lifetime *value, size_t *offset_out)
{
    size_t size, offset = 0;
    if (!padded_size(value->size_bytes, &size))
        return false;
    for (bool moved = true; moved;) {
        moved = false;
        for (int32_t i = 0; i < placed; i++) {
            const struct pl_lifetime *other = &values[order[i].index];
            size_t other_size, end, other_end;
            if (!lives_together(value, other))
                continue;
            if (!padded_size(other->size_bytes, &other_size) || !hs_size_add(offset, size, &end) ||
                !hs_size_add(other->offset, other_size, &other_end))
                return false;
            if (offset < other_end && other->offset < end) {
                offset = other_end;
                moved = true;
            }
        }
    }
    *offset_out = offset;
    return true;
}

enum hasten_status pl_place(struct pl_lifetime *values, int32_t count, struct hs_error *error,
                            size_t *total_out)
{
    struct place *order = hs_calloc((size_t)count + 1, sizeof *order);
    if (!order)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for the memory plan");
    int32_t placed = 0;
    for (int32_t i = 0; i < count; i++)
        if (values[i].size_bytes > 0)
            order[placed++] = (struct place){values[i].size_bytes, i};
    qsort(order, (size_t)placed, sizeof *order, compare_places);

    enum hasten_status status = HASTEN_OK;
    size_t total = 0;
    for (int32_t i = 0; i < placed && status == HASTEN_OK; i++) {
        struct pl_lifetime *value = &values[order[i].index];
        size_t size, end;
        if (first_fit(values, order, i, value, &value->offset) &&
            padded_size(value->size_bytes, &size) && hs_size_add(value->offset, size, &end)) {
            total = end > total ? end : total;
        } else {
            status = hs_fail(error, HASTEN_LIMIT, "lower the number of tokens per step",
                             "the memory of a step does not fit the address space");
        }
    }
    hs_free(order);
    if (status == HASTEN_OK)
        *total_out = total;
    return status;
}
