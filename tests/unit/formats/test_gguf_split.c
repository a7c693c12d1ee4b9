/* Split models: a good one in three files, then every way in which parts may not belong together.
 */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/gguf.h"
#include "harness/test.h"

#include "gguf_builder.h"

#define PARTS 3

static char folder[64];

static const char *part_path(const char *stem, int number, int count)
{
    static char paths[4][160];
    static int next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s-%05d-of-%05d.gguf", folder, stem, number + 1,
                   count);
    return path;
}

static void write_bytes(const char *path, const struct hs_buffer *bytes)
{
    FILE *file = fopen(path, "wb");
    CHECK(file);
    CHECK_INT(fwrite(bytes->data, 1, bytes->size_bytes, file), bytes->size_bytes);
    CHECK_INT(fclose(file), 0);
}

static void write_part(struct gb *gb, int number)
{
    gb_finish(gb);
    write_bytes(part_path("m", number, PARTS), &gb->whole);
    gb_free(gb);
}

static void split_keys(struct gb *gb, int number, int count, int tensors)
{
    gb_scalar(gb, "split.no", GGUF_U16, (uint64_t)number, 2);
    gb_scalar(gb, "split.count", GGUF_U16, (uint64_t)count, 2);
    gb_scalar(gb, "split.tensors.count", GGUF_I32, (uint64_t)tensors, 4);
}

/* Part 0: keys and one tensor; part 1: two tensors, other alignment; part 2: one tensor. */
static void build_part(struct gb *gb, int number)
{
    if (number == 0)
        gb_text(gb, "general.architecture", "llama");
    if (number == 1) {
        gb->alignment = 64;
        gb_scalar(gb, "general.alignment", GGUF_U32, 64, 4);
    }
    split_keys(gb, number, PARTS, 4);
    if (number == 0)
        gb_tensor(gb, "a", 0, 8, 2, 64);
    if (number == 1) {
        gb_tensor(gb, "b", 0, 8, 1, 32);
        gb_tensor(gb, "c", 3, 32, 2, 40);
    }
    if (number == 2)
        gb_tensor(gb, "d", 0, 1, 1, 4);
}

static void begin(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/hasten-split-XXXXXX");
    CHECK(mkdtemp(folder));
    for (int number = 0; number < PARTS; number++) {
        struct gb gb = {0};
        build_part(&gb, number);
        write_part(&gb, number);
    }
}

static void end(void)
{
    char path[400];
    DIR *dir = opendir(folder);
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.')
            CHECK_INT(unlink(path), 0);
    }
    closedir(dir);
    CHECK_INT(rmdir(folder), 0);
}

static bool mentions(const struct hs_error *error, const char *text)
{
    return strstr(error->message, text) || strstr(error->hint, text) || strstr(error->place, text);
}

static void check_fails(const char *path, enum hasten_status expected, const char *message,
                        const char *hint, const char *place)
{
    struct hs_error error = {0};
    struct gguf_file *file = NULL;
    enum hasten_status status = gguf_open(path, &error, &file);
    if (status != expected || file || !strstr(error.message, message) ||
        !strstr(error.hint, hint) || !strstr(error.place, place))
        TEST_FAIL("%s: \"%s\", hint \"%s\", place \"%s\", expected %s, \"%s\", \"%s\", \"%s\"",
                  hs_status_name(status), error.message, error.hint, error.place,
                  hs_status_name(expected), message, hint, place);
}

static void check_first_fails(enum hasten_status expected, const char *message, const char *hint,
                              const char *place)
{
    check_fails(part_path("m", 0, PARTS), expected, message, hint, place);
}

TEST(the_first_part_opens_all)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    struct gguf_file *file = NULL;
    struct hs_error error = {0};
    uint64_t size_bytes = 0;
    begin();
    for (int number = 0; number < PARTS; number++) {
        struct stat info;
        CHECK_INT(stat(part_path("m", number, PARTS), &info), 0);
        size_bytes += (uint64_t)info.st_size;
    }
    if (gguf_open(part_path("m", 0, PARTS), &error, &file) != HASTEN_OK)
        TEST_FAIL("%s (%s)", error.message, error.place);
    CHECK_INT(file->part_count, PARTS);
    CHECK(file->size_bytes == size_bytes);
    CHECK_INT(file->tensor_count, 4);
    for (int i = 0; i < 4; i++) {
        CHECK(hs_str_is(file->tensors[i].name, names[i]));
        CHECK(gguf_find_tensor(file, names[i]) == &file->tensors[i]);
    }
    /* gb_tensor: bytes count up from the tensor's number in its file, from 1 */
    CHECK(gb_byte(file, 0, 63) == 64 && gb_byte(file, 1, 31) == 32);
    CHECK(gb_byte(file, 2, 39) == 41 && gb_byte(file, 3, 3) == 4);
    CHECK(gguf_find(file, "general.architecture") && !gguf_find(file, "general.alignment"));
    CHECK_INT(file->alignment, 32);
    gguf_release(file);
    CHECK_INT(gb_byte(file, 0, 63), -1);
    CHECK_INT(gb_byte(file, 3, 3), -1);
    CHECK(hs_str_is(file->tensors[3].name, "d"));
    gguf_close(&file);
    CHECK(!file);
    end();
}

