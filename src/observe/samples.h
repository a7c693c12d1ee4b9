/*
 * Latency samples: the last `capacity` durations in a ring, and exact percentiles of them.
 *
 * Kept whole and sorted on demand, because a run has at most some hundred thousand samples and an
 * exact percentile needs no argument about bucket widths. Adding is two stores and allocates
 * nothing. One recorder belongs to one thread at a time.
 */
#ifndef HASTEN_OBSERVE_SAMPLES_H
#define HASTEN_OBSERVE_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct ob_samples {
    uint64_t *ring_ns;   /* [capacity] */
    uint64_t *sorted_ns; /* [capacity], scratch of ob_samples_summary */
    size_t capacity;
    uint64_t total_count; /* samples ever added since the last clear */
};

/* All figures are over the kept samples, the last min(total_count, capacity) ones. */
struct ob_summary {
    uint64_t total_count;
    uint64_t kept_count;
    uint64_t min_ns, p50_ns, p90_ns, p99_ns, max_ns;
    double mean_ns;
};

/* capacity >= 1. Zero-initialise *samples_out or leave it; ob_samples_close frees it. */
HS_MUST_USE enum hasten_status ob_samples_open(size_t capacity, struct hs_error *error,
                                               struct ob_samples *samples_out);
void ob_samples_close(struct ob_samples *samples);
void ob_samples_clear(struct ob_samples *samples);

/* Adds one duration; the oldest one goes when the ring is full. */
static inline void ob_samples_add(struct ob_samples *samples, uint64_t duration_ns)
{
    samples->ring_ns[samples->total_count % samples->capacity] = duration_ns;
    samples->total_count++;
}

/* Summary of the kept samples; all 0 when there are none. Allocates nothing. */
struct ob_summary ob_samples_summary(struct ob_samples *samples);

/*
 * Nearest-rank percentile of sorted_ns[0..count): the smallest sample such that at least
 * per_10000/10000 of all samples are not above it (5000: median, 9990: p99.9). Always a value that
 * was measured, never an interpolation. 0 when count is 0.
 */
uint64_t ob_percentile(const uint64_t *sorted_ns, size_t count, unsigned per_10000);

#endif
