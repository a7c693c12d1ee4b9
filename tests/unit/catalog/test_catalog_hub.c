/* Names hf:..., what a hub offers, and whom a token is shown. */
#include "catalog/remote.h"
#include "http_fixture.h"

static const char list[] =
    "{\"id\":\"o/"
    "n\",\"siblings\":[{\"rfilename\":\".gitattributes\"},{\"rfilename\":\"README.md\"},"
    "{\"rfilename\":\"n-Q8_0.gguf\"},{\"rfilename\":\"n-Q4_K_M.gguf\"},{\"rfilename\":7},"
    "{\"rfilename\":\"mmproj-n-Q4_K_M.gguf\"},{\"other\":1},null]}";

static void begin(void)
{
    web_begin();
    setenv("HF_ENDPOINT", web_url("/"), 1);
    server.api = list;
    server.redirect = "/cdn/object";
}

static void check_hub(const char *place)
{
    check_fetched(home_path(place));
}

/* ---- The rule ---- */

#define RANK(quant, ...)                                                                           \
    ct_hub_rank((const char *const[]){__VA_ARGS__},                                                \
                (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)),                \
                hs_str_of(quant))

TEST(the_rule_of_choice)
{
    CHECK_INT(RANK("", "a-Q8_0.gguf", "a-Q4_K_M.gguf", "a-f16.gguf"), 1);
    CHECK_INT(RANK("", "a-Q8_0.gguf", "a-f16.gguf"), 0);
    CHECK_INT(RANK("", "a.f32.gguf", "a.Q2_K.gguf"), 1);
    CHECK_INT(RANK("", "README.md", "only.gguf"), 1);
    CHECK_INT(RANK("", "one.gguf", "two.gguf"), -1);
    CHECK_INT(RANK("", "README.md", "x.bin"), -1);
    CHECK_INT(RANK("q8_0", "a-Q4_K_M.gguf", "a-Q8_0.gguf"), 1);
    CHECK_INT(RANK("Q4_K", "a-Q4_K_M.gguf", "a-Q4_K_S.gguf"), -1); /* whole words */
    CHECK_INT(RANK("Q4_0", "a-IQ4_0.gguf", "a-Q4_0_4_4.gguf", "a_q4_0.gguf", "a-q4_0.gguf"), 3);
    CHECK_INT(RANK("Q6_K", "a-Q4_K_M.gguf"), -1);
    CHECK_INT(RANK("", "b-Q4_K_M.gguf", "a-Q4_K_M.gguf", "long-a-Q4_K_M.gguf"), 1);
    CHECK_INT(RANK("", "a-Q4_K_M-00002-of-00002.gguf", "a-Q4_K_M-00001-of-00002.gguf"), 1);
    CHECK_INT(RANK("", "mmproj-Q4_K_M.gguf", "imatrix-Q4_K_M.gguf", "m-Q8_0.gguf"), 2);
    CHECK_INT(RANK("", "x"), -1);
}

/* ---- Names ---- */

static void check_name(const char *name, const char *expected)
{
    struct hs_arena arena = {0};
    CHECK(!ct_remote_check(name));
    char *place = ct_remote_place(name);
    CHECK_TEXT(place, expected);
    CHECK_TEXT(ct_remote_name_at(&arena, place), name);
    hs_free(place);
    hs_arena_free(&arena);
}

TEST(names_are_places)
{
    static const char *const wrong[] = {"hf:",
                                        "hf:o",
                                        "hf:/n/x.gguf",
                                        "hf:o/",
                                        "hf:o/n/",
                                        "hf:o/n/x.bin",
                                        "hf:o/../x.gguf",
                                        "hf:o/n/../x.gguf",
                                        "hf:o/n//x.gguf",
                                        "hf:o/n/.x.gguf",
                                        "hf:o/n:",
                                        "hf:o/n:a/b",
                                        "hf:o/n@/x.gguf",
                                        "hf:o/n@..:Q",
                                        "hf:.o/n/x.gguf",
                                        "hf:o n/n",
                                        "hf:o/n/x y.gguf",
                                        "hf:o/n/x?.gguf",
                                        "hf:o/n/%2e.gguf"};
    check_name("hf:o/n/x.gguf", "hf/o/n/main/x.gguf");
    check_name("hf:o/n@v1.0/x.gguf", "hf/o/n/v1.0/x.gguf");
    check_name("hf:O-w/N.a_m/sub/dir/X+1.GGUF", "hf/O-w/N.a_m/main/sub/dir/X+1.GGUF");
    check_name("https://h.example:8443/a%20b/x.gguf", "https/h.example:8443/a%20b/x.gguf");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (!ct_remote_check(wrong[i]))
            TEST_FAIL("%s is taken", wrong[i]);
    CHECK(!ct_remote_check("hf:o/n") && !ct_remote_check("hf:o/n:Q4_K_M"));
    CHECK_INT(ct_split_count("x-00001-of-00003.gguf"), 3);
    CHECK_INT(ct_split_count("x.gguf"), 1);
    CHECK_INT(ct_split_count("x-00000-of-00003.gguf"), 0);
    CHECK_INT(ct_split_count("x-00001-of-99999.gguf"), 0);
    CHECK_INT(ct_split_count("x-00001-of-0003.gguf"), 1);
}