/* What gguf-split --no-tensor-first-split writes. */
TEST(the_first_part_may_have_no_tensors)
{
    struct gguf_file *file = NULL;
    struct gb gb = {0};
    begin();
    split_keys(&gb, 0, PARTS, 3);
    write_part(&gb, 0);
    for (int number = 1; number < PARTS; number++) {
        split_keys(&gb, number, PARTS, 3);
        gb_tensor(&gb, number == 1 ? "b" : "d", 0, 1, 1, 4);
        if (number == 2)
            gb_tensor(&gb, "e", 0, 1, 1, 4);
        write_part(&gb, number);
    }
    CHECK_INT(gguf_open(part_path("m", 0, PARTS), NULL, &file), HASTEN_OK);
    CHECK(file->tensor_count == 3 && gguf_find_tensor(file, "e"));
    gguf_close(&file);
    end();
}

TEST(a_model_of_one_part_is_an_ordinary_file)
{
    for (int count = 0; count <= 1; count++) {
        struct gb gb = {0};
        split_keys(&gb, 0, count, 1);
        gb_tensor(&gb, "a", 0, 1, 1, 4);
        CHECK_INT(gb_status(&gb, NULL), HASTEN_OK);
    }
}

TEST(another_part_than_the_first)
{
    begin();
    check_fails(part_path("m", 1, PARTS), HASTEN_INVALID_ARGUMENT, "part 2 of 3",
                "open the first part: m-00001-of-00003.gguf", "m-00002-of-00003.gguf");
    CHECK_INT(rename(part_path("m", 2, PARTS), part_path("renamed", 9, 9)), 0);
    check_fails(part_path("renamed", 9, 9), HASTEN_INVALID_ARGUMENT, "part 3 of 3",
                "open the first part", "renamed");
    end();
}

TEST(names_that_were_changed)
{
    begin();
    CHECK_INT(rename(part_path("m", 0, PARTS), part_path("m", 0, 2)), 0);
    check_fails(part_path("m", 0, 2), HASTEN_INVALID_ARGUMENT, "'-00001-of-00003.gguf'",
                "published", "m-00001-of-00002.gguf");
    end();
}

TEST(a_part_that_is_missing_or_damaged)
{
    begin();
    CHECK_INT(truncate(part_path("m", 2, PARTS), 100), 0);
    check_first_fails(HASTEN_CORRUPT_INPUT, "file of 100 bytes ends inside", "download it again",
                      "m-00003-of-00003.gguf");
    CHECK_INT(unlink(part_path("m", 2, PARTS)), 0);
    check_first_fails(HASTEN_NOT_FOUND, "part 3 of 3 is missing: m-00003-of-00003.gguf",
                      "one folder", "m-00003-of-00003.gguf");
    CHECK_INT(unlink(part_path("m", 1, PARTS)), 0);
    check_first_fails(HASTEN_NOT_FOUND, "part 2 of 3 is missing: m-00002-of-00003.gguf",
                      "one folder", "m-00002-of-00003.gguf");
    end();
}

static void replace_part(int number, int says_number, int says_count, int tensors,
                         const char *architecture, const char *name)
{
    struct gb gb = {0};
    split_keys(&gb, says_number, says_count, tensors);
    if (architecture)
        gb_text(&gb, "general.architecture", architecture);
    if (name)
        gb_tensor(&gb, name, 0, 1, 1, 4);
    write_part(&gb, number);
}

TEST(parts_of_different_models)
{
    begin();
    replace_part(2, 2, PARTS, 5, NULL, "d");
    check_first_fails(HASTEN_CORRUPT_INPUT, "part of another model: 5 tensors", "different models",
                      "m-00003-of-00003.gguf");
    replace_part(2, 2, PARTS, 4, "gemma3", "d");
    check_first_fails(HASTEN_CORRUPT_INPUT, "part of another model", "different models",
                      "m-00003-of-00003.gguf");
    replace_part(2, 2, PARTS, 4, "llama", "d");
    struct gguf_file *file = NULL;
    CHECK_INT(gguf_open(part_path("m", 0, PARTS), NULL, &file), HASTEN_OK);
    gguf_close(&file);
    replace_part(2, 1, PARTS, 4, NULL, "d");
    check_first_fails(HASTEN_CORRUPT_INPUT,
                      "expected is part 3 of 3, the file says that it is part 2", "mixed up",
                      "m-00003-of-00003.gguf");
    replace_part(2, 2, 4, 4, NULL, "d");
    check_first_fails(HASTEN_CORRUPT_INPUT, "part 3 of 4", "mixed up", "m-00003-of-00003.gguf");
    struct gb gb = {0};
    gb_tensor(&gb, "d", 0, 1, 1, 4);
    write_part(&gb, 2);
    check_first_fails(HASTEN_CORRUPT_INPUT, "'split.count' of a split model is missing", "mixed up",
                      "m-00003-of-00003.gguf");
    end();
}

