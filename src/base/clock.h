/* Monotonic clock in nanoseconds (CLOCK_MONOTONIC; about 25 ns a call). Thread-safe. */
#ifndef HASTEN_BASE_CLOCK_H
#define HASTEN_BASE_CLOCK_H

#include <stdint.h>

uint64_t hs_clock_ns(void);

/* High-water mark of resident memory of this process in bytes (VmHWM), 0 if unknown. */
uint64_t hs_peak_rss_bytes(void);

#endif
