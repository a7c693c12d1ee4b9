/*
 * A user's folder for catalog tests: a fresh temporary folder that HASTEN_HOME names, helpers to
 * put files there, and a catalog.ini with one model "small" of known bytes.
 */
#ifndef HASTEN_TESTS_CATALOG_FIXTURE_H
#define HASTEN_TESTS_CATALOG_FIXTURE_H

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "catalog/catalog_internal.h"
#include "harness/test.h"

static char fixture_home[128];

#define SMALL_BYTES 100000
static char small_bytes[SMALL_BYTES];
static char small_sum[CT_SHA256_HEX + 1];

static inline void write_file(const char *path, const void *data, size_t size_bytes)
{
    FILE *file = fopen(path, "wb");
    CHECK(file);
    CHECK_INT(fwrite(data, 1, size_bytes, file), size_bytes);
    CHECK_INT(fclose(file), 0);
}

/* Path below the user's folder; the text lives until the fifth next call. */
static inline const char *home_path(const char *name)
{
    static char paths[5][512];
    static int next;
    char *path = paths[next++ % 5];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", fixture_home, name);
    return path;
}

static inline bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

/* Files in a folder below the user's folder, without lock files; 0 when it is not there. */
static inline int count_files(const char *name)
{
    int count = 0;
    DIR *dir = opendir(home_path(name));
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        size_t length = strlen(entry->d_name);
        if (entry->d_name[0] != '.' &&
            (length < 5 || strcmp(entry->d_name + length - 5, ".lock") != 0))
            count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

static inline void fixture_begin(void)
{
    (void)snprintf(fixture_home, sizeof(fixture_home), "/tmp/hasten-catalog-XXXXXX");
    CHECK(mkdtemp(fixture_home));
    CHECK_INT(setenv("HASTEN_HOME", fixture_home, 1), 0);
    for (int i = 0; i < SMALL_BYTES; i++)
        small_bytes[i] = (char)(i * 31 + i / 251);
    struct ct_sha256 *sha = ct_sha256_new();
    CHECK(sha && ct_sha256_add(sha, small_bytes, SMALL_BYTES) && ct_sha256_finish(sha, small_sum));
    ct_sha256_free(sha);
}

static inline void fixture_end(void)
{
    ct_remove_tree(fixture_home);
    CHECK(!exists(fixture_home));
}

/* Writes catalog.ini with model "small" and the given source lines. */
static inline void write_catalog(const char *sources, const char *sum, long size_bytes)
{
    char text[2048];
    int length = snprintf(text, sizeof(text),
                          "[small]\n%s\nfile = small.gguf\nsha256 = %s\nsize = %ld\n"
                          "licence = MIT\n",
                          sources, sum, size_bytes);
    CHECK(length < (int)sizeof(text));
    write_file(home_path("catalog.ini"), text, (size_t)length);
}

static inline struct ct_catalog *open_catalog(void)
{
    struct ct_catalog *catalog = NULL;
    struct hs_error error = {0};
    if (ct_open(&error, &catalog) != HASTEN_OK)
        TEST_FAIL("%s (%s)", error.message, error.place);
    return catalog;
}

static inline bool mentions(const struct hs_error *error, const char *text)
{
    return strstr(error->message, text) || strstr(error->hint, text) || strstr(error->place, text);
}

/* Pulls "small" with the catalog that is written. */
static inline enum hasten_status pull_small(ct_progress_fn progress, void *context,
                                            struct hs_error *error)
{
    struct ct_catalog *catalog = open_catalog();
    enum hasten_status status = ct_pull(ct_find(catalog, "small"), progress, context, error);
    ct_close(&catalog);
    return status;
}

#define CHECK_PULL(expected_status, text)                                                          \
    do {                                                                                           \
        struct hs_error error_ = {0};                                                              \
        enum hasten_status status_ = pull_small(NULL, NULL, &error_);                              \
        if (status_ != (expected_status) || !mentions(&error_, (text)))                            \
            TEST_FAIL("%s: \"%s\" hint \"%s\" place \"%s\", expected %s with \"%s\"",              \
                      hs_status_name(status_), error_.message, error_.hint, error_.place,          \
                      hs_status_name(expected_status), (text));                                    \
    } while (0)

/* The cached file has the right bytes and nothing else lies around. */
static inline void check_stored(void)
{
    char *data = NULL;
    size_t size_bytes = 0;
    CHECK_INT(hs_file_read(home_path("models/small.gguf"), 1 << 20, NULL, &data, &size_bytes),
              HASTEN_OK);
    CHECK(size_bytes == SMALL_BYTES && memcmp(data, small_bytes, SMALL_BYTES) == 0);
    hs_free(data);
    CHECK_INT(count_files("models"), 1);
    CHECK_INT(count_files("tmp"), 0);
}

static inline void check_nothing_stored(void)
{
    CHECK_INT(count_files("models"), 0);
    CHECK_INT(count_files("tmp"), 0);
}

#endif
