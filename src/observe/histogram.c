/* Log-linear histogram; see histogram.h. */
#include "observe/histogram.h"

#include <inttypes.h>

uint64_t ob_histogram_bound(int i)
{
    int bits = OB_HISTOGRAM_FIRST_BITS + i / OB_HISTOGRAM_PARTS, part = i % OB_HISTOGRAM_PARTS;
    uint64_t base = (uint64_t)1 << bits;
    return base + base / OB_HISTOGRAM_PARTS * (uint64_t)part;
}

/* With d = duration - 1, bound(i) < duration <= bound(i + 1) is bound(i) <= d < bound(i + 1): the
 * place of d's top three bits. */
int ob_histogram_bucket(uint64_t duration_ns)
{
    if (duration_ns <= (uint64_t)1 << OB_HISTOGRAM_FIRST_BITS)
        return 0;
    if (duration_ns > (uint64_t)1 << OB_HISTOGRAM_LAST_BITS)
        return OB_HISTOGRAM_BOUNDS;
    uint64_t d = duration_ns - 1;
    int bits = 63 - __builtin_clzll(d);
    int part = (int)(d >> (bits - 2) & 3);
    return (bits - OB_HISTOGRAM_FIRST_BITS) * OB_HISTOGRAM_PARTS + part + 1;
}

void ob_histogram_add(struct ob_histogram *histogram, uint64_t duration_ns)
{
    atomic_fetch_add_explicit(&histogram->sum_ns, duration_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->counts[ob_histogram_bucket(duration_ns)], 1,
                              memory_order_relaxed);
}

uint64_t ob_histogram_count(const struct ob_histogram *histogram)
{
    uint64_t count = 0;
    for (int i = 0; i <= OB_HISTOGRAM_BOUNDS; i++)
        count += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
    return count;
}

void ob_histogram_render(const struct ob_histogram *histogram, const char *name, const char *labels,
                         struct hs_buffer *out)
{
    const char *comma = labels[0] ? "," : "";
    uint64_t count = 0;
    for (int i = 0; i < OB_HISTOGRAM_BOUNDS; i++) {
        count += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        hs_buffer_printf(out, "%s_bucket{%s%sle=\"%.9g\"} %" PRIu64 "\n", name, labels, comma,
                         (double)ob_histogram_bound(i) / 1e9, count);
    }
    count += atomic_load_explicit(&histogram->counts[OB_HISTOGRAM_BOUNDS], memory_order_relaxed);
    hs_buffer_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, count);
    uint64_t sum_ns = atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed);
    hs_buffer_printf(out, "%s_sum{%s} %.9f\n%s_count{%s} %" PRIu64 "\n", name, labels,
                     (double)sum_ns / 1e9, name, labels, count);
}
