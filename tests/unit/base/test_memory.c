/* Checked sizes, heap with failure injection, large blocks, arenas, buffers. */
#include "base/memory.h"

#include <unistd.h>

#include "harness/test.h"

TEST(size_arithmetic)
{
    size_t out = 5;
    CHECK(hs_size_add(2, 3, &out) && out == 5);
    CHECK(hs_size_add(SIZE_MAX, 0, &out) && out == SIZE_MAX);
    out = 5;
    CHECK(!hs_size_add(SIZE_MAX, 1, &out) && out == 5);
    CHECK(hs_size_mul(1u << 31, 1u << 31, &out) && out == (size_t)1 << 62);
    out = 5;
    CHECK(!hs_size_mul((size_t)1 << 32, (size_t)1 << 32, &out) && out == 5);
    CHECK(hs_size_mul(SIZE_MAX, 0, &out) && out == 0);
    CHECK(hs_size_align(0, 64, &out) && out == 0);
    CHECK(hs_size_align(1, 64, &out) && out == 64);
    CHECK(hs_size_align(64, 64, &out) && out == 64);
    CHECK(hs_size_align(SIZE_MAX - 63, 64, &out) && out == SIZE_MAX - 63);
    out = 5;
    CHECK(!hs_size_align(SIZE_MAX - 62, 64, &out) && out == 5);
}

TEST(heap_basics)
{
    void *a = hs_alloc(0), *b = hs_alloc(0);
    CHECK(a && b && a != b);
    hs_free(a);
    hs_free(b);
    hs_free(NULL);
    unsigned char *zeroed = hs_calloc(1000, 3);
    CHECK(zeroed);
    for (int i = 0; i < 3000; i++)
        CHECK(zeroed[i] == 0);
    zeroed[0] = 7;
    zeroed = hs_realloc(zeroed, 4, 1);
    CHECK(zeroed && zeroed[0] == 7);
    zeroed = hs_realloc(zeroed, 1 << 20, 1);
    CHECK(zeroed && zeroed[0] == 7);
    CHECK(!hs_realloc(zeroed, SIZE_MAX / 2, 3)); /* overflow: the old block stays */
    CHECK(zeroed[0] == 7);
    hs_free(zeroed);
    CHECK(!hs_calloc(SIZE_MAX / 2, 3));
    char *copy = hs_strdup("text");
    CHECK_TEXT(copy, "text");
    hs_free(copy);
    copy = hs_strndup("text", 2);
    CHECK_TEXT(copy, "te");
    hs_free(copy);
    copy = hs_strndup(NULL, 0);
    CHECK_TEXT(copy, "");
    hs_free(copy);
    CHECK(!hs_strndup("text", SIZE_MAX));
}

TEST(allocations_are_counted)
{
    uint64_t before = hs_alloc_count();
    void *blocks[] = {hs_alloc(1), hs_calloc(1, 1), hs_strdup("a")};
    blocks[0] = hs_realloc(blocks[0], 2, 1);
    void *block = hs_block_new(1);
    struct hs_arena arena = {0};
    CHECK(hs_arena_alloc(&arena, 1, 8) && hs_arena_alloc(&arena, 1, 8)); /* one chunk */
    CHECK_INT(hs_alloc_count() - before, 6);
    hs_arena_free(&arena);
    hs_block_free(block, 1);
    for (int i = 0; i < 3; i++)
        hs_free(blocks[i]);
    CHECK_INT(hs_alloc_count() - before, 6);
}

TEST(injected_failures)
{
    hs_alloc_fail_at(2, false);
    void *first = hs_alloc(1), *second = hs_alloc(1), *third = hs_alloc(1);
    hs_alloc_fail_at(0, false);
    CHECK(first && !second && third);
    hs_free(first);
    hs_free(third);
    hs_alloc_fail_at(1, true);
    void *none[] = {hs_alloc(1), hs_calloc(1, 1), hs_strdup("a"), hs_block_new(1),
                    hs_realloc(NULL, 1, 1)};
    hs_alloc_fail_at(0, true);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        CHECK(!none[i]);
    void *after = hs_alloc(1);
    CHECK(after);
    hs_free(after);
}

