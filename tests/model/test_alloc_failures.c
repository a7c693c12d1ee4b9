/*
 * Out of memory at every allocation: a tiny model is opened, a chat rendered and tokenized, text
 * generated with every feature of sampling, and closed; then the same with the n-th allocation
 * failing, for every n there is. Each such run must end with OUT_OF_MEMORY and a message, or with
 * the very same text where the allocation was not needed; never with a crash, another error,
 * another text or a block that is not given back. So too for converting and perplexity.
 *
 * Allocations of pcre2 go through the same counter. Those of the C library (threads, stdio) do not.
 */
#include <hasten/hasten.h>
#include <time.h>

#include "tiny_run.h"

/* What a run says, to be compared with the run in which nothing fails. */
struct outcome {
    char text[4096];
    size_t size_bytes;
    int logprobs;
};

static void say(struct outcome *outcome, const void *text, size_t size_bytes)
{
    if (size_bytes > sizeof outcome->text - outcome->size_bytes)
        size_bytes = sizeof outcome->text - outcome->size_bytes;
    memcpy(outcome->text + outcome->size_bytes, text, size_bytes);
    outcome->size_bytes += size_bytes;
}

static bool say_text(void *context, const char *text, size_t size_bytes)
{
    say(context, text, size_bytes);
    return true;
}

static void say_token(void *context, int32_t id)
{
    say(context, &id, sizeof id);
}

static void say_logprobs(void *context, const struct tx_logprobs *logprobs)
{
    ((struct outcome *)context)->logprobs += logprobs->top_count;
}

/* --- the runs --- */

static struct en_options options_of(int threads)
{
    struct en_options options = tiny_options(threads);
    options.context = 256;
    return options;
}

static enum hasten_status prompt_ids(const struct en_model *model, struct hs_error *error,
                                     struct hs_buffer *text, struct tx_ids *ids)
{
    const struct tx_message messages[] = {
        {.role = hs_str_of("system"), .content = hs_str_of("the user asks: \xf0\x9f\x99\x82")},
        {.role = hs_str_of("user"),
         .content = hs_str_of(" singing in the sun, 12345 \xc3\xa4\n\n")},
    };
    const struct tm noon = {.tm_year = 126, .tm_mday = 1, .tm_hour = 12};
    const struct tx_template_input input = {.messages = messages,
                                            .message_count = 2,
                                            .add_generation_prompt = true,
                                            .bos_token = hs_str_of("<s>"),
                                            .eos_token = hs_str_of("</s>"),
                                            .now = &noon};
    const struct tx_encode_options encode = {.add_special = true, .parse_special = true};
    HS_TRY(tx_template_render(en_chat_template(model), &input, error, text));
    if (text->failed)
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, NULL, "no memory for a prompt");
    return tx_encode(en_tokenizer(model), (struct hs_str){text->data, text->size_bytes}, encode,
                     error, ids);
}

static enum hasten_status generate(struct en_model *model, struct rt_sequence *sequence,
                                   const struct tx_ids *ids, struct hs_error *error,
                                   struct outcome *outcome)
{
    struct en_generated result;
    struct en_generate_options options = mt_generate_everything();
    options.max_tokens = 12;
    options.on_text = say_text;
    options.on_token = say_token;
    options.on_logprobs = say_logprobs;
    options.context = outcome;
    HS_TRY(en_generate(model, sequence, ids->ids, ids->count, &options, error, &result));
    if (result.completion_tokens != 12)
        return hs_fail(error, HASTEN_INTERNAL, NULL, "an answer of %d tokens",
                       (int)result.completion_tokens);
    return HASTEN_OK;
}

static enum hasten_status answer(struct en_model *model, struct hs_error *error,
                                 struct outcome *outcome)
{
    struct hs_buffer text = {0};
    struct tx_ids ids = {0};
    struct rt_sequence *sequence = NULL;
    if (!en_tokenizer(model) || !en_chat_template(model))
        return hs_fail(error, HASTEN_INTERNAL, NULL, "opened without its tokenizer or template");
    enum hasten_status status = prompt_ids(model, error, &text, &ids);
    if (status == HASTEN_OK)
        say(outcome, text.data, text.size_bytes);
    if (status == HASTEN_OK)
        status = en_sequence_open(model, error, &sequence);
    if (status == HASTEN_OK)
        status = generate(model, sequence, &ids, error, outcome);
    rt_sequence_close(&sequence);
    tx_ids_free(&ids);
    hs_buffer_free(&text);
    return status;
}

static enum hasten_status chat(int threads, struct hs_error *error, struct outcome *outcome)
{
    struct en_model *model = NULL;
    const struct en_options options = options_of(threads);
    HS_TRY(en_open(tiny_path, &options, error, &model));
    enum hasten_status status = answer(model, error, outcome);
    en_close(&model);
    return status;
}

