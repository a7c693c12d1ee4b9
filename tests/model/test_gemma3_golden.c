/*
 * Gemma 3 (270M, window 512) against llama.cpp's golden logits: F32 form, F32 KV. One golden is a
 * prompt of 3,072 tokens with rows all along it, where windows must slide and give pages back; the
 * other has every row from before the window fills to after it, which is where a window that is one
 * too long or too short shows. The same proof fails under planted faults, so it can fail at all.
 */
#include "base/memory.h"
#include "harness/test.h"
#include "model_test.h"

enum { WINDOW = 512, LOCAL_GROUP = 0, GLOBAL_GROUP = 1 };

static struct en_model *open_f32(int64_t context, struct md_options faults)
{
    char *path = mt_model_path("gemma3-270m"), *f32 = mt_f32_form(path);
    struct en_options options = en_options_default();
    options.kv_dtype = TN_F32;
    options.context = context;
    options.build = faults;
    struct en_model *model = mt_open(f32, &options);
    hs_free(path);
    hs_free(f32);
    return model;
}

static void print(const struct mt_kl *kl)
{
    printf("     %u rows: mean KL %.3g, largest %.3g, argmax differs in %u\n", kl->rows, kl->mean,
           kl->largest, kl->argmax_differs);
}

/* Pages of both groups at the end: all positions of the global layers, the last window of the
 * others. */
static void check_pages(struct en_model *model, int64_t positions)
{
    const struct rt_cache *cache = en_cache(model);
    int64_t total = rt_cache_pages_total(cache, LOCAL_GROUP);
    int64_t local = total - rt_cache_pages_free(cache, LOCAL_GROUP);
    int64_t global = total - rt_cache_pages_free(cache, GLOBAL_GROUP);
    CHECK_INT(en_plan(model)->groups[LOCAL_GROUP].window, WINDOW);
    CHECK_INT(en_plan(model)->groups[GLOBAL_GROUP].window, 0);
    CHECK_INT(global, (positions + TN_PAGE_POSITIONS - 1) / TN_PAGE_POSITIONS);
    CHECK(local >= WINDOW / TN_PAGE_POSITIONS && local <= WINDOW / TN_PAGE_POSITIONS + 1);
}

TEST(long_prompt_equals_llama_cpp)
{
    struct hs_error error = {0};
    struct rt_sequence *sequence = NULL;
    struct mt_golden golden = mt_golden_read("gemma3-270m-f32.golden");
    struct en_model *model = open_f32(golden.ctx, (struct md_options){0});
    CHECK_INT(en_facts(model)->vocab, golden.vocab);
    mt_check_round_trip(model);
    mt_must(en_sequence_open(model, &error, &sequence), &error);
    struct mt_kl kl = mt_compare_on(model, sequence, &golden);
    print(&kl);
    CHECK_INT(kl.rows, 32);
    CHECK(kl.mean < 1e-5);
    CHECK(kl.largest < 1e-4);
    CHECK_INT(kl.argmax_differs, 0);
    check_pages(model, rt_sequence_length(sequence));
    rt_sequence_close(&sequence);
    en_close(&model);
    mt_golden_free(&golden);
}

static struct mt_kl measure_edge(struct md_options faults)
{
    struct mt_golden golden = mt_golden_read("gemma3-270m-f32-edge.golden");
    struct en_model *model = open_f32(golden.ctx, faults);
    struct mt_kl kl = mt_compare(model, &golden);
    print(&kl);
    en_close(&model);
    mt_golden_free(&golden);
    return kl;
}

TEST(edge_of_the_window_equals_llama_cpp)
{
    struct mt_kl kl = measure_edge((struct md_options){0});
    CHECK(kl.mean < 1e-5);
    CHECK(kl.largest < 1e-4);
}

/* One position more or less changes only the rows around the edge. */
static void check_wrong_window(int32_t delta)
{
    struct mt_kl kl = measure_edge((struct md_options){.fault_window_delta = delta});
    CHECK(kl.mean > 1e-5);
    CHECK(kl.largest > 1e-4);
}

TEST(the_proof_fails_under_a_window_that_is_one_too_short)
{
    check_wrong_window(-1);
}

TEST(the_proof_fails_under_a_window_that_is_one_too_long)
{
    check_wrong_window(1);
}

TEST(the_proof_fails_under_a_wrong_rope_base)
{
    CHECK(measure_edge((struct md_options){.fault_rope_base_factor = 1.1}).mean > 1e-4);
}

TEST(the_proof_fails_when_a_norm_is_skipped)
{
    CHECK(measure_edge((struct md_options){.fault_skip_norm = true}).mean > 1e-3);
}

TEST_MAIN()
