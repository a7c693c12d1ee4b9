/* Requests: every field, every kind of wrong value, bounds of the JSON, and nothing left behind. */
#include "harness/test.h"

#include <jansson.h>

#include "serve/completion_spec.h"
#include "serve/json_out.h"
#include "serve/json_source.h"

static struct sv_problem problem;

static bool reads_embedding(const char *body, struct sv_spec *spec)
{
    problem = (struct sv_problem){0};
    return sv_spec_read(hs_str_of(body), SV_EMBEDDING, &problem, spec);
}

static bool reads(const char *body, bool is_chat, struct sv_spec *spec)
{
    problem = (struct sv_problem){0};
    return sv_spec_read(hs_str_of(body), is_chat ? SV_CHAT : SV_COMPLETION, &problem, spec);
}

static void check_refused(const char *body, bool is_chat, const char *param, const char *message)
{
    struct sv_spec spec;
    bool is_read = reads(body, is_chat, &spec);
    sv_spec_free(&spec);
    if (is_read)
        TEST_FAIL("taken: %s", body);
    CHECK_INT(problem.http_status, 400);
    if (strcmp(problem.param, param) != 0 || !strstr(problem.message, message))
        TEST_FAIL("%s: param '%s', message '%s'", body, problem.param, problem.message);
}

TEST(defaults_of_a_completion)
{
    struct sv_spec spec;
    CHECK(reads("{\"prompt\": \"a\", \"what\": {\"ever\": [1]}, \"user\": null}", false, &spec));
    CHECK(spec.form == SV_COMPLETION && !spec.model.data && !spec.is_stream && !spec.has_seed);
    CHECK_INT(spec.prompt_count, 1);
    CHECK(hs_str_is(spec.prompts[0].text, "a"));
    CHECK_INT(spec.n, 1);
    CHECK_INT(spec.max_tokens, 16);
    CHECK_INT(spec.logprobs, -1);
    CHECK_NEAR(spec.sampling.temperature, 1, 0);
    CHECK_NEAR(spec.sampling.top_p, 1, 0);
    sv_spec_free(&spec);
}

