/*
 * Heap, large blocks, arenas and growing buffers.
 *
 * Every allocation takes a ticket from one process-wide counter; a failure is injected by naming
 * the ticket that shall fail. One relaxed add an allocation buys exact counts over all threads,
 * which is cheap beside malloc and never on the compute path (that allocates nothing).
 * Invariants: arena memory is zero when handed out (chunks come from calloc and are never reused);
 * a buffer with data != NULL holds a 0 byte at data[size_bytes].
 */
#include "base/memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE_BYTES       ((size_t)2 << 20)
#define ARENA_ALIGN           ((size_t)16)
#define ARENA_FIRST_CHUNK     ((size_t)4096)
#define ARENA_CHUNK_LIMIT     ((size_t)16 << 20) /* growth stops doubling here */
#define BUFFER_FIRST_CAPACITY ((size_t)64)

static _Atomic uint64_t tickets_taken;
static _Atomic uint64_t live_blocks;
static _Atomic uint64_t ticket_to_fail; /* 0: none */
static atomic_bool fail_persists;

/* --- sizes --- */

bool hs_size_add(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

bool hs_size_mul(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

bool hs_size_align(size_t size, size_t align, size_t *out)
{
    size_t raised;
    if (!hs_size_add(size, align - 1, &raised))
        return false;
    *out = raised & ~(align - 1);
    return true;
}

/* --- heap --- */

/* Counts one allocation; false when it is the one that a test wants to fail. */
static bool take_ticket(void)
{
    uint64_t ticket = atomic_fetch_add_explicit(&tickets_taken, 1, memory_order_relaxed) + 1;
    uint64_t failing = atomic_load_explicit(&ticket_to_fail, memory_order_relaxed);
    if (failing == 0 || ticket < failing)
        return true;
    return ticket != failing && !atomic_load_explicit(&fail_persists, memory_order_relaxed);
}

uint64_t hs_alloc_count(void)
{
    return atomic_load_explicit(&tickets_taken, memory_order_relaxed);
}

void hs_alloc_fail_at(uint64_t n, bool persist)
{
    atomic_store_explicit(&ticket_to_fail, 0, memory_order_relaxed);
    atomic_store_explicit(&fail_persists, persist, memory_order_relaxed);
    if (n > 0)
        atomic_store_explicit(&ticket_to_fail, hs_alloc_count() + n, memory_order_relaxed);
}

uint64_t hs_alloc_live(void)
{
    return atomic_load_explicit(&live_blocks, memory_order_relaxed);
}

/* Counts a block that was handed out; NULL is none. */
static void *count_block(void *block)
{
    if (block)
        atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    return block;
}

static void forget_block(const void *block)
{
    if (block)
        atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
}

void *hs_alloc(size_t size)
{
    return take_ticket() ? count_block(malloc(size > 0 ? size : 1)) : NULL;
}

void *hs_calloc(size_t count, size_t size)
{
    size_t total;
    if (!hs_size_mul(count, size, &total) || !take_ticket())
        return NULL;
    return count_block(calloc(1, total > 0 ? total : 1));
}

void *hs_realloc(void *block, size_t count, size_t size)
{
    size_t total;
    if (!hs_size_mul(count, size, &total) || !take_ticket())
        return NULL;
    void *moved = realloc(block, total > 0 ? total : 1);
    return block ? moved : count_block(moved);
}

void hs_free(void *block)
{
    forget_block(block);
    free(block);
}

char *hs_strndup(const char *text, size_t length)
{
    size_t total;
    char *copy = hs_size_add(length, 1, &total) ? hs_alloc(total) : NULL;
    if (!copy)
        return NULL;
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

char *hs_strdup(const char *text)
{
    return hs_strndup(text, strlen(text));
}

/* --- large blocks --- */

static size_t small_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void *hs_block_new(size_t size_bytes)
{
    size_t rounded, mapped_bytes;
    if (size_bytes == 0 || !hs_size_align(size_bytes, small_page_bytes(), &rounded) ||
        !hs_size_add(rounded, HUGE_PAGE_BYTES, &mapped_bytes) || !take_ticket())
        return NULL;
    /* mmap aligns to small pages only: map 2 MiB more, then cut off both ends. */
    void *mapped =
        mmap(NULL, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    char *start = mapped;
    size_t before = (HUGE_PAGE_BYTES - (uintptr_t)start % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
    size_t after = mapped_bytes - before - rounded;
    if (before > 0)
        munmap(start, before);
    if (after > 0)
        munmap(start + before + rounded, after);
    /* Only advice: a kernel without huge pages gives small ones. */
    (void)madvise(start + before, rounded, MADV_HUGEPAGE);
    return count_block(start + before);
}

void hs_block_free(void *block, size_t size_bytes)
{
    forget_block(block);
    if (block)
        munmap(block, size_bytes); /* rounds up to pages as hs_block_new did */
}

/* --- address space --- */

void *hs_reserve_new(size_t size_bytes)
{
    if (size_bytes == 0 || !take_ticket())
        return NULL;
    void *block =
        mmap(NULL, size_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return block == MAP_FAILED ? NULL : count_block(block);
}

bool hs_reserve_commit(void *block, size_t first, size_t size_bytes)
{
    size_t start = first & ~(small_page_bytes() - 1);
    return take_ticket() && mprotect((char *)block + start, size_bytes + (first - start),
                                     PROT_READ | PROT_WRITE) == 0;
}

size_t hs_reserve_cut(void *block, size_t size_bytes, size_t keep_bytes)
{
    size_t keep;
    if (keep_bytes == 0 || !hs_size_align(keep_bytes, small_page_bytes(), &keep) ||
        keep >= size_bytes)
        return size_bytes;
    munmap((char *)block + keep, size_bytes - keep);
    return keep;
}

/* --- arenas --- */

struct hs_arena_chunk {
    struct hs_arena_chunk *next; /* older chunk */
    size_t capacity_bytes;       /* of the part behind the header */
    size_t used_bytes;
    size_t unused; /* keeps the header a multiple of ARENA_ALIGN */
};

_Static_assert(sizeof(struct hs_arena_chunk) % 16 == 0, "data behind the header is 16-aligned");

/* Puts a chunk with room for at least `wanted` bytes in front; false when out of memory. */
static bool arena_grow(struct hs_arena *arena, size_t wanted)
{
    size_t capacity = ARENA_FIRST_CHUNK - sizeof(struct hs_arena_chunk), total;
    if (arena->chunks) {
        size_t last = arena->chunks->capacity_bytes + sizeof(struct hs_arena_chunk);
        size_t next = last < ARENA_CHUNK_LIMIT / 2 ? last * 2 : ARENA_CHUNK_LIMIT;
        capacity = next - sizeof(struct hs_arena_chunk);
    }
    if (capacity < wanted)
        capacity = wanted;
    if (!hs_size_add(capacity, sizeof(struct hs_arena_chunk), &total))
        return false;
    struct hs_arena_chunk *chunk = hs_calloc(1, total);
    if (!chunk)
        return false;
    chunk->capacity_bytes = capacity;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return true;
}

void *hs_arena_alloc(struct hs_arena *arena, size_t count, size_t size)
{
    size_t wanted, rounded;
    if (!hs_size_mul(count, size, &wanted) ||
        !hs_size_align(wanted > 0 ? wanted : 1, ARENA_ALIGN, &rounded))
        return NULL;
    struct hs_arena_chunk *chunk = arena->chunks;
    if (!chunk || chunk->capacity_bytes - chunk->used_bytes < rounded) {
        if (!arena_grow(arena, rounded))
            return NULL;
        chunk = arena->chunks;
    }
    char *memory = (char *)(chunk + 1) + chunk->used_bytes;
    chunk->used_bytes += rounded;
    arena->used_bytes += wanted;
    return memory;
}

char *hs_arena_strndup(struct hs_arena *arena, const char *text, size_t length)
{
    size_t total;
    char *copy = hs_size_add(length, 1, &total) ? hs_arena_alloc(arena, total, 1) : NULL;
    if (copy && length > 0)
        memcpy(copy, text, length);
    return copy;
}

char *hs_arena_printf(struct hs_arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *text = length < 0 ? NULL : hs_arena_alloc(arena, (size_t)length + 1, 1);
    if (text)
        (void)vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(arguments);
    return text;
}

void hs_arena_free(struct hs_arena *arena)
{
    struct hs_arena_chunk *chunk = arena->chunks;
    while (chunk) {
        struct hs_arena_chunk *next = chunk->next;
        hs_free(chunk);
        chunk = next;
    }
    *arena = (struct hs_arena){0};
}

/* --- buffers --- */

/* Makes room for size_bytes more and the final 0; sets failed when out of memory. */
static bool buffer_reserve(struct hs_buffer *buffer, size_t size_bytes)
{
    size_t wanted;
    if (buffer->failed)
        return false;
    if (!hs_size_add(buffer->size_bytes, size_bytes, &wanted) || !hs_size_add(wanted, 1, &wanted)) {
        buffer->failed = true;
        return false;
    }
    if (wanted <= buffer->capacity_bytes)
        return true;
    size_t capacity = buffer->capacity_bytes;
    if (capacity < BUFFER_FIRST_CAPACITY)
        capacity = BUFFER_FIRST_CAPACITY;
    else if (!hs_size_add(capacity, capacity, &capacity))
        capacity = wanted;
    if (capacity < wanted)
        capacity = wanted;
    char *data = hs_realloc(buffer->data, capacity, 1);
    if (!data) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity_bytes = capacity;
    return true;
}

void hs_buffer_reserve(struct hs_buffer *buffer, size_t size_bytes)
{
    if (buffer_reserve(buffer, size_bytes) && buffer->size_bytes == 0)
        buffer->data[0] = 0;
}

void hs_buffer_append(struct hs_buffer *buffer, const void *data, size_t size_bytes)
{
    if (!buffer_reserve(buffer, size_bytes))
        return;
    if (size_bytes > 0)
        memcpy(buffer->data + buffer->size_bytes, data, size_bytes);
    buffer->size_bytes += size_bytes;
    buffer->data[buffer->size_bytes] = 0;
}

void hs_buffer_printf(struct hs_buffer *buffer, const char *format, ...)
{
    va_list arguments, again;
    size_t room = buffer->failed ? 0 : buffer->capacity_bytes - buffer->size_bytes;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length =
        vsnprintf(room > 0 ? buffer->data + buffer->size_bytes : NULL, room, format, arguments);
    if (length < 0) {
        buffer->failed = true;
    } else if (buffer_reserve(buffer, (size_t)length)) {
        if ((size_t)length >= room) /* it was cut */
            (void)vsnprintf(buffer->data + buffer->size_bytes, (size_t)length + 1, format, again);
        buffer->size_bytes += (size_t)length;
    } else if (room > 0) {
        buffer->data[buffer->size_bytes] = 0;
    }
    va_end(again);
    va_end(arguments);
}

void hs_buffer_clear(struct hs_buffer *buffer)
{
    buffer->size_bytes = 0;
    buffer->failed = false;
    if (buffer->data)
        buffer->data[0] = 0;
}

void hs_buffer_free(struct hs_buffer *buffer)
{
    hs_free(buffer->data);
    *buffer = (struct hs_buffer){0};
}
