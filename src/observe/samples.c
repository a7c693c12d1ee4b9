/*
 * Sample ring and nearest-rank percentiles.
 *
 * The summary copies the ring into the second array and sorts it there by heapsort: in place, no
 * recursion, no allocation (glibc's qsort may call malloc), n log n on any input. Invariant: the
 * kept samples are ring_ns[0..min(total_count, capacity)), in ring order.
 */
#include "observe/samples.h"

#include <string.h>

#include "base/memory.h"

enum hasten_status ob_samples_open(size_t capacity, struct hs_error *error,
                                   struct ob_samples *samples_out)
{
    if (capacity == 0)
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, "keep at least one sample",
                       "a sample recorder of capacity 0 holds nothing");
    uint64_t *ring_ns = hs_calloc(capacity, sizeof *ring_ns);
    uint64_t *sorted_ns = hs_calloc(capacity, sizeof *sorted_ns);
    if (!ring_ns || !sorted_ns) {
        hs_free(ring_ns);
        hs_free(sorted_ns);
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "keep fewer samples",
                       "no memory for %zu samples", capacity);
    }
    /* Touched now, so that no page fault falls into what is being timed; all ones, because a
     * compiler may drop zeroing of zeroed memory. */
    memset(ring_ns, 0xFF, capacity * sizeof *ring_ns);
    *samples_out =
        (struct ob_samples){.ring_ns = ring_ns, .sorted_ns = sorted_ns, .capacity = capacity};
    return HASTEN_OK;
}

void ob_samples_close(struct ob_samples *samples)
{
    hs_free(samples->ring_ns);
    hs_free(samples->sorted_ns);
    *samples = (struct ob_samples){0};
}

void ob_samples_clear(struct ob_samples *samples)
{
    samples->total_count = 0;
}

/* Moves values[root] down until no child in values[0..count) is greater. */
static void sift_down(uint64_t *values, size_t root, size_t count)
{
    uint64_t moving = values[root];
    for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && values[child + 1] > values[child])
            child++;
        if (values[child] <= moving)
            break;
        values[root] = values[child];
        root = child;
    }
    values[root] = moving;
}

static void sort_ascending(uint64_t *values, size_t count)
{
    for (size_t root = count / 2; root-- > 0;)
        sift_down(values, root, count);
    for (size_t last = count; last-- > 1;) {
        uint64_t greatest = values[0];
        values[0] = values[last];
        values[last] = greatest;
        sift_down(values, 0, last);
    }
}

uint64_t ob_percentile(const uint64_t *sorted_ns, size_t count, unsigned per_10000)
{
    if (count == 0)
        return 0;
    if (per_10000 > 10000)
        per_10000 = 10000;
    /* rank = ceil(count * p), 1-based; in two parts, so that no product overflows */
    size_t rank = count / 10000 * per_10000 + (count % 10000 * per_10000 + 9999) / 10000;
    return sorted_ns[rank > 0 ? rank - 1 : 0];
}

struct ob_summary ob_samples_summary(struct ob_samples *samples)
{
    size_t count =
        samples->total_count < samples->capacity ? (size_t)samples->total_count : samples->capacity;
    struct ob_summary summary = {.total_count = samples->total_count, .kept_count = count};
    if (count == 0)
        return summary;
    memcpy(samples->sorted_ns, samples->ring_ns, count * sizeof *samples->sorted_ns);
    sort_ascending(samples->sorted_ns, count);
    double sum_ns = 0;
    for (size_t i = 0; i < count; i++)
        sum_ns += (double)samples->sorted_ns[i];
    summary.min_ns = samples->sorted_ns[0];
    summary.p50_ns = ob_percentile(samples->sorted_ns, count, 5000);
    summary.p90_ns = ob_percentile(samples->sorted_ns, count, 9000);
    summary.p99_ns = ob_percentile(samples->sorted_ns, count, 9900);
    summary.max_ns = samples->sorted_ns[count - 1];
    summary.mean_ns = sum_ns / (double)count;
    return summary;
}
