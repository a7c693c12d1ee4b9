/*
 * hasten bench machine: times the probes of kernels/peak_probe.h over a team.
 *
 * Each line is measured in rounds of equal work: the work is doubled until a round takes ROUND_NS,
 * one such round warms up, the others are timed from the dispatch to the last member's end, as a
 * model's step sees it. Rates use 1e9. Caches are measured with half their size, so that neighbours
 * do not push the data out; L3 with at most 16 MiB, since virtual machines show a size that they
 * share with strangers.
 */
#include "engine/bench_machine.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/team.h"
#include "kernels/peak_probe.h"

#define ROUND_NS       20000000u /* 20 ms */
#define ROUNDS_MOST    64
#define STREAM_BYTES   ((size_t)512 << 20)
#define STREAM_LEAST   ((size_t)16 << 20)
#define L3_BYTES_MOST  ((size_t)16 << 20)
#define DISPATCH_CALLS 1000

enum work { WORK_DOT, WORK_FMA, WORK_CHAIN, WORK_READ, WORK_FILL, WORK_COPY, WORK_NOTHING };

struct bench {
    const struct en_machine *machine;
    const struct kn_peak_probe *probe;
    en_machine_fn fn;
    void *context;
    struct hs_error *error;
    char *data, *other; /* STREAM_BYTES or less each */
    size_t data_bytes;
    struct hs_team *team;
    int threads;

    enum work work; /* of the job that runs */
    int64_t count;  /* rounds or passes a member does */
    size_t slice_bytes;
    atomic_uint_fast64_t sink; /* results go here, so that they are needed */
};

static void job(void *context, int member, int threads)
{
    struct bench *bench = context;
    const struct kn_peak_probe *probe = bench->probe;
    char *slice = bench->data ? bench->data + (size_t)member * bench->slice_bytes : NULL;
    uint64_t result = 0;
    (void)threads;
    switch (bench->work) {
    case WORK_DOT:
        result = probe->dot(bench->count);
        break;
    case WORK_FMA:
        result = probe->fma(bench->count);
        break;
    case WORK_CHAIN:
        result = kn_peak_chain(bench->count);
        break;
    case WORK_READ:
        for (int64_t i = 0; i < bench->count; i++)
            result += probe->read(slice, bench->slice_bytes);
        break;
    case WORK_FILL:
        for (int64_t i = 0; i < bench->count; i++)
            probe->fill(slice, bench->slice_bytes);
        break;
    case WORK_COPY:
        for (int64_t i = 0; i < bench->count; i++)
            probe->copy(bench->other + (size_t)member * bench->slice_bytes, slice,
                        bench->slice_bytes);
        break;
    case WORK_NOTHING:
        return;
    }
    atomic_fetch_add_explicit(&bench->sink, result, memory_order_relaxed);
}