/* ---- Pulling ---- */

TEST(a_named_file)
{
    begin();
    CHECK_NAME("hf:o/n/sub/x.gguf", HASTEN_OK, "");
    check_hub("models/hf/o/n/main/sub/x.gguf");
    CHECK_INT(server.requests, 2);
    CHECK_NAME("hf:o/n@v2/x.gguf", HASTEN_OK, "");
    check_hub("models/hf/o/n/v2/x.gguf");
    server.redirect = NULL;
    CHECK_NAME("hf:o/n@v2/y.gguf", HASTEN_OK, "");
    CHECK(strstr(server.last_request, "GET /o/n/resolve/v2/y.gguf "));
    web_end();
}

TEST(a_chosen_file_is_remembered)
{
    struct hs_error error = {0};
    const struct ct_model *model;
    begin();
    CHECK_NAME("hf:o/n", HASTEN_OK, "");
    check_hub("models/hf/o/n/main/n-Q4_K_M.gguf");
    CHECK_NAME("hf:o/n:q8_0", HASTEN_OK, "");
    check_hub("models/hf/o/n/main/n-Q8_0.gguf");
    server.requests = 0;
    server.api = NULL;
    CHECK_NAME("hf:o/n", HASTEN_OK, "");
    CHECK_NAME("hf:o/n:Q8_0", HASTEN_OK, "");
    CHECK_INT(server.requests, 0);
    struct ct_catalog *catalog = open_catalog();
    CHECK(ct_find(catalog, "hf:o/n/n-Q4_K_M.gguf"));
    CHECK_INT(ct_lookup(catalog, "hf:o/n", NULL, &error, &model), HASTEN_OK);
    CHECK_TEXT(model->name, "hf:o/n/n-Q4_K_M.gguf");
    CHECK_INT(ct_remove(model, &error), HASTEN_OK);
    CHECK_INT(ct_lookup(catalog, "hf:o/n", NULL, &error, &model), HASTEN_NOT_FOUND);
    CHECK(mentions(&error, "hasten pull hf:o/n"));
    CHECK_INT(ct_lookup(catalog, "hf:o/n:Q8_0", NULL, &error, &model), HASTEN_OK);
    CHECK_INT(ct_remove(model, &error), HASTEN_OK);
    CHECK_INT(count_files("models/hf"), 0);
    ct_close(&catalog);
    web_end();
}

TEST(lists_that_do_not_help)
{
    begin();
    CHECK_NAME("hf:o/n:Q6_K", HASTEN_NOT_FOUND, "n-Q8_0.gguf");
    server.api = "{\"siblings\":[{\"rfilename\":\"../../../x-Q4_K_M.gguf\"}]}";
    CHECK_NAME("hf:o/n", HASTEN_INVALID_ARGUMENT, "hf:");
    server.api = "{\"siblings\":[]}";
    CHECK_NAME("hf:o/n", HASTEN_NOT_FOUND, "no .gguf");
    server.api = "<html>";
    CHECK_NAME("hf:o/n", HASTEN_CORRUPT_INPUT, "no JSON");
    server.api = "[[[]]]";
    CHECK_NAME("hf:o/n", HASTEN_NOT_FOUND, "no .gguf");
    server.api = NULL;
    CHECK_NAME("hf:o/n", HASTEN_NOT_FOUND, "no such file");
    CHECK(!exists(home_path("models")));
    setenv("HF_ENDPOINT", "http://hub.example", 1);
    CHECK_NAME("hf:o/n", HASTEN_IO, "plain http");
    web_end();
}

