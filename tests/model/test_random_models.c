/*
 * Small models with random weights (random_gguf.h) against goldens that llama.cpp made of the same
 * files: odd sizes, windows that are no multiple of a page, patterns given and silent, tied and
 * untied heads, soft caps. Prompts are longer than the windows. The proof fails under planted
 * faults.
 */
#include <math.h>
#include <unistd.h>

#include "base/memory.h"
#include "engine/pass_list.h"
#include "harness/test.h"
#include "model_test.h"
#include "random_gguf.h"

static const char *temp_path(char path[64], const char *what)
{
    snprintf(path, 64, "/tmp/hasten-test-random-%d.%s.gguf", (int)getpid(), what);
    return path;
}

/* The recipe's file, or its F32 form. */
static struct en_model *open_form(const struct rg_recipe *recipe, bool f32,
                                  const struct en_options *options)
{
    struct hs_error error = {0};
    char path[64], converted[64];
    mt_must(rg_write(recipe, temp_path(path, "model"), &error), &error);
    if (f32) {
        mt_must(en_convert_f32(path, temp_path(converted, "f32"), &error), &error);
        unlink(path);
    }
    struct en_model *model = mt_open(f32 ? converted : path, options);
    unlink(f32 ? converted : path); /* the mapping keeps it */
    return model;
}

static struct en_model *open_random(const struct rg_recipe *recipe,
                                    const struct en_options *options)
{
    return open_form(recipe, false, options);
}

static struct mt_kl measure_form(const struct rg_recipe *recipe, bool f32, struct md_options faults)
{
    char name[80];
    struct en_options options = en_options_default();
    snprintf(name, sizeof name, "random-%s.golden", recipe->name);
    struct mt_golden golden = mt_golden_read(name);
    options.kv_dtype = TN_F32;
    options.context = golden.ctx;
    options.threads = 2;
    options.build = faults;
    struct en_model *model = open_form(recipe, f32, &options);
    CHECK_INT(en_facts(model)->vocab, golden.vocab);
    struct mt_kl kl = mt_compare(model, &golden);
    printf("     %-24s %u rows: mean KL %.3g, largest %.3g, argmax differs in %u\n", recipe->name,
           kl.rows, kl.mean, kl.largest, kl.argmax_differs);
    en_close(&model);
    mt_golden_free(&golden);
    return kl;
}

static struct mt_kl measure(const struct rg_recipe *recipe, struct md_options faults)
{
    return measure_form(recipe, recipe->dtype != TN_F32, faults);
}

TEST(f32_forms_equal_llama_cpp)
{
    for (int i = 0; i < rg_count(); i++)
        CHECK(measure(rg_at(i), (struct md_options){0}).mean < 1e-5);
}

/* The golden is of the F32 form; llama.cpp's own run of the typed file is as far from it as the
 * recipe says. Both distances are of rounding noise over few rows, so a single one scatters: the
 * bar of 1.25 is for the typical type, and none may be far beyond. */
TEST(typed_forms_are_as_near_as_llama_cpp)
{
    double log_sum = 0;
    int count = 0;
    for (int i = 0; i < rg_count(); i++) {
        const struct rg_recipe *recipe = rg_at(i);
        if (recipe->dtype == TN_F32)
            continue;
        struct mt_kl kl = measure_form(recipe, false, (struct md_options){0});
        if (!tn_dtype_is_quantized(recipe->dtype)) { /* computed exactly here */
            CHECK(kl.mean < 1e-5);
            continue;
        }
        CHECK(kl.mean < 3 * recipe->peer_kl);
        log_sum += log(kl.mean / recipe->peer_kl);
        count++;
    }
    double typical = exp(log_sum / count);
    printf("     %d quantized models: typically %.3f of llama.cpp's distance\n", count, typical);
    CHECK(typical < 1.25);
}

/* Faults are planted in F32 files only: types do not matter to them. */
TEST(the_proof_fails_under_planted_faults)
{
    const struct md_options faults[] = {{.fault_rope_base_factor = 1.1}, {.fault_skip_norm = true}};
    for (int i = 0; i < rg_count(); i++)
        for (int f = 0; f < 2 && rg_at(i)->dtype == TN_F32; f++)
            CHECK(measure(rg_at(i), faults[f]).mean > 1e-4);
}

TEST(the_proof_fails_under_wrong_windows)
{
    for (int i = 0; i < rg_count(); i++) {
        const struct rg_recipe *recipe = rg_at(i);
        for (int delta = -1; delta <= 1 && recipe->window && recipe->dtype == TN_F32; delta += 2)
            CHECK(measure(recipe, (struct md_options){.fault_window_delta = delta}).mean > 1e-4);
    }
}

/* ---- same bits ---- */

enum { PROMPT = 150, TYPED_PROMPT = 60, LAST = 4, PASSES_MOST = 32 };

