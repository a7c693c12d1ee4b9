/*
 * Latency histogram: counts in log-linear buckets, rendered in Prometheus' text format.
 *
 * Each power of two of nanoseconds is cut into 4 equal parts, so a bound is at most 25 % above the
 * duration it stands for, from 16 microseconds to 275 seconds, with 97 counters. Unlike samples.h
 * it never forgets and can be added up over servers. Adding is two relaxed atomic additions: any
 * threads; a reader may see a count before its sum. Zero-initialise.
 */
#ifndef HASTEN_OBSERVE_HISTOGRAM_H
#define HASTEN_OBSERVE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/memory.h"

enum {
    OB_HISTOGRAM_FIRST_BITS = 14, /* the first bound is 2^14 ns */
    OB_HISTOGRAM_LAST_BITS = 38,
    OB_HISTOGRAM_PARTS = 4,
    OB_HISTOGRAM_BOUNDS =
        (OB_HISTOGRAM_LAST_BITS - OB_HISTOGRAM_FIRST_BITS) * OB_HISTOGRAM_PARTS + 1
};

struct ob_histogram {
    _Atomic uint64_t counts[OB_HISTOGRAM_BOUNDS + 1]; /* not cumulative; the last: above all */
    _Atomic uint64_t sum_ns;
};

/* Upper bound (inclusive) of bucket i in [0, OB_HISTOGRAM_BOUNDS). */
uint64_t ob_histogram_bound(int i);
/* Bucket that a duration belongs to: the first whose bound is not below it. */
int ob_histogram_bucket(uint64_t duration_ns);
void ob_histogram_add(struct ob_histogram *histogram, uint64_t duration_ns);
uint64_t ob_histogram_count(const struct ob_histogram *histogram);

/* Appends the samples of one series: NAME_bucket{LABELS,le="SECONDS"}, NAME_sum, NAME_count. labels
 * without braces, e.g. model_name="x", or "". Help and type lines are the caller's. */
void ob_histogram_render(const struct ob_histogram *histogram, const char *name, const char *labels,
                         struct hs_buffer *out);

#endif
