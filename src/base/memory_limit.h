/*
 * How much memory this process can still get without making the system swap or kill: what the
 * system calls available, or less where a control group (container) has a limit. An estimate of the
 * moment. Thread-safe.
 */
#ifndef HASTEN_BASE_MEMORY_LIMIT_H
#define HASTEN_BASE_MEMORY_LIMIT_H

#include <stdint.h>

/* UINT64_MAX when the system does not say. */
uint64_t hs_memory_available_bytes(void);
/* Test hook: says this from now on; 0: the truth again. */
void hs_memory_pretend(uint64_t available_bytes);
/* The number behind `name` in a text of lines "name number", as in /proc/meminfo and memory.stat;
 * UINT64_MAX when it is not there or no number. */
uint64_t hs_memory_figure(const char *text, const char *name);

#endif
