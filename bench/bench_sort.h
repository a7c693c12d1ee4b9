/* Measured values in order, for medians and percentiles. */
#ifndef HASTEN_BENCH_SORT_H
#define HASTEN_BENCH_SORT_H

#include <stdlib.h>

static inline int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Least first. */
static inline void bench_sort(double *values, size_t count)
{
    qsort(values, count, sizeof *values, bench_compare);
}

#endif