static enum hasten_status convert(int threads, struct hs_error *error, struct outcome *outcome)
{
    char out_path[128];
    (void)threads;
    (void)snprintf(out_path, sizeof out_path, "%s/out", tiny_folder);
    enum hasten_status status = en_convert_f32(tiny_path, out_path, NULL, error);
    if ((access(out_path, F_OK) == 0) != (status == HASTEN_OK))
        return hs_fail(error, HASTEN_INTERNAL, NULL, "the file does not fit the status");
    (void)unlink(out_path);
    say(outcome, "done", 4);
    return status;
}

static enum hasten_status perplexity(int threads, struct hs_error *error, struct outcome *outcome)
{
    struct en_model *model = NULL;
    const struct en_options engine = options_of(threads);
    const struct en_perplexity_options options = {.window = 32};
    struct en_perplexity result;
    struct hs_str text = hs_str_of("the singing of the user in the sun is the thing that then "
                                   "rings and rings in the inn of the king and his kin\n");
    HS_TRY(en_open(tiny_path, &engine, error, &model));
    enum hasten_status status = en_perplexity(model, text, &options, error, &result);
    if (status == HASTEN_OK)
        say(outcome, &result.perplexity, sizeof result.perplexity);
    en_close(&model);
    return status;
}

/* --- the public interface --- */

/* Renders, tokenizes, generates twice (the second time on what the sequence holds), detokenizes. */
static enum hasten_status public_answer(struct hasten_model *model,
                                        struct hasten_sequence *sequence, struct hs_error *error,
                                        struct outcome *outcome)
{
    static const char *const stop[] = {"never to be seen"};
    const struct hasten_message messages[] = {{"system", "in the inn"}, {"user", "the sun"}};
    const struct hasten_logit_bias bias = {270, -1};
    struct hasten_generate_options options;
    struct hasten_sampling sampling;
    int32_t *ids = NULL;
    char *text = NULL, *back = NULL;
    size_t count, text_bytes, back_bytes;
    hasten_generate_options_init(&options);
    hasten_sampling_init(&sampling);
    sampling.temperature = 0.7;
    sampling.logit_bias = &bias;
    sampling.logit_bias_count = 1;
    options.sampling = &sampling;
    options.max_tokens = 6;
    options.stop = stop;
    options.stop_count = 1;
    options.ignore_end = options.whole_prompt = true;
    options.on_text = say_text;
    options.on_token = say_token;
    options.context = outcome;
    enum hasten_status status;
    HS_TRY_GOTO(status, hasten_chat_render(model, messages, 2, error, &text, &text_bytes), out);
    HS_TRY_GOTO(
        status,
        hasten_text_tokenize(model, text, text_bytes, HASTEN_TOKENIZE_PROMPT, error, &ids, &count),
        out);
    for (int turn = 0; turn < 2; turn++)
        HS_TRY_GOTO(status, hasten_sequence_generate(sequence, ids, count, &options, error, NULL),
                    out);
    HS_TRY_GOTO(status, hasten_text_detokenize(model, ids, count, true, error, &back, &back_bytes),
                out);
    say(outcome, back, back_bytes);
out:
    hasten_memory_free(ids);
    hasten_memory_free(text);
    hasten_memory_free(back);
    return status;
}

static enum hasten_status public_chat(int threads, struct hs_error *error, struct outcome *outcome)
{
    struct hasten_model *model = NULL;
    struct hasten_sequence *sequence = NULL;
    struct hasten_model_options options;
    hasten_model_options_init(&options);
    options.threads = threads;
    options.context = 256;
    HS_TRY(hasten_model_open(tiny_path, &options, error, &model));
    enum hasten_status status = hasten_sequence_open(model, error, &sequence);
    if (status == HASTEN_OK)
        status = public_answer(model, sequence, error, outcome);
    hasten_sequence_close(&sequence);
    hasten_model_close(&model);
    return status;
}

/* --- failing each allocation --- */

typedef enum hasten_status (*run_fn)(int threads, struct hs_error *error, struct outcome *outcome);

struct check {
    run_fn run;
    int threads;
    uint64_t stride; /* every so manieth allocation fails */
    bool persist;    /* and all after it */
};

static int part_files(void)
{
    char command[160];
    (void)snprintf(command, sizeof command, "test -z \"$(find %s -name '*.part*')\"", tiny_folder);
    return system(command);
}