TEST(embeddings)
{
    struct sv_spec spec;
    CHECK(
        reads_embedding("{\"input\": \"a\", \"model\": \"m\", \"user\": \"u\", \"n\": 7}", &spec));
    CHECK(spec.form == SV_EMBEDDING && !spec.is_base64 && hs_str_is(spec.model, "m"));
    CHECK(spec.n == 1 && spec.max_tokens == 0 && spec.dimensions == 0 && !spec.is_stream);
    CHECK_INT(spec.prompt_count, 1);
    sv_spec_free(&spec);
    CHECK(reads_embedding("{\"input\": [[1, 2], \"b\"], \"encoding_format\": \"base64\","
                          "\"dimensions\": 64}",
                          &spec));
    CHECK(spec.is_base64 && spec.dimensions == 64);
    CHECK_INT(spec.prompt_count, 2);
    CHECK_INT(spec.prompts[0].id_count, 2);
    CHECK(hs_str_is(spec.prompts[1].text, "b"));
    sv_spec_free(&spec);
    const char *const wrong[][2] = {
        {"{}", "input"},
        {"{\"prompt\": \"a\"}", "input"},
        {"{\"input\": []}", "input"},
        {"{\"input\": 5}", "input"},
        {"{\"input\": [[]]}", "input"},
        {"{\"input\": [1, 1.5]}", "input"},
        {"{\"input\": \"a\", \"dimensions\": 0}", "dimensions"},
        {"{\"input\": \"a\", \"encoding_format\": \"hex\"}", "encoding_format"},
        {"{\"input\": \"a\", \"truncate_prompt_tokens\": 5}", "truncate_prompt_tokens"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK(!reads_embedding(wrong[i][0], &spec));
        sv_spec_free(&spec);
        CHECK_INT(problem.http_status, 400);
        CHECK_TEXT(problem.param, wrong[i][1]);
    }
}

TEST(embeddings_are_bounded)
{
    struct sv_spec spec;
    for (int count = SV_INPUTS_MAX; count <= SV_INPUTS_MAX + 1; count++) {
        struct hs_buffer body = {0};
        sv_put(&body, "{\"input\": [");
        for (int i = 0; i < count; i++)
            sv_put(&body, i ? ",\"a\"" : "\"a\"");
        sv_put(&body, "]}");
        problem = (struct sv_problem){0};
        struct hs_str text = {body.data, body.size_bytes};
        CHECK(sv_spec_read(text, SV_EMBEDDING, &problem, &spec) == (count == SV_INPUTS_MAX));
        sv_spec_free(&spec);
        hs_buffer_free(&body);
    }
}

TEST(all_fields_of_a_chat)
{
    struct sv_spec spec;
    CHECK(reads("{\"model\":\"m\",\"messages\":[{\"role\":\"developer\",\"content\":\"s\"},"
                "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                "{\"type\":\"text\",\"text\":\"b\"}],\"name\":\"n\"},"
                "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":1.5}]}],"
                "\"max_tokens\":5,\"max_completion_tokens\":7.0,\"temperature\":0,\"top_p\":0.5,"
                "\"top_k\":-1,\"min_p\":0.1,\"typical_p\":0.9,\"n\":3,\"seed\":-4,"
                "\"stop\":[\"x\",\"yz\"],\"stream\":true,\"stream_options\":"
                "{\"include_usage\":true},\"logprobs\":true,\"top_logprobs\":4,"
                "\"logit_bias\":{\"12\":-100,\"7\":0.5},\"presence_penalty\":1,"
                "\"frequency_penalty\":-1,\"repetition_penalty\":1.25,\"ignore_eos\":true,"
                "\"tools\":[],\"response_format\":{\"type\":\"text\"}}",
                true, &spec));
    CHECK(hs_str_is(spec.model, "m"));
    CHECK_INT(spec.message_count, 3);
    CHECK(hs_str_is(spec.messages[0].role, "system"));
    CHECK(hs_str_is(spec.messages[1].content, "a\nb"));
    CHECK(spec.messages[1].extra && !spec.messages[2].content.data && spec.messages[2].extra);
    CHECK_INT(spec.max_tokens, 7);
    CHECK_INT(spec.n, 3);
    CHECK_INT(spec.sampling.top_k, 0);
    CHECK_INT((int64_t)spec.sampling.seed, -4);
    CHECK(spec.has_seed && spec.is_stream && spec.include_usage && spec.ignore_eos);
    CHECK_INT(spec.logprobs, 4);
    CHECK_INT(spec.sampling.logit_bias_count, 2);
    CHECK_NEAR(spec.sampling.repetition_penalty, 1.25, 0);
    sv_spec_drop_source(&spec); /* these must outlive the tree */
    CHECK_INT(spec.stop_count, 2);
    CHECK(hs_str_is(spec.stops[1], "yz"));
    double sum = spec.sampling.logit_bias[0].bias + spec.sampling.logit_bias[1].bias;
    CHECK_NEAR(sum, -99.5, 0);
    sv_spec_free(&spec);
}