TEST(large_blocks_are_aligned_and_zero)
{
    static const size_t sizes[] = {1, 4096, 4097, (size_t)2 << 20, ((size_t)2 << 20) + 1, 12345678};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *block = hs_block_new(sizes[i]);
        CHECK(block);
        CHECK_INT((uintptr_t)block % ((size_t)2 << 20), 0);
        CHECK(block[0] == 0 && block[sizes[i] / 2] == 0 && block[sizes[i] - 1] == 0);
        memset(block, 1, sizes[i]);
        hs_block_free(block, sizes[i]);
    }
    CHECK(!hs_block_new(0));
    CHECK(!hs_block_new(SIZE_MAX));
    CHECK(!hs_block_new(SIZE_MAX / 2));
    hs_block_free(NULL, 0);
}

TEST(arena_hands_out_zeroed_aligned_memory)
{
    struct hs_arena arena = {0};
    size_t total = 0;
    unsigned char *last = NULL;
    for (size_t i = 0; i < 3000; i++) {
        size_t size = i % 97 * (i % 11);
        unsigned char *memory = hs_arena_alloc(&arena, size, 1);
        CHECK(memory && memory != last);
        CHECK_INT((uintptr_t)memory % 16, 0);
        for (size_t k = 0; k < size; k++)
            CHECK(memory[k] == 0);
        memset(memory, 0xEE, size);
        total += size;
        last = memory;
    }
    CHECK_INT(arena.used_bytes, total);
    unsigned char *large = hs_arena_alloc(&arena, 40u << 20, 1); /* larger than any chunk */
    CHECK(large && large[0] == 0 && large[(40u << 20) - 1] == 0);
    CHECK(hs_arena_alloc(&arena, 1, 1));
    CHECK(!hs_arena_alloc(&arena, SIZE_MAX / 2, 3));
    CHECK(!hs_arena_alloc(&arena, SIZE_MAX - 8, 1));
    hs_arena_free(&arena);
    CHECK(!arena.chunks && arena.used_bytes == 0);
    CHECK(hs_arena_alloc(&arena, 1, 1)); /* usable again */
    hs_arena_free(&arena);
}

TEST(arena_texts)
{
    struct hs_arena arena = {0};
    CHECK_TEXT(hs_arena_strndup(&arena, "abcdef", 3), "abc");
    CHECK_TEXT(hs_arena_strndup(&arena, NULL, 0), "");
    CHECK_TEXT(hs_arena_printf(&arena, "%s.%d", "blk", 12), "blk.12");
    char *wide = hs_arena_printf(&arena, "%9999d", 5);
    CHECK(wide && strlen(wide) == 9999 && wide[9998] == '5');
    hs_alloc_fail_at(1, true);
    char *none = hs_arena_printf(&arena, "%99999d", 5);
    hs_alloc_fail_at(0, false);
    CHECK(!none);
    CHECK_TEXT(hs_arena_printf(&arena, "still usable"), "still usable");
    hs_arena_free(&arena);
}

TEST(buffer_grows_and_is_terminated)
{
    struct hs_buffer buffer = {0};
    hs_buffer_append(&buffer, NULL, 0);
    CHECK_TEXT(buffer.data, "");
    for (int i = 0; i < 1000; i++) {
        hs_buffer_append(&buffer, "ab", 2);
        CHECK(buffer.data[buffer.size_bytes] == 0);
    }
    CHECK_INT(strlen(buffer.data), 2000);
    hs_buffer_printf(&buffer, "<%500d>", 3);
    CHECK_INT(buffer.size_bytes, 2502);
    CHECK_TEXT(buffer.data + 2500, "3>");
    uint64_t before = hs_alloc_count();
    hs_buffer_clear(&buffer);
    CHECK_TEXT(buffer.data, "");
    hs_buffer_printf(&buffer, "%d", 42);
    CHECK_TEXT(buffer.data, "42");
    CHECK_INT(hs_alloc_count(), before);
    hs_buffer_free(&buffer);
    CHECK(!buffer.data && buffer.capacity_bytes == 0);
}