/* Logits of the last positions, prompt cut into chunks. */
static float *trace(const struct rg_recipe *recipe, const struct en_options *options, int chunk)
{
    struct hs_error error = {0};
    struct rt_sequence *sequence = NULL;
    struct en_model *model = open_random(recipe, options);
    int64_t vocab = en_facts(model)->vocab;
    int prompt = recipe->dtype == TN_F32 ? PROMPT : TYPED_PROMPT;
    float *all = hs_calloc((size_t)(LAST * vocab), sizeof *all);
    int32_t ids[PROMPT + LAST];
    const float *logits;
    for (int i = 0; i < PROMPT + LAST; i++)
        ids[i] = (i * 31 + i / 7) % (int32_t)vocab;
    mt_must(en_sequence_open(model, &error, &sequence), &error);
    mt_must(en_feed(model, sequence, ids, prompt, chunk, &error, &logits), &error);
    for (int i = 0; i < LAST; i++) {
        mt_must(en_feed(model, sequence, ids + prompt + i, 1, 0, &error, &logits), &error);
        memcpy(all + i * vocab, logits, (size_t)vocab * sizeof *all);
    }
    rt_sequence_close(&sequence);
    en_close(&model);
    return all;
}

static void check_same(const struct rg_recipe *recipe, const struct en_options *options, int chunk,
                       const float *expected)
{
    float *actual = trace(recipe, options, chunk);
    if (memcmp(actual, expected, (size_t)(LAST * recipe->vocab) * sizeof *actual) != 0)
        TEST_FAIL("%s: other bits in chunks of %d, %d threads, %d passes off", recipe->name, chunk,
                  options->threads, options->disabled_pass_count);
    hs_free(actual);
}

static struct en_options one_thread(void)
{
    struct en_options options = en_options_default();
    options.threads = 1;
    options.context = 256;
    return options;
}

TEST(chunks_threads_page_order_and_passes_change_no_bit)
{
    static const int chunks[] = {1, 7, 37, 64};
    for (int i = 0; i < rg_count(); i++) {
        struct en_options options = one_thread();
        if (rg_at(i)->dtype != TN_F32)
            continue;
        float *expected = trace(rg_at(i), &options, 0);
        for (int c = 0; c < 4; c++)
            check_same(rg_at(i), &options, chunks[c], expected);
        options.threads = 2;
        options.page_shuffle_seed = 99;
        check_same(rg_at(i), &options, 0, expected);
        for (int p = 0; p < ps_count(); p++) {
            if (ps_at(p)->required)
                continue;
            options.disabled_passes = &ps_at(p)->name;
            options.disabled_pass_count = 1;
            check_same(rg_at(i), &options, 64, expected);
        }
        hs_free(expected);
    }
}

/* Every type: chunks and threads, and the plain form of everything in kernels of another class. */
TEST(bits_of_typed_models_do_not_depend_on_anything_either)
{
    const char *passes[PASSES_MOST];
    int count = 0;
    for (int p = 0; p < ps_count() && count < PASSES_MOST; p++)
        if (!ps_at(p)->required)
            passes[count++] = ps_at(p)->name;
    for (int i = 0; i < rg_count(); i++) {
        struct en_options options = one_thread();
        if (rg_at(i)->dtype == TN_F32)
            continue;
        float *expected = trace(rg_at(i), &options, 0);
        options.threads = 2;
        check_same(rg_at(i), &options, 7, expected);
        options.cpu_class_max = HS_CPU_CLASS_AVX2;
        options.disabled_passes = passes;
        options.disabled_pass_count = count;
        check_same(rg_at(i), &options, 25, expected);
        hs_free(expected);
    }
}

/* ---- pages, texts ---- */

TEST(graphs_survive_the_text_form)
{
    struct en_options options = en_options_default();
    for (int i = 0; i < rg_count(); i++) {
        struct en_model *model = open_random(rg_at(i), &options);
        mt_check_round_trip(model);
        en_close(&model);
    }
}

TEST(window_layers_give_their_pages_back)
{
    struct hs_error error = {0};
    struct rt_sequence *sequence = NULL;
    struct en_options options = en_options_default();
    const struct rg_recipe *recipe = rg_find("gemma3-f32"); /* window 37 */
    const float *logits;
    int32_t ids[200] = {0};
    options.context = 256;
    struct en_model *model = open_random(recipe, &options);
    struct rt_cache *cache = en_cache(model);
    int64_t total = rt_cache_pages_total(cache, 0);
    CHECK_INT(rt_cache_groups(cache), 2);
    mt_must(en_sequence_open(model, &error, &sequence), &error);
    mt_must(en_feed(model, sequence, ids, 200, 50, &error, &logits), &error);
    /* positions 164..199 are in sight of the next token: pages 5 and 6 of 0..6 */
    CHECK_INT(total - rt_cache_pages_free(cache, 0), 2);
    CHECK_INT(total - rt_cache_pages_free(cache, 1), 7);
    rt_sequence_close(&sequence);
    CHECK_INT(rt_cache_pages_free(cache, 0), total);
    en_close(&model);
}

TEST(a_model_without_tokenizer_runs_on_ids)
{
    struct en_options options = en_options_default();
    options.without_plan = true;
    struct en_model *model = open_random(rg_at(0), &options);
    CHECK(!en_tokenizer(model));
    CHECK_INT(en_tokenizer_error(model)->status, HASTEN_NOT_FOUND);
    en_close(&model);
}

TEST_MAIN()
