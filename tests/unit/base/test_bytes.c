/* Cursor: values at every width, overrun at each width, stickiness; string views. */
#include "base/bytes.h"

#include "harness/test.h"

static const uint8_t bytes[] = {0x01, 0x82, 0x03, 0x84, 0x05, 0x86, 0x07, 0x88, 0x99};

TEST(reads_little_endian)
{
    struct hs_cursor cursor = hs_cursor_over(bytes, sizeof bytes);
    CHECK(hs_cursor_u8(&cursor) == 0x01);
    CHECK(hs_cursor_u16(&cursor) == 0x0382); /* unaligned */
    CHECK(hs_cursor_u32(&cursor) == 0x07860584);
    CHECK_INT(hs_cursor_left(&cursor), 2);
    cursor = hs_cursor_over(bytes + 1, 8);
    CHECK(hs_cursor_u64(&cursor) == UINT64_C(0x9988078605840382));
    CHECK(!cursor.failed && hs_cursor_left(&cursor) == 0);
}

TEST(reads_floats)
{
    static const uint8_t floats[] = {0x00, 0x00, 0xC0, 0xBF, 0, 0, 0, 0, 0, 0, 0x04, 0x40};
    struct hs_cursor cursor = hs_cursor_over(floats, sizeof floats);
    CHECK(hs_cursor_f32(&cursor) == -1.5f);
    CHECK(hs_cursor_f64(&cursor) == 2.5);
    CHECK(!cursor.failed);
}

/* Reads one value of the given kind; true when it is 0. */
static bool reads_zero(struct hs_cursor *cursor, int kind)
{
    switch (kind) {
    case 0:
        return hs_cursor_u8(cursor) == 0;
    case 1:
        return hs_cursor_u16(cursor) == 0;
    case 2:
        return hs_cursor_u32(cursor) == 0;
    case 3:
        return hs_cursor_u64(cursor) == 0;
    case 4:
        return hs_cursor_f32(cursor) == 0;
    default:
        return hs_cursor_f64(cursor) == 0;
    }
}

TEST(overrun_at_each_width_is_sticky)
{
    static const size_t widths[] = {1, 2, 4, 8, 4, 8};
    for (int kind = 0; kind < 6; kind++) {
        for (size_t size = 0; size <= widths[kind]; size++) {
            struct hs_cursor cursor = hs_cursor_over(bytes, size);
            bool zero = reads_zero(&cursor, kind);
            if (size == widths[kind]) {
                CHECK(!zero && !cursor.failed && cursor.at == size);
                continue;
            }
            CHECK(zero && cursor.failed && cursor.at == 0);
            CHECK_INT(hs_cursor_left(&cursor), 0);
            CHECK(hs_cursor_u8(&cursor) == 0); /* though a byte would be there */
            CHECK(!hs_cursor_take(&cursor, 0));
            CHECK(cursor.failed && cursor.at == 0);
        }
    }
}

TEST(takes_views)
{
    struct hs_cursor cursor = hs_cursor_over(bytes, sizeof bytes);
    CHECK(hs_cursor_take(&cursor, 4) == bytes);
    CHECK(hs_cursor_take(&cursor, 0) == bytes + 4);
    CHECK(hs_cursor_take(&cursor, 5) == bytes + 4);
    CHECK(!cursor.failed);
    CHECK(hs_cursor_take(&cursor, 0) == bytes + 9 && !cursor.failed);
    CHECK(!hs_cursor_take(&cursor, 1) && cursor.failed);
    cursor = hs_cursor_over(bytes, sizeof bytes);
    (void)hs_cursor_u8(&cursor);
    CHECK(!hs_cursor_take(&cursor, UINT64_MAX) && cursor.failed); /* no wrap */
    cursor = hs_cursor_over(NULL, 0);
    CHECK(!hs_cursor_take(&cursor, 0) && !cursor.failed);
    CHECK(hs_cursor_u8(&cursor) == 0 && cursor.failed);
}

TEST(views_compare)
{
    struct hs_str view = {"abcd", 3};
    CHECK(hs_str_is(view, "abc"));
    CHECK(!hs_str_is(view, "abcd") && !hs_str_is(view, "ab") && !hs_str_is(view, "abd"));
    CHECK(hs_str_equal((struct hs_str){NULL, 0}, hs_str_of("")));
    char text[16];
    (void)snprintf(text, sizeof text, "%.*s", HS_STR(view));
    CHECK_TEXT(text, "abc");
}

TEST_MAIN()