TEST(forms_of_prompts)
{
    struct sv_spec spec;
    CHECK(reads("{\"prompt\":[1,2,300]}", false, &spec));
    CHECK_INT(spec.prompt_count, 1);
    CHECK_INT(spec.prompts[0].id_count, 3);
    CHECK_INT(spec.prompts[0].ids[2], 300);
    sv_spec_free(&spec);
    CHECK(reads("{\"prompt\":[\"a\",[5],\"\"],\"n\":2}", false, &spec));
    CHECK_INT(spec.prompt_count, 3);
    CHECK(hs_str_is(spec.prompts[0].text, "a") && spec.prompts[1].id_count == 1);
    sv_spec_free(&spec);
    check_refused("{\"prompt\":[]}", false, "prompt", "1 to 32");
    check_refused("{\"prompt\":[1,\"a\"]}", false, "prompt", "ids only");
    check_refused("{\"prompt\":[-1]}", false, "prompt", "ids only");
    check_refused("{\"prompt\":[4294967296]}", false, "prompt", "ids only");
    check_refused("{\"prompt\":{}}", false, "prompt", "must be");
    check_refused("{\"prompt\":[[\"a\"]]}", false, "prompt", "must be");
    check_refused("{}", false, "prompt", "missing");
    check_refused("{\"prompt\":[\"a\",\"b\",\"c\",\"d\",\"e\"],\"n\":16}", false, "n", "64");
}

TEST(wrong_values_name_their_field)
{
#define P "{\"prompt\":\"a\","
    check_refused(P "\"temperature\":-1}", false, "temperature", "0 to 100");
    check_refused(P "\"temperature\":\"1\"}", false, "temperature", "number");
    check_refused(P "\"top_p\":1.5}", false, "top_p", "0 to 1");
    check_refused(P "\"n\":0}", false, "n", "1 to 16");
    check_refused(P "\"n\":17}", false, "n", "1 to 16");
    check_refused(P "\"n\":1.5}", false, "n", "whole");
    check_refused(P "\"max_tokens\":-1}", false, "max_tokens", "0 to");
    check_refused(P "\"seed\":\"x\"}", false, "seed", "whole");
    check_refused(P "\"stop\":\"\"}", false, "stop", "1 to 1024");
    check_refused(P "\"stop\":[1]}", false, "stop", "strings");
    check_refused(P "\"stop\":{}}", false, "stop", "string or");
    check_refused(P "\"stream\":1}", false, "stream", "true or false");
    check_refused(P "\"stream_options\":1}", false, "stream_options", "object");
    check_refused(P "\"logprobs\":true}", false, "logprobs", "whole");
    check_refused(P "\"logprobs\":21}", false, "logprobs", "0 to 20");
    check_refused(P "\"logit_bias\":[]}", false, "logit_bias", "object");
    check_refused(P "\"logit_bias\":{\"a\":1}}", false, "logit_bias", "token ids");
    check_refused(P "\"logit_bias\":{\"1\":101}}", false, "logit_bias", "-100 to 100");
    check_refused(P "\"logit_bias\":{\"99999999999\":1}}", false, "logit_bias", "token ids");
    check_refused(P "\"model\":3}", false, "model", "string");
    check_refused(P "\"repetition_penalty\":0}", false, "repetition_penalty", "0.01");
    check_refused(P "\"echo\":true}", false, "echo", "not supported");
    check_refused(P "\"suffix\":\"x\"}", false, "suffix", "not supported");
    check_refused(P "\"best_of\":2}", false, "best_of", "not supported");
    check_refused(P "\"response_format\":{\"type\":\"json_object\"}}", false, "response_format",
                  "text");
    check_refused(P "\"tools\":[{}]}", false, "tools", "not supported");
#undef P
    struct sv_spec spec;
    CHECK(reads("{\"prompt\":\"a\",\"echo\":false,\"tools\":[{}],\"tool_choice\":\"none\"}", false,
                &spec));
    sv_spec_free(&spec);
}

TEST(wrong_messages)
{
    check_refused("{}", true, "messages", "1 to 1024");
    check_refused("{\"messages\":[]}", true, "messages", "1 to 1024");
    check_refused("{\"messages\":[1]}", true, "messages", "role");
    check_refused("{\"messages\":[{\"role\":\"\"}]}", true, "messages", "role");
    check_refused("{\"messages\":[{\"role\":\"user\",\"content\":1}]}", true, "messages",
                  "content");
    check_refused("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
                  true, "messages", "type text only");
    check_refused("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}", true,
                  "messages", "no text");
    check_refused("{\"messages\":[{\"role\":\"user\",\"content\":[3]}]}", true, "messages",
                  "no type");
    check_refused("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"top_logprobs\":2}", true,
                  "top_logprobs", "logprobs");
}

