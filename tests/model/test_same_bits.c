/*
 * Same bits on the real models: the logits of a sequence do not depend on its neighbours in the
 * batch, on how its prompt is cut, on the number of threads, on page order or on which passes ran;
 * compared with == over all logits of every step. Gemma's prompt is longer than its window.
 */
#include "bits_test.h"
#include "harness/test.h"
#include "model_test.h"

static struct bt_case smollm2(enum tn_dtype kv)
{
    static char *path;
    if (!path)
        path = mt_model_path("smollm2-135m");
    struct bt_case c = {"smollm2", path, 300, en_options_default()};
    c.options.kv_dtype = kv;
    return c;
}

static struct bt_case gemma3(enum tn_dtype kv)
{
    static char *path;
    if (!path)
        path = mt_model_path("gemma3-270m");
    struct bt_case c = {"gemma3", path, 540, en_options_default()};
    c.options.kv_dtype = kv;
    return c;
}

TEST(smollm2_f16_pages)
{
    struct bt_case c = smollm2(TN_F16);
    bt_check_ways(&c);
}

TEST(smollm2_f32_pages)
{
    struct bt_case c = smollm2(TN_F32);
    bt_check_ways(&c);
}

TEST(smollm2_bf16_pages)
{
    struct bt_case c = smollm2(TN_BF16);
    bt_check_other_class(&c);
}

TEST(smollm2_q8_0_pages)
{
    struct bt_case c = smollm2(TN_Q8_0);
    bt_check_ways(&c);
}

TEST(smollm2_with_avx2_cap)
{
    struct bt_case c = smollm2(TN_F16);
    c.options.cpu_class_max = HS_CPU_CLASS_AVX2;
    bt_check_ways(&c);
}

TEST(smollm2_passes)
{
    struct bt_case c = smollm2(TN_F16);
    bt_check_passes(&c);
}

TEST(gemma3_f16_pages)
{
    struct bt_case c = gemma3(TN_F16);
    bt_check_ways(&c);
}

TEST(gemma3_f32_pages_and_other_class)
{
    struct bt_case c = gemma3(TN_F32);
    bt_check_other_class(&c);
}

TEST(gemma3_q8_0_pages_and_other_class)
{
    struct bt_case c = gemma3(TN_Q8_0);
    bt_check_other_class(&c);
}

TEST(gemma3_passes)
{
    struct bt_case c = gemma3(TN_F16);
    bt_check_passes(&c);
}

TEST_MAIN()
