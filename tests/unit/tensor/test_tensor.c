/* The dtype table, half-precision conversions and layout sizes. */
#include "harness/test.h"
#include "tensor/layout.h"

TEST(dtype_table)
{
    enum tn_dtype dtype = TN_F32;
    CHECK(tn_dtype_from_gguf(3, &dtype) && dtype == TN_Q4_1);
    CHECK(tn_dtype_from_name(hs_str_of("q6_k"), &dtype) && dtype == TN_Q6_K);
    CHECK(!tn_dtype_from_name(hs_str_of("q6_"), &dtype));
    CHECK(!tn_dtype_from_gguf(0xffffffffu, &dtype) && !tn_dtype_from_gguf(99, &dtype));
    for (int i = 0; i < TN_DTYPE_COUNT; i++) {
        const struct tn_dtype_info *info = tn_dtype_info((enum tn_dtype)i);
        CHECK(tn_dtype_from_name(hs_str_of(info->name), &dtype) && (int)dtype == i);
        if (info->gguf_id >= 0)
            CHECK(tn_dtype_from_gguf((uint32_t)info->gguf_id, &dtype) && (int)dtype == i);
    }
    CHECK(tn_dtype_is_quantized(TN_Q8_0) && tn_dtype_is_quantized(TN_MXFP4));
    CHECK(!tn_dtype_is_quantized(TN_A8) && !tn_dtype_is_quantized(TN_F16));
}

TEST(row_bytes)
{
    size_t bytes = 1;
    CHECK(tn_row_bytes(TN_Q4_1, 64, &bytes) && bytes == 40);
    CHECK(tn_row_bytes(TN_F32, 7, &bytes) && bytes == 28);
    CHECK(tn_row_bytes(TN_Q4_K, 512, &bytes) && bytes == 288);
    CHECK(!tn_row_bytes(TN_Q4_1, 63, &bytes) && !tn_row_bytes(TN_F32, -1, &bytes));
    CHECK(!tn_row_bytes(TN_F32, INT64_MAX, &bytes) && bytes == 288);
}

TEST(half_round_trip)
{
    for (uint32_t half = 0; half < 65536; half++) {
        float value = tn_f16_to_f32((uint16_t)half);
        if ((half & 0x7c00) == 0x7c00 && (half & 0x3ff) != 0) {
            CHECK(isnan(value));
            CHECK_INT(tn_f32_to_f16(value), half | 0x200); /* quiet, payload kept */
            continue;
        }
        CHECK_INT(tn_f32_to_f16(value), half);
    }
    CHECK(tn_f16_to_f32(0x3c00) == 1.0f && tn_f16_to_f32(0xfbff) == -65504.0f);
    CHECK(tn_f16_to_f32(1) == 0x1p-24f && tn_f16_to_f32(0x7c00) == INFINITY);
}

/* Rounding: halfway points and their neighbours, over all finite halves. */
TEST(half_rounding)
{
    for (uint32_t half = 0; half < 0x7bff; half++) {
        float low = tn_f16_to_f32((uint16_t)half), high = tn_f16_to_f32((uint16_t)(half + 1));
        float middle = low + (high - low) * 0.5f; /* exact in f32 */
        CHECK_INT(tn_f32_to_f16(middle), half % 2 ? half + 1 : half);
        CHECK_INT(tn_f32_to_f16(nextafterf(middle, 0)), half);
        CHECK_INT(tn_f32_to_f16(nextafterf(middle, INFINITY)), half + 1);
        CHECK_INT(tn_f32_to_f16(-middle), (half % 2 ? half + 1 : half) | 0x8000);
    }
    CHECK_INT(tn_f32_to_f16(65519.996f), 0x7bff);
    CHECK_INT(tn_f32_to_f16(65520.0f), 0x7c00);
    CHECK_INT(tn_f32_to_f16(-INFINITY), 0xfc00);
    CHECK_INT(tn_f32_to_f16(1e-10f), 0);
}

TEST(bf16)
{
    CHECK_INT(tn_f32_to_bf16(1.0f), 0x3f80);
    CHECK_INT(tn_f32_to_bf16(1.00390625f), 0x3f80); /* halfway, even below */
    CHECK_INT(tn_f32_to_bf16(1.01171875f), 0x3f82); /* halfway, even above */
    CHECK_INT(tn_f32_to_bf16(-INFINITY), 0xff80);
    CHECK(isnan(tn_bf16_to_f32(tn_f32_to_bf16(NAN))));
    for (uint32_t bits = 0; bits < 0x7f80; bits++)
        CHECK_INT(tn_f32_to_bf16(tn_bf16_to_f32((uint16_t)bits)), bits);
}