/* Whether allocation n was reached. */
static bool fail_one(const struct check *check, uint64_t n, const struct outcome *expected)
{
    struct hs_error error = {0};
    struct outcome outcome = {0};
    uint64_t live = hs_alloc_live(), before = hs_alloc_count();
    hs_alloc_fail_at(n, check->persist);
    enum hasten_status status = check->run(check->threads, &error, &outcome);
    hs_alloc_fail_at(0, false);
    bool reached = hs_alloc_count() - before >= n;
    if (hs_alloc_live() != live)
        TEST_FAIL("allocation %d: %d blocks are not given back (%s: %s)", (int)n,
                  (int)(hs_alloc_live() - live), hs_status_name(status), error.message);
    if (status == HASTEN_OK) {
        if (outcome.size_bytes != expected->size_bytes || outcome.logprobs != expected->logprobs ||
            memcmp(outcome.text, expected->text, expected->size_bytes) != 0)
            TEST_FAIL("allocation %d: another text, but no error", (int)n);
    } else if (status != HASTEN_OUT_OF_MEMORY || error.status != status || !error.message[0]) {
        TEST_FAIL("allocation %d: status %s, record %s: %s", (int)n, hs_status_name(status),
                  hs_status_name(error.status), error.message);
    }
    return reached;
}

static void fail_each(const struct check *check, const char *what)
{
    struct hs_error error = {0};
    struct outcome expected = {0};
    uint64_t before = hs_alloc_count(), n = 1, survived = 0;
    mt_must(check->run(check->threads, &error, &expected), &error);
    uint64_t all = hs_alloc_count() - before;
    for (; fail_one(check, n, &expected); n += check->stride)
        survived++;
    CHECK(n > all && survived * check->stride >= all - all / 10);
    CHECK_INT(part_files(), 0);
    printf("     %s: %d allocations, every %d. failed%s\n", what, (int)all, (int)check->stride,
           check->persist ? ", and all after it" : "");
}

static void check_recipe(const struct tiny_recipe *recipe, uint64_t stride, const char *what)
{
    tiny_begin(recipe);
    fail_each(&(struct check){chat, 1, stride, false}, what);
    fail_each(&(struct check){chat, 1, stride, true}, what);
    fail_each(&(struct check){chat, 2, 3 * stride, false}, "with two threads");
    tiny_end();
}

TEST(llama_with_bpe)
{
    check_recipe(&(struct tiny_recipe){.dtype = TN_Q4_1}, 1, "llama");
}

TEST(gemma3_with_sentencepiece)
{
    check_recipe(&(struct tiny_recipe){.is_gemma3 = true, .dtype = TN_Q8_0}, 1, "gemma3");
}

TEST(a_split_model)
{
    check_recipe(&(struct tiny_recipe){.dtype = TN_Q4_0, .parts = 3}, 1, "3 files");
}

TEST(the_public_interface)
{
    tiny_begin(&(struct tiny_recipe){.dtype = TN_Q4_1});
    fail_each(&(struct check){public_chat, 1, 1, false}, "public interface");
    fail_each(&(struct check){public_chat, 2, 1, true}, "public interface");
    tiny_end();
}

/* A random model says bytes that are no characters: these too are put together without memory. */
TEST(broken_characters_cost_no_allocation)
{
    tiny_begin(&(struct tiny_recipe){.dtype = TN_Q4_1});
    struct hs_error error = {0};
    const struct en_options engine = options_of(1);
    struct en_model *model = mt_open(tiny_path, &engine);
    struct rt_sequence *sequence = NULL;
    struct en_generated result;
    struct mt_watch watch = {0};
    const int32_t prompt[] = {1, 2, 3};
    const struct en_generate_options options = {.sampling = {.temperature = 1, .seed = 3},
                                                .max_tokens = 100,
                                                .ignore_end = true,
                                                .on_text = mt_ignore_text,
                                                .on_token = mt_watch_token,
                                                .context = &watch};
    mt_must(en_sequence_open(model, &error, &sequence), &error);
    mt_must(en_generate(model, sequence, prompt, 3, &options, &error, &result), &error);
    CHECK_INT(watch.tokens, 100);
    CHECK_INT(watch.last - watch.first, 0);
    rt_sequence_close(&sequence);
    en_close(&model);
    tiny_end();
}

TEST(converting)
{
    tiny_begin(&(struct tiny_recipe){.dtype = TN_Q5_1});
    fail_each(&(struct check){convert, 1, 1, false}, "convert");
    fail_each(&(struct check){convert, 1, 1, true}, "convert");
    tiny_end();
}

TEST(measuring_perplexity)
{
    tiny_begin(&(struct tiny_recipe){.dtype = TN_Q8_0});
    fail_each(&(struct check){perplexity, 1, 1, false}, "perplexity");
    tiny_end();
}

TEST_MAIN()
