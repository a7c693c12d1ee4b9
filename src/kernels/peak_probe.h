/*
 * Probes of what a machine can do at most, by machine class: the instructions that the kernels are
 * made of, run on registers only, and plain streams over memory. `hasten bench machine` times them;
 * no model uses them. They compute nothing that anybody wants, so no reference exists for them.
 */
#ifndef HASTEN_KERNELS_PEAK_PROBE_H
#define HASTEN_KERNELS_PEAK_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

struct kn_peak_probe {
    enum hs_cpu_class cpu_class;     /* lowest class it runs on */
    const char *dot_name;            /* instruction of int8 dot products */
    double dot_ops;                  /* a round, a multiplication and an addition count as two */
    uint64_t (*dot)(int64_t rounds); /* the result depends on every round */
    const char *fma_name;
    double fma_ops;
    uint64_t (*fma)(int64_t rounds);
    /* Streams. Addresses 64-byte aligned, sizes multiples of 512. */
    uint64_t (*read)(const void *data, size_t size_bytes);
    void (*fill)(void *data, size_t size_bytes);
    void (*copy)(void *to, const void *from, size_t size_bytes);
};

#define KN_PEAK_STREAM_STEP 512

extern const struct kn_peak_probe kn_peak_probe__ref;
extern const struct kn_peak_probe kn_peak_probe__avx2;
extern const struct kn_peak_probe kn_peak_probe__avx512vnni;

/* The probe of the highest class up to cpu_class. */
const struct kn_peak_probe *kn_peak_probe_find(enum hs_cpu_class cpu_class);

/* Dependent additions of one cycle each, 16 a round: rounds * 16 / time is the core's clock. */
#define KN_PEAK_CHAIN 16
uint64_t kn_peak_chain(int64_t rounds);

#endif