TEST(tensors_that_do_not_fit_together)
{
    begin();
    replace_part(2, 2, PARTS, 4, NULL, "a");
    check_first_fails(HASTEN_CORRUPT_INPUT, "tensor 'a' is in an earlier part too", "mixed up",
                      "m-00003-of-00003.gguf");
    replace_part(2, 2, PARTS, 4, NULL, NULL);
    check_first_fails(HASTEN_CORRUPT_INPUT, "the parts hold 3 tensors, their metadata says 4",
                      "mixed up", "m-00001-of-00003.gguf");
    end();
}

TEST(split_keys_that_are_wrong)
{
    struct gb gb = {0};
    struct hs_error error = {0};
    gb_text(&gb, "split.count", "3");
    CHECK_INT(gb_status(&gb, &error), HASTEN_CORRUPT_INPUT);
    CHECK(mentions(&error, "split.count"));
    gb_scalar(&gb, "split.count", GGUF_U32, 70000, 4);
    CHECK_INT(gb_status(&gb, &error), HASTEN_CORRUPT_INPUT);
    gb_scalar(&gb, "split.count", GGUF_U16, 3, 2);
    CHECK_INT(gb_status(&gb, &error), HASTEN_CORRUPT_INPUT);
    CHECK(mentions(&error, "split.no"));
    split_keys(&gb, 0, 3, -1);
    CHECK_INT(gb_status(&gb, &error), HASTEN_CORRUPT_INPUT);
    CHECK(mentions(&error, "split.tensors.count"));
    split_keys(&gb, 3, 3, 1);
    CHECK_INT(gb_status(&gb, &error), HASTEN_CORRUPT_INPUT);
    CHECK(mentions(&error, "part 4 of 3"));
    split_keys(&gb, 0, 3, 1); /* bytes in memory have no neighbours */
    CHECK_INT(gb_status(&gb, &error), HASTEN_UNSUPPORTED);
    CHECK(mentions(&error, "by its path"));
}

TEST(every_allocation_may_fail)
{
    begin();
    for (uint64_t n = 1;; n++) {
        struct gguf_file *file = NULL;
        const char *path = part_path("m", 0, PARTS);
        hs_alloc_fail_at(n, true);
        enum hasten_status status = gguf_open(path, NULL, &file);
        hs_alloc_fail_at(0, false);
        if (status == HASTEN_OK) {
            CHECK(n > 10);
            gguf_close(&file);
            break;
        }
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
        CHECK(!file);
    }
    end();
}

/* A whole file and the first part of what gguf-split made of it; see the room's README. */
TEST(split_file_named_by_the_environment_equals_the_whole)
{
    const char *whole_path = getenv("HASTEN_TEST_GGUF"), *path = getenv("HASTEN_TEST_GGUF_SPLIT");
    struct gguf_file *whole = NULL, *split = NULL;
    struct hs_error error = {0};
    if (!whole_path || !path)
        return;
    CHECK_INT(gguf_open(whole_path, NULL, &whole), HASTEN_OK);
    if (gguf_open(path, &error, &split) != HASTEN_OK)
        TEST_FAIL("%s: %s (%s)", path, error.message, error.place);
    CHECK(split->part_count > 1);
    CHECK(whole->tensor_count == split->tensor_count);
    CHECK(whole->entry_count + 3 == split->entry_count);
    for (int64_t i = 0; i < whole->entry_count; i++) {
        const struct gguf_entry *a = &whole->entries[i], *b = &split->entries[i];
        CHECK(hs_str_equal(a->key, b->key) && a->type == b->type);
        CHECK(a->data_bytes == b->data_bytes && memcmp(a->data, b->data, a->data_bytes) == 0);
    }
    for (int64_t i = 0; i < whole->tensor_count; i++) {
        const struct gguf_tensor *a = &whole->tensors[i], *b = &split->tensors[i];
        CHECK(hs_str_equal(a->name, b->name) && a->dtype == b->dtype && a->dims == b->dims);
        CHECK(memcmp(a->shape, b->shape, sizeof(a->shape)) == 0);
        uint8_t *data = gb_data(whole, a);
        CHECK(a->size_bytes == b->size_bytes && gb_data_is(split, b, data, a->size_bytes));
        hs_free(data);
    }
    gguf_close(&whole);
    gguf_close(&split);
}

TEST_MAIN()
