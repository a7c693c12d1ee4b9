/* Names and reading of the counters in the table of counters.h. Thread-safe. */
#include "observe/counters.h"

#define COUNTER_NAME(id, name, help) name,
static const char *const counter_names[] = {OB_COUNTER_TABLE(COUNTER_NAME)};
#undef COUNTER_NAME
#define COUNTER_HELP(id, name, help) help,
static const char *const counter_helps[] = {OB_COUNTER_TABLE(COUNTER_HELP)};
#undef COUNTER_HELP

uint64_t ob_counter_get(const struct ob_counters *counters, enum ob_counter counter)
{
    return atomic_load_explicit(&counters->values[counter], memory_order_relaxed);
}

const char *ob_counter_name(enum ob_counter counter)
{
    return (unsigned)counter < OB_COUNTER_COUNT ? counter_names[counter] : "unknown";
}

const char *ob_counter_help(enum ob_counter counter)
{
    return (unsigned)counter < OB_COUNTER_COUNT ? counter_helps[counter] : "unknown";
}
