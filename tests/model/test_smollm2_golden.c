/*
 * SmolLM2 against llama.cpp's golden logits. The F32 form with F32 KV proves the model (mean KL
 * below 1e-5), the quantized form stays as near to the F32 form as llama.cpp's own does, and the
 * same proof fails under planted faults, so it can fail at all.
 */
#include "base/memory.h"
#include "harness/test.h"
#include "model_test.h"

static struct mt_kl measure(const char *path, const struct en_options *options)
{
    struct mt_golden golden = mt_golden_read("smollm2-135m-f32.golden");
    struct en_model *model = mt_open(path, options);
    CHECK_INT(en_facts(model)->vocab, golden.vocab);
    mt_check_round_trip(model);
    struct mt_kl kl = mt_compare(model, &golden);
    printf("     %s, %u rows: mean KL %.3g, largest %.3g, argmax differs in %u\n", en_recipe(model),
           kl.rows, kl.mean, kl.largest, kl.argmax_differs);
    CHECK_INT(kl.rows, 64);
    en_close(&model);
    mt_golden_free(&golden);
    return kl;
}

static struct mt_kl measure_f32(struct md_options faults)
{
    char *path = mt_model_path("smollm2-135m"), *f32 = mt_f32_form(path);
    struct en_options options = en_options_default();
    options.kv_dtype = TN_F32;
    options.context = 512;
    options.build = faults;
    struct mt_kl kl = measure(f32, &options);
    hs_free(path);
    hs_free(f32);
    return kl;
}

TEST(f32_form_equals_llama_cpp)
{
    struct mt_kl kl = measure_f32((struct md_options){0});
    CHECK(kl.mean < 1e-5);
    CHECK(kl.largest < 1e-4);
    CHECK_INT(kl.argmax_differs, 0);
}

TEST(the_proof_fails_under_a_wrong_rope_base)
{
    CHECK(measure_f32((struct md_options){.fault_rope_base_factor = 1.1}).mean > 1e-4);
}

TEST(the_proof_fails_when_a_norm_is_skipped)
{
    CHECK(measure_f32((struct md_options){.fault_skip_norm = true}).mean > 1e-3);
}

/* llama.cpp's own quantized run has a mean KL of 3.6e-3 to 4.4e-3 over 2,040 positions. */
TEST(quantized_form_stays_near_the_f32_form)
{
    char *path = mt_model_path("smollm2-135m");
    struct en_options options = en_options_default();
    options.context = 512;
    CHECK(measure(path, &options).mean < 5e-3);
    hs_free(path);
}

TEST_MAIN()