TEST(buffer_failure_is_sticky)
{
    struct hs_buffer buffer = {0};
    hs_buffer_append(&buffer, "begin", 5);
    hs_alloc_fail_at(1, false);
    hs_buffer_printf(&buffer, "%1000d", 1);
    hs_alloc_fail_at(0, false);
    CHECK(buffer.failed);
    hs_buffer_append(&buffer, "x", 1);
    CHECK_TEXT(buffer.data, "begin");
    hs_buffer_clear(&buffer);
    hs_buffer_append(&buffer, "x", 1);
    CHECK(!buffer.failed);
    CHECK_TEXT(buffer.data, "x");
    hs_buffer_append(&buffer, "x", SIZE_MAX - 1);
    CHECK(buffer.failed);
    hs_buffer_free(&buffer);
}

TEST(live_blocks_are_counted)
{
    uint64_t live = hs_alloc_live();
    void *a = hs_alloc(1), *b = hs_calloc(2, 3), *c = hs_realloc(NULL, 4, 5), *d = hs_block_new(1);
    struct hs_arena arena = {0};
    CHECK(a && b && c && d && hs_arena_alloc(&arena, 1, 1));
    CHECK_INT(hs_alloc_live() - live, 5);
    c = hs_realloc(c, 10000, 5);
    CHECK_INT(hs_alloc_live() - live, 5);
    hs_alloc_fail_at(1, true);
    CHECK(!hs_alloc(1) && !hs_realloc(c, 1, 1) && !hs_block_new(1) && !hs_reserve_new(1));
    hs_alloc_fail_at(0, false);
    CHECK_INT(hs_alloc_live() - live, 5);
    hs_free(a);
    hs_free(b);
    hs_free(c);
    hs_free(NULL);
    hs_block_free(d, 1);
    hs_arena_free(&arena);
    CHECK_INT(hs_alloc_live(), live);
}

TEST(address_space_is_committed_in_parts)
{
    uint64_t live = hs_alloc_live();
    size_t size = (size_t)1 << 30;
    char *block = hs_reserve_new(size);
    CHECK(block && !hs_reserve_new(0));
    CHECK(hs_reserve_commit(block, 0, 5000) && hs_reserve_commit(block, 5000, 5000));
    for (int i = 0; i < 10000; i++)
        CHECK_INT(block[i], 0);
    memset(block, 1, 10000);
    CHECK_INT(hs_reserve_cut(block, size, 0), size);
    size = hs_reserve_cut(block, size, 10000);
    CHECK(size >= 10000 && size < 10000 + (size_t)sysconf(_SC_PAGESIZE));
    CHECK_INT(hs_reserve_cut(block, size, size), size);
    CHECK_INT(block[9999], 1);
    hs_block_free(block, size);
    CHECK_INT(hs_alloc_live(), live);
    CHECK(!hs_reserve_new(SIZE_MAX / 2));
}

TEST(a_buffer_prints_what_fits_and_what_does_not)
{
    struct hs_buffer buffer = {0};
    char expected[512] = "";
    for (int width = 0; width < 40; width++) { /* over the edge of every capacity on the way */
        hs_buffer_printf(&buffer, "%*d|", width % 13, width);
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%*d|",
                 width % 13, width);
        CHECK_TEXT(buffer.data, expected);
        CHECK_INT(buffer.size_bytes, strlen(expected));
    }
    hs_buffer_free(&buffer);
    hs_buffer_reserve(&buffer, 300);
    CHECK_TEXT(buffer.data, "");
    uint64_t before = hs_alloc_count();
    hs_buffer_printf(&buffer, "%300d", 7);
    CHECK_INT(hs_alloc_count() - before, 0);
    CHECK_INT(buffer.size_bytes, 300);
    hs_alloc_fail_at(1, false);
    hs_buffer_printf(&buffer, "%4000d", 7); /* too long, and no memory: as before */
    hs_alloc_fail_at(0, false);
    CHECK(buffer.failed);
    CHECK_INT(strlen(buffer.data), 300);
    hs_buffer_free(&buffer);
}

TEST_MAIN()