TEST(weight_sizes)
{
    size_t bytes = 0;
    CHECK_INT(tn_panel_bytes(TN_Q4_1, 64), 1280);
    CHECK_INT(tn_panel_bytes(TN_Q8_0, 32), 1088);
    CHECK_INT(tn_panel_bytes(TN_F16, 10), 640);
    CHECK_INT(tn_panel_bytes(TN_Q4_0, 32), 576);
    CHECK_INT(tn_panel_bytes(TN_MXFP4, 32), 640);
    CHECK_INT(tn_panel_bytes(TN_Q5_1, 32), 768);
    CHECK_INT(tn_panel_bytes(TN_Q2_K, 256), 128 + 8 * 384);
    CHECK_INT(tn_panel_bytes(TN_Q3_K, 256), 64 + 8 * 448);
    CHECK_INT(tn_panel_bytes(TN_Q4_K, 512), 2 * (128 + 8 * 576));
    CHECK_INT(tn_panel_bytes(TN_Q5_K, 256), 128 + 8 * 704);
    CHECK_INT(tn_panel_bytes(TN_Q6_K, 256), 64 + 8 * 832);
    CHECK_INT(tn_panel_bytes(TN_IQ4_XS, 256), 64 + 8 * 576);
    CHECK_INT(tn_panel_bytes(TN_Q6_K, 128), 0);
    CHECK_INT(tn_panel_bytes(TN_I32, 256), 0);
    CHECK_INT(tn_panel_bytes(TN_Q4_1, 33), 0);
    CHECK(tn_weight_bytes(TN_Q4_1, TN_LAYOUT_PANEL32, 33, 64, &bytes) && bytes == 2560);
    CHECK(tn_weight_bytes(TN_Q4_1, TN_LAYOUT_ROWS, 33, 64, &bytes) && bytes == 1320);
    CHECK(!tn_weight_bytes(TN_Q6_K, TN_LAYOUT_PANEL32, 32, 128, &bytes));
    CHECK(!tn_weight_bytes(TN_I8, TN_LAYOUT_PANEL32, 32, 256, &bytes));
    for (int i = 0; i < TN_DTYPE_COUNT; i++) { /* every coded type has a form of whole lines */
        const struct tn_panel_form *form = tn_panel_form((enum tn_dtype)i);
        CHECK_INT(form != NULL, tn_dtype_is_quantized((enum tn_dtype)i));
        CHECK_INT(tn_panel_bytes((enum tn_dtype)i, 256) % 64, 0);
        CHECK(!form || form->k_block == tn_dtype_info((enum tn_dtype)i)->block);
    }
    CHECK(!tn_weight_bytes(TN_F32, TN_LAYOUT_ROWS, INT64_MAX, 8, &bytes));
    CHECK(!tn_weight_bytes(TN_F32, TN_LAYOUT_PANEL32, INT64_MAX, 8, &bytes));
    CHECK(!tn_weight_bytes(TN_F32, TN_LAYOUT_ROWS, -1, 8, &bytes));
    CHECK_TEXT(tn_layout_name(TN_LAYOUT_PANEL32), "panel32");
}

TEST(a8_parts)
{
    size_t bytes = 0;
    CHECK(tn_a8_bytes(3, 96, &bytes));
    CHECK_INT(bytes, 320 + 64 + 64); /* 288 codes, 36 bytes of scales, 36 of sums */
    _Alignas(64) char base[448];
    struct tn_a8 view = tn_a8_view(base, 3, 96);
    CHECK((char *)view.codes == base && (char *)view.scales == base + 320);
    CHECK((char *)view.sums == base + 384);
    CHECK(!tn_a8_bytes(3, 95, &bytes) && !tn_a8_bytes(INT64_MAX, 64, &bytes));
}

TEST(kv_layout)
{
    struct tn_kv_layout layout;
    struct hs_error error;
    CHECK_INT(tn_kv_layout_init(TN_F16, 3, 72, &error, &layout), HASTEN_OK);
    CHECK_INT(layout.head_dim_padded, 80);
    CHECK_INT(layout.k_bytes, 3 * 32 * 80 * 2);
    CHECK_INT(layout.layer_bytes, 2 * 3 * 32 * 80 * 2);
    CHECK_INT(tn_kv_layout_init(TN_BF16, 3, 72, &error, &layout), HASTEN_OK);
    CHECK_INT(layout.head_bytes, 32 * 80 * 2);
    CHECK_INT(layout.k_bytes, 3 * 32 * 80 * 2);
    CHECK_INT(tn_kv_layout_init(TN_Q8_0, 3, 72, &error, &layout), HASTEN_OK);
    CHECK_INT(layout.head_dim_padded, 96); /* whole blocks of 32: 34 bytes each */
    CHECK_INT(layout.head_bytes, 32 * 3 * 34);
    CHECK_INT(layout.layer_bytes, 2 * 3 * 32 * 3 * 34);
    CHECK_INT(tn_kv_layout_init(TN_Q4_0, 3, 64, &error, &layout), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(tn_kv_layout_init(TN_F32, 0, 64, &error, &layout), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(tn_kv_layout_init(TN_F32, 1, 65537, &error, &layout), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(tn_kv_layout_init(TN_F32, 65536, 65536, &error, &layout), HASTEN_OK);
    CHECK(layout.layer_bytes == (size_t)1 << 40);
}

TEST_MAIN()
