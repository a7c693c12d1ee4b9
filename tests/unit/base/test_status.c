/* Status table, error record: filling, cutting, place, NULL records, the two macros. */
#include "base/status.h"

#include "harness/test.h"

TEST(status_names_and_exit_codes)
{
    CHECK_TEXT(hs_status_name(HASTEN_OK), "ok");
    CHECK_TEXT(hs_status_name(HASTEN_CORRUPT_INPUT), "corrupt_input");
    CHECK_TEXT(hs_status_name(HASTEN_INTERNAL), "internal");
    CHECK_TEXT(hs_status_name(HASTEN_STATUS_COUNT), "unknown");
    CHECK_TEXT(hs_status_name((enum hasten_status) - 1), "unknown");
    CHECK_INT(hs_status_exit_code(HASTEN_OK), 0);
    CHECK_INT(hs_status_exit_code(HASTEN_INVALID_ARGUMENT), 2);
    CHECK_INT(hs_status_exit_code(HASTEN_IO), 1);
    CHECK_INT(hs_status_exit_code((enum hasten_status)99), 1);
}

TEST(fail_fills_the_record)
{
    struct hs_error error;
    memset(&error, 'x', sizeof error);
    CHECK_INT(hs_fail(&error, HASTEN_LIMIT, "use %d less", "%d of %s", 7, "eight"), HASTEN_LIMIT);
    CHECK_INT(error.status, HASTEN_LIMIT);
    CHECK_TEXT(error.message, "7 of eight");
    CHECK_TEXT(error.hint, "use %d less"); /* the hint is no format */
    CHECK_TEXT(error.place, "");
    CHECK_INT(hs_fail(&error, HASTEN_IO, NULL, "again: %s", error.message), HASTEN_IO);
    CHECK_TEXT(error.message, "again: 7 of eight");
    CHECK_TEXT(error.hint, "");
    hs_error_clear(&error);
    CHECK_INT(error.status, HASTEN_OK);
    CHECK_TEXT(error.message, "");
}

TEST(innermost_place_wins)
{
    struct hs_error error;
    hs_fail(&error, HASTEN_IO, NULL, "no");
    CHECK_INT(hs_error_at(&error, "file %d", 1), HASTEN_IO);
    CHECK_INT(hs_error_at(&error, "file %d", 2), HASTEN_IO);
    CHECK_TEXT(error.place, "file 1");
    hs_fail(&error, HASTEN_IO, NULL, "a new failure has no place yet");
    CHECK_TEXT(error.place, "");
}

TEST(null_record_is_allowed)
{
    CHECK_INT(hs_fail(NULL, HASTEN_TIMEOUT, "hint", "message"), HASTEN_TIMEOUT);
    hs_error_clear(NULL);
    CHECK(hs_error_at(NULL, "place") != HASTEN_OK);
}

TEST(long_texts_are_cut_between_characters)
{
    struct hs_error error;
    char text[1000];
    memset(text, 'm', sizeof text);
    text[sizeof text - 1] = 0;
    hs_fail(&error, HASTEN_IO, text, "%s", text);
    hs_error_at(&error, "%s", text);
    CHECK_INT(strlen(error.message), sizeof error.message - 1);
    CHECK_INT(strlen(error.hint), sizeof error.hint - 1);
    CHECK_INT(strlen(error.place), sizeof error.place - 1);
    /* The last field byte falls into a character of 2, 3 or 4 bytes, at each of its positions. */
    static const char *const characters[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t c = 0; c < 3; c++) {
        size_t width = strlen(characters[c]);
        for (size_t inside = 1; inside <= width; inside++) {
            size_t before = sizeof error.message - 1 - inside;
            memset(text, 'm', before);
            memcpy(text + before, characters[c], width);
            memcpy(text + before + width, "tail", sizeof "tail");
            hs_fail(&error, HASTEN_IO, NULL, "%s", text);
            CHECK_INT(strlen(error.message), inside == width ? before + width : before);
        }
    }
}

static enum hasten_status tried(enum hasten_status first, int *reached)
{
    HS_TRY(first);
    ++*reached;
    return HASTEN_OK;
}

static enum hasten_status tried_goto(enum hasten_status first, int *reached)
{
    enum hasten_status status;
    HS_TRY_GOTO(status, first, done);
    ++*reached;
done:
    return status;
}

TEST(macros_leave_on_failure_only)
{
    int reached = 0;
    CHECK_INT(tried(HASTEN_OK, &reached), HASTEN_OK);
    CHECK_INT(tried_goto(HASTEN_OK, &reached), HASTEN_OK);
    CHECK_INT(reached, 2);
    CHECK_INT(tried(HASTEN_AGAIN, &reached), HASTEN_AGAIN);
    CHECK_INT(tried_goto(HASTEN_AGAIN, &reached), HASTEN_AGAIN);
    CHECK_INT(reached, 2);
}

TEST_MAIN()
