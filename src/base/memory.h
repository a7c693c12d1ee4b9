/*
 * Memory: the one place that calls malloc and mmap.
 *
 * Everything is allocated through here, so that tests can count allocations (steady-state decoding
 * must make none) and make the n-th one fail. Lifetimes form a tree (process > model > request >
 * run), an arena each. All functions are thread-safe except that one arena belongs to one thread at
 * a time.
 */
#ifndef HASTEN_BASE_MEMORY_H
#define HASTEN_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Checked size arithmetic: true and *out set when the result fits, false (out untouched) if not. */
bool hs_size_add(size_t a, size_t b, size_t *out);
bool hs_size_mul(size_t a, size_t b, size_t *out);
/* Rounds up to a multiple of align (a power of two); false on overflow. */
bool hs_size_align(size_t size, size_t align, size_t *out);

/* Heap. hs_alloc gives uninitialised, hs_calloc zeroed memory; NULL when out of memory or when
 * count*size overflows; size 0 gives a unique non-NULL pointer. hs_free(NULL) is allowed. */
void *hs_alloc(size_t size) __attribute__((malloc));
void *hs_calloc(size_t count, size_t size) __attribute__((malloc));
/* Grows or shrinks to count*size bytes; on NULL the old block stays valid. */
void *hs_realloc(void *block, size_t count, size_t size);
void hs_free(void *block);
/* Copy of a C string / of length bytes plus a final 0; NULL when out of memory. */
char *hs_strdup(const char *text);
char *hs_strndup(const char *text, size_t length);

/* Number of allocations (hs_alloc, hs_calloc, hs_realloc, hs_block_new, arena chunks) so far, by
 * all threads. */
uint64_t hs_alloc_count(void);
/* Allocations that were not freed yet, of the same kinds; for tests that look for leaks. */
uint64_t hs_alloc_live(void);
/* Test hook: the n-th allocation from now (1 = next) returns NULL; 0 switches off. When persist is
 * true all later ones fail too. */
void hs_alloc_fail_at(uint64_t n, bool persist);

/*
 * Large zeroed block from mmap, 2 MiB aligned, transparent huge pages asked for. size_bytes > 0.
 * Pages are touched lazily. hs_block_free(NULL, 0) is allowed.
 */
void *hs_block_new(size_t size_bytes);
void hs_block_free(void *block, size_t size_bytes);

/*
 * Address space without memory, for data whose size is known as a bound only: a part can be touched
 * once it was committed (zeroed), first and size_bytes in any grain. Freed with hs_block_free over
 * the bytes that are left. hs_reserve_cut gives back what lies behind the first keep_bytes (rounded
 * up to whole pages) and returns the new size.
 */
void *hs_reserve_new(size_t size_bytes);
bool hs_reserve_commit(void *block, size_t first, size_t size_bytes);
size_t hs_reserve_cut(void *block, size_t size_bytes, size_t keep_bytes);

/* Arena: bump allocation, freed as a whole; chunks grow geometrically from 4 KiB. Zero-initialise
 * ({0}) to make an empty one. Memory from it is zeroed. */
struct hs_arena {
    struct hs_arena_chunk *chunks;
    size_t used_bytes; /* sum of the sizes handed out */
};

/* count*size zeroed bytes aligned to 16; NULL when out of memory or on overflow. */
void *hs_arena_alloc(struct hs_arena *arena, size_t count, size_t size);
/* Copy of text[0..length) plus a final 0. */
char *hs_arena_strndup(struct hs_arena *arena, const char *text, size_t length);
/* printf into the arena. */
char *hs_arena_printf(struct hs_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Frees everything; the arena is empty and usable again. */
void hs_arena_free(struct hs_arena *arena);

/* Growing byte buffer (text rendering, file writing). Zero-initialise. data is always followed by a
 * 0 byte once something was appended. After a failed append `failed` stays set and later appends do
 * nothing, so callers check once at the end. */
struct hs_buffer {
    char *data;
    size_t size_bytes;
    size_t capacity_bytes;
    bool failed;
};

/* Makes room for size_bytes more: appends up to there allocate nothing. */
void hs_buffer_reserve(struct hs_buffer *buffer, size_t size_bytes);
void hs_buffer_append(struct hs_buffer *buffer, const void *data, size_t size_bytes);
void hs_buffer_printf(struct hs_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void hs_buffer_clear(struct hs_buffer *buffer); /* size 0, not failed, keeps the memory */
void hs_buffer_free(struct hs_buffer *buffer);

#endif
