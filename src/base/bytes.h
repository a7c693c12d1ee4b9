/*
 * Bounded cursor over untrusted bytes, little endian.
 *
 * The error is sticky: after a read past the end `failed` is set, every later read gives 0 and does
 * not move; callers check once per record. A string view (struct hs_str) is not 0-terminated.
 */
#ifndef HASTEN_BASE_BYTES_H
#define HASTEN_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct hs_str {
    const char *data;
    size_t size_bytes;
};

/* View of a C string. */
static inline struct hs_str hs_str_of(const char *text)
{
    return (struct hs_str){text, strlen(text)};
}

static inline bool hs_str_equal(struct hs_str a, struct hs_str b)
{
    return a.size_bytes == b.size_bytes &&
           (a.size_bytes == 0 || memcmp(a.data, b.data, a.size_bytes) == 0);
}

static inline bool hs_str_is(struct hs_str a, const char *text)
{
    return hs_str_equal(a, hs_str_of(text));
}

/* printf helpers: printf("%.*s", HS_STR(view)) */
#define HS_STR(s) (int)(s).size_bytes, (s).data

struct hs_cursor {
    const uint8_t *data;
    size_t size_bytes;
    size_t at;
    bool failed;
};

struct hs_cursor hs_cursor_over(const void *data, size_t size_bytes);
size_t hs_cursor_left(const struct hs_cursor *cursor); /* 0 after a failure */
uint8_t hs_cursor_u8(struct hs_cursor *cursor);
uint16_t hs_cursor_u16(struct hs_cursor *cursor);
uint32_t hs_cursor_u32(struct hs_cursor *cursor);
uint64_t hs_cursor_u64(struct hs_cursor *cursor);
float hs_cursor_f32(struct hs_cursor *cursor);
double hs_cursor_f64(struct hs_cursor *cursor);
/* View of the next size_bytes bytes (NULL, sticky failure when not there). */
const uint8_t *hs_cursor_take(struct hs_cursor *cursor, uint64_t size_bytes);

#endif
