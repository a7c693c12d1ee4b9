/*
 * What this machine can do at most: dot products and multiply-adds a second, bytes a second by size
 * and threads, the cost of handing a job to a team. docs/performance/machine.md says what each line
 * means and what it is used for.
 */
#ifndef HASTEN_ENGINE_BENCH_MACHINE_H
#define HASTEN_ENGINE_BENCH_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/status.h"

struct en_machine {
    enum hs_cpu_class cpu_class;
    int threads; /* measured are 1, 2, 4, ... and this */
    int rounds;  /* timed ones after one to warm up */
};

struct en_machine_row {
    const char *name;   /* "dot", "fma", "clock", "read", "fill", "copy", "dispatch" */
    const char *detail; /* the instruction, or which memory: "memory", "L2", "L3" */
    const char *unit;   /* "GOP/s", "GFLOP/s", "GHz", "GB/s" (1e9 bytes), "us" */
    int threads;
    uint64_t size_bytes; /* of all threads together, 0 for none */
    double min, median, max;
};

/* Gets each line when it is measured; false: stop (CANCELLED). */
typedef bool (*en_machine_fn)(void *context, const struct en_machine_row *row);

/* Takes about five seconds on two threads with five rounds and at most 1 GiB of memory, a quarter
 * of what is available. */
HS_MUST_USE enum hasten_status en_bench_machine(const struct en_machine *machine, en_machine_fn fn,
                                                void *context, struct hs_error *error);

#endif