static uint64_t time_round(struct bench *bench)
{
    int calls = bench->work == WORK_NOTHING ? DISPATCH_CALLS : 1;
    uint64_t begin = hs_clock_ns();
    for (int i = 0; i < calls; i++)
        hs_team_run(bench->team, job, bench);
    uint64_t took = hs_clock_ns() - begin;
    return took ? took : 1;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Doubles the work until it takes a round's time, then measures. amount: what one count gives, of
 * all threads. */
static enum hasten_status measure(struct bench *bench, struct en_machine_row *row, double amount)
{
    double values[ROUNDS_MOST];
    int rounds = bench->machine->rounds < ROUNDS_MOST ? bench->machine->rounds : ROUNDS_MOST;
    bool is_latency = bench->work == WORK_NOTHING;
    uint64_t took = time_round(bench);
    while (!is_latency && took < ROUND_NS && bench->count < INT64_MAX / 4) {
        bench->count *= took < ROUND_NS / 16 ? 8 : 2;
        took = time_round(bench);
    }
    for (int i = 0; i < rounds; i++) {
        double seconds = (double)time_round(bench) * 1e-9;
        values[i] = is_latency ? seconds * 1e6 / DISPATCH_CALLS
                               : amount * (double)bench->count / seconds * 1e-9;
    }
    qsort(values, (size_t)rounds, sizeof values[0], ascending);
    row->threads = bench->threads;
    row->min = values[0];
    row->median =
        rounds % 2 ? values[rounds / 2] : (values[rounds / 2 - 1] + values[rounds / 2]) / 2;
    row->max = values[rounds - 1];
    if (!bench->fn(bench->context, row))
        return hs_fail(bench->error, HASTEN_CANCELLED, NULL, "the measurement was cancelled");
    return HASTEN_OK;
}

static enum hasten_status measure_registers(struct bench *bench, enum work work,
                                            struct en_machine_row row, double ops)
{
    bench->work = work;
    bench->count = 1000;
    return measure(bench, &row, ops * bench->threads);
}

static enum hasten_status measure_stream(struct bench *bench, enum work work, const char *name,
                                         const char *detail, size_t bytes)
{
    struct en_machine_row row = {.name = name, .detail = detail, .unit = "GB/s"};
    size_t threads = (size_t)bench->threads;
    if (bytes > bench->data_bytes)
        bytes = bench->data_bytes;
    bench->work = work;
    bench->count = 1;
    bench->slice_bytes = bytes / threads / KN_PEAK_STREAM_STEP * KN_PEAK_STREAM_STEP;
    if (!bench->slice_bytes)
        return HASTEN_OK;
    row.size_bytes = bench->slice_bytes * threads;
    return measure(bench, &row, (double)row.size_bytes);
}

static enum hasten_status measure_memory(struct bench *bench)
{
    const struct hs_cpu *cpu = hs_cpu_get();
    size_t threads = (size_t)bench->threads;
    size_t l2 = cpu->l2_bytes > 0 ? (size_t)cpu->l2_bytes / 2 * threads : 0;
    size_t l3 = cpu->l3_bytes > 0 ? (size_t)cpu->l3_bytes / 2 : 0;
    l3 = l3 < L3_BYTES_MOST ? l3 : L3_BYTES_MOST;
    if (l2)
        HS_TRY(measure_stream(bench, WORK_READ, "read", "L2", l2));
    if (l3 > l2)
        HS_TRY(measure_stream(bench, WORK_READ, "read", "L3", l3));
    HS_TRY(measure_stream(bench, WORK_READ, "read", "memory", bench->data_bytes));
    HS_TRY(measure_stream(bench, WORK_FILL, "fill", "memory", bench->data_bytes));
    return measure_stream(bench, WORK_COPY, "copy", "memory", bench->data_bytes);
}

static enum hasten_status measure_team(struct bench *bench)
{
    const struct kn_peak_probe *probe = bench->probe;
    struct en_machine_row dot = {.name = "dot", .detail = probe->dot_name, .unit = "GOP/s"};
    struct en_machine_row fma = {.name = "fma", .detail = probe->fma_name, .unit = "GFLOP/s"};
    struct en_machine_row dispatch = {.name = "dispatch", .detail = "an empty job", .unit = "us"};
    HS_TRY(measure_registers(bench, WORK_DOT, dot, probe->dot_ops));
    HS_TRY(measure_registers(bench, WORK_FMA, fma, probe->fma_ops));
    HS_TRY(measure_memory(bench));
    if (bench->threads == 1)
        return HASTEN_OK;
    bench->work = WORK_NOTHING;
    return measure(bench, &dispatch, 0);
}

static enum hasten_status measure_threads(struct bench *bench, int threads)
{
    HS_TRY(hs_team_open(threads, bench->error, &bench->team));
    bench->threads = threads;
    enum hasten_status status = HASTEN_OK;
    if (threads == 1) {
        struct en_machine_row clock = {
            .name = "clock", .detail = "one dependent addition a cycle", .unit = "GHz"};
        status = measure_registers(bench, WORK_CHAIN, clock, KN_PEAK_CHAIN);
    }
    if (status == HASTEN_OK)
        status = measure_team(bench);
    hs_team_close(&bench->team);
    return status;
}

/* MemAvailable of /proc/meminfo; 0 unknown. */
static size_t available_bytes(void)
{
    static const char key[] = "MemAvailable:";
    char *text = NULL;
    size_t size_bytes = 0, kib = 0;
    if (hs_file_read("/proc/meminfo", 1 << 16, NULL, &text, &size_bytes) != HASTEN_OK)
        return 0;
    const char *at = strstr(text, key);
    at = at ? at + sizeof key - 1 + strspn(at + sizeof key - 1, " ") : "";
    for (; *at >= '0' && *at <= '9' && kib < SIZE_MAX / 16384; at++)
        kib = kib * 10 + (size_t)(*at - '0');
    hs_free(text);
    return kib * 1024;
}

enum hasten_status en_bench_machine(const struct en_machine *machine, en_machine_fn fn,
                                    void *context, struct hs_error *error)
{
    struct bench bench = {.machine = machine,
                          .probe = kn_peak_probe_find(machine->cpu_class),
                          .fn = fn,
                          .context = context,
                          .error = error,
                          .data_bytes = STREAM_BYTES};
    size_t available = available_bytes();
    while (available && bench.data_bytes > STREAM_LEAST && bench.data_bytes > available / 8)
        bench.data_bytes /= 2;
    char *block = hs_block_new(2 * bench.data_bytes);
    if (!block)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory to measure with");
    bench.data = block;
    bench.other = block + bench.data_bytes;
    memset(block, 1, 2 * bench.data_bytes); /* pages exist before they are timed */
    enum hasten_status status = HASTEN_OK;
    for (int t = 1; t < machine->threads && status == HASTEN_OK; t *= 2)
        status = measure_threads(&bench, t);
    if (status == HASTEN_OK)
        status = measure_threads(&bench, machine->threads);
    hs_block_free(block, 2 * bench.data_bytes);
    return status;
}
