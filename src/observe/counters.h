/*
 * Counters: one table names them all; a set is an array of relaxed atomics.
 *
 * Relaxed, because a count orders nothing: a snapshot taken while others count may see one counter
 * newer than another. Thread-safe. Zero-initialise a set.
 */
#ifndef HASTEN_OBSERVE_COUNTERS_H
#define HASTEN_OBSERVE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* counter, name in reports, what it counts */
#define OB_COUNTER_TABLE(X)                                                                        \
    X(OB_REQUESTS, "requests", "requests begun")                                                   \
    X(OB_REQUESTS_CANCELLED, "requests_cancelled", "requests ended by their caller")               \
    X(OB_REQUESTS_FAILED, "requests_failed", "requests ended by an error")                         \
    X(OB_STEPS, "steps", "plan runs")                                                              \
    X(OB_PROMPT_TOKENS, "prompt_tokens", "prompt tokens computed")                                 \
    X(OB_GENERATED_TOKENS, "generated_tokens", "tokens sampled")

#define OB_COUNTER_ENUM(id, name, help) id,
enum ob_counter { OB_COUNTER_TABLE(OB_COUNTER_ENUM) OB_COUNTER_COUNT };
#undef OB_COUNTER_ENUM

struct ob_counters {
    _Atomic uint64_t values[OB_COUNTER_COUNT];
};

static inline void ob_count(struct ob_counters *counters, enum ob_counter counter, uint64_t amount)
{
    atomic_fetch_add_explicit(&counters->values[counter], amount, memory_order_relaxed);
}

uint64_t ob_counter_get(const struct ob_counters *counters, enum ob_counter counter);
const char *ob_counter_name(enum ob_counter counter); /* "unknown" outside the table */
const char *ob_counter_help(enum ob_counter counter);

#endif