TEST(bodies_are_bounded)
{
    struct hs_buffer body = {0};
    check_refused("", true, "", "no JSON");
    check_refused("[1]", true, "", "no JSON object");
    check_refused("{\"prompt\":\"a\"", false, "", "no JSON");
    check_refused("{\"prompt\":\"\xff\"}", false, "", "no JSON");
    check_refused("{\"prompt\":\"\\ud800\"}", false, "", "no JSON");
    check_refused("{\"prompt\":1e999}", false, "", "no JSON");
    hs_buffer_printf(&body, "{\"prompt\":");
    for (int i = 0; i < SV_JSON_DEPTH_MAX; i++)
        hs_buffer_append(&body, "[", 1);
    check_refused(body.data, false, "", "deeper");
    hs_buffer_clear(&body);
    hs_buffer_printf(&body, "{\"prompt\":[1");
    for (int i = 0; i < SV_JSON_VALUES_MAX; i++)
        hs_buffer_append(&body, ",1", 2);
    hs_buffer_printf(&body, "]}");
    check_refused(body.data, false, "", "values");
    hs_buffer_free(&body);
    /* brackets in texts do not count */
    struct sv_spec spec;
    CHECK(reads(
        "{\"prompt\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
        "[[[[[[[[\"}",
        false, &spec));
    sv_spec_free(&spec);
}

TEST(written_text_reads_back)
{
    struct hs_buffer out = {0};
    json_error_t error;
    const char text[] = "a\"\\\n\t\r\x01\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80</script>";
    sv_put_text(&out, hs_str_of(text));
    json_t *value = json_loadb(out.data, out.size_bytes, JSON_DECODE_ANY, &error);
    CHECK(value && strcmp(json_string_value(value), text) == 0);
    json_decref(value);
    hs_buffer_clear(&out);
    sv_put_text(&out, (struct hs_str){"a\xff"
                                      "b\xe2\x82",
                                      5});
    CHECK(strcmp(out.data, "\"a\xEF\xBF\xBD"
                           "b\xEF\xBF\xBD\xEF\xBF\xBD\"") == 0);
    hs_buffer_clear(&out);
    sv_fail(&problem, 429, "n", "too \"many\"");
    problem.code = "queue_full";
    sv_problem_json(&problem, &out);
    CHECK(strcmp(out.data, "{\"error\":{\"message\":\"too \\\"many\\\"\",\"type\":"
                           "\"rate_limit_error\",\"param\":\"n\",\"code\":\"queue_full\"}}") == 0);
    hs_buffer_free(&out);
}

TEST(no_memory_is_a_problem_and_leaks_nothing)
{
    const char *body = "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                       "\"a\"}],\"x\":{\"y\":[1,\"z\",true,null,0.5]}}],\"stop\":[\"a\"],"
                       "\"logit_bias\":{\"1\":2}}";
    json_set_alloc_funcs(hs_alloc, hs_free);
    struct sv_spec spec;
    CHECK(reads(body, true, &spec)); /* whatever jansson keeps is there now */
    sv_spec_free(&spec);
    uint64_t live = hs_alloc_live();
    bool is_read = false;
    for (uint64_t n = 1; !is_read && n < 10000; n++) {
        hs_alloc_fail_at(n, true);
        is_read = reads(body, true, &spec);
        hs_alloc_fail_at(0, false);
        sv_spec_free(&spec);
        CHECK(is_read || problem.http_status == 503 || problem.http_status == 400);
        CHECK_INT(hs_alloc_live(), live);
    }
    CHECK(is_read);
}

TEST_MAIN()