TEST(sums_of_the_hub)
{
    char etag[128];
    begin();
    (void)snprintf(etag, sizeof(etag), "\"%s\"", small_sum);
    server.linked_etag = etag;
    CHECK_NAME("hf:o/n/x.gguf", HASTEN_OK, "");
    check_hub("models/hf/o/n/main/x.gguf");
    etag[1] = etag[1] == '0' ? '1' : '0';
    CHECK_NAME("hf:o/n/y.gguf", HASTEN_CORRUPT_INPUT, "the server says");
    CHECK(!exists(home_path("models/hf/o/n/main/y.gguf")));
    CHECK_INT(part_bytes(home_path("models/hf/o/n/main/y.gguf")), -1);
    server.linked_etag = NULL; /* a plain server's ETag of that form, and the hub's own */
    server.etag = etag;
    CHECK_NAME(web_url("/z.gguf"), HASTEN_OK, "");
    CHECK_NAME("hf:o/n/z.gguf", HASTEN_CORRUPT_INPUT, "SHA-256");
    server.etag = "\"0123abc\"";
    CHECK_NAME("hf:o/n/z.gguf", HASTEN_OK, "");
    web_end();
}

TEST(a_sum_judges_a_resumed_file)
{
    char etag[128];
    begin();
    (void)snprintf(etag, sizeof(etag), "\"%s\"", small_sum);
    server.linked_etag = etag;
    server.etag = NULL; /* the sum is enough to go on */
    server.cut_after = 40000;
    server.cuts = -1;
    CHECK_NAME("hf:o/n/x.gguf", HASTEN_OK, "");
    CHECK_INT(server.bodies, 3);
    check_hub("models/hf/o/n/main/x.gguf");
    web_end();
}

TEST(the_token_stays_with_the_hub)
{
    char elsewhere[128];
    begin();
    setenv("HF_TOKEN", "hf_secret", 1);
    (void)snprintf(elsewhere, sizeof(elsewhere), "http://localhost:%d/cdn/object", server.port);
    server.redirect = elsewhere; /* the same socket, another origin */
    CHECK_NAME("hf:o/n", HASTEN_OK, "");
    CHECK_TEXT(server.token_paths, "/api/models/o/n Bearer hf_secret\n"
                                   "/o/n/resolve/main/n-Q4_K_M.gguf Bearer hf_secret\n");
    server.token_paths[0] = 0;
    CHECK_NAME(web_url("/x.gguf"), HASTEN_OK, "");
    CHECK_TEXT(server.token_paths, "");
    server.refusals = 100;
    server.refusal = 401;
    CHECK_NAME("hf:o/n/y.gguf", HASTEN_IO, "check HF_TOKEN");
    unsetenv("HF_TOKEN");
    CHECK_NAME("hf:o/n/y.gguf", HASTEN_IO, "needs HF_TOKEN");
    web_end();
}

TEST(split_models)
{
    struct hs_error error = {0};
    const struct ct_model *model;
    begin();
    CHECK_NAME("hf:o/n/s/x-00002-of-00003.gguf", HASTEN_OK, "");
    check_hub("models/hf/o/n/main/s/x-00001-of-00003.gguf");
    check_hub("models/hf/o/n/main/s/x-00002-of-00003.gguf");
    check_hub("models/hf/o/n/main/s/x-00003-of-00003.gguf");
    struct ct_catalog *catalog = open_catalog();
    CHECK((model = ct_find(catalog, "hf:o/n/s/x-00001-of-00003.gguf")));
    CHECK(!ct_find(catalog, "hf:o/n/s/x-00002-of-00003.gguf"));
    CHECK_INT(model->size_bytes, 3 * SMALL_BYTES);
    CHECK_INT(unlink(home_path("models/hf/o/n/main/s/x-00002-of-00003.gguf")), 0);
    CHECK(!ct_is_present(model));
    server.bodies = 0;
    CHECK_NAME("hf:o/n/s/x-00001-of-00003.gguf", HASTEN_OK, "");
    CHECK_INT(server.bodies, 1);
    CHECK(ct_is_present(model));
    CHECK_INT(ct_remove(model, &error), HASTEN_OK);
    CHECK_INT(count_files("models/hf"), 0);
    ct_close(&catalog);
    web_end();
}

TEST(sources_of_the_catalog)
{
    begin();
    write_catalog("source = hf:o/n/anything", small_sum, SMALL_BYTES);
    CHECK_PULL(HASTEN_OK, "");
    check_stored();
    write_catalog("source = hf:o/n", small_sum, SMALL_BYTES);
    struct ct_catalog *catalog = NULL;
    struct hs_error error = {0};
    CHECK_INT(ct_open(&error, &catalog), HASTEN_CORRUPT_INPUT);
    CHECK(mentions(&error, "OWNER/NAME/FILE"));
    web_end();
}

TEST_MAIN()
