/* Row codecs against vectors made by the gguf Python package (tests/golden/make_row_vectors.py),
 * panels against rows, and the activation quantizer's definition. */
#include "base/bytes.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "harness/test.h"
#include "kernels/pack.h"
#include "kernels/rows.h"

static char *read_vectors(size_t *size_bytes_out)
{
    char path[512], *data = NULL;
    (void)snprintf(path, sizeof path, "%s/data/row_vectors.bin", test_data_dir());
    CHECK_INT(hs_file_read(path, (size_t)1 << 20, NULL, &data, size_bytes_out), HASTEN_OK);
    return data;
}

struct record {
    enum tn_dtype dtype;
    bool encode;
    uint32_t elements, bytes;
    const uint8_t *data, *floats; /* floats may lie unaligned */
};

static struct record next_record(struct hs_cursor *cursor)
{
    struct record record;
    CHECK(tn_dtype_from_gguf(hs_cursor_u32(cursor), &record.dtype));
    record.encode = hs_cursor_u32(cursor) == 1;
    record.elements = hs_cursor_u32(cursor);
    record.bytes = hs_cursor_u32(cursor);
    record.data = hs_cursor_take(cursor, record.bytes);
    record.floats = hs_cursor_take(cursor, (uint64_t)record.elements * 4);
    CHECK(!cursor->failed && record.elements <= 1024 && record.bytes <= 4096);
    return record;
}

static void check_record(const struct record *record)
{
    const char *name = tn_dtype_info(record->dtype)->name;
    float floats[1024], decoded[1024];
    uint8_t encoded[4096];
    memcpy(floats, record->floats, record->elements * sizeof(float));
    if (record->encode) {
        CHECK(kn_can_encode(record->dtype));
        kn_encode_row(record->dtype, floats, record->elements, encoded);
        for (uint32_t i = 0; i < record->bytes; i++) {
            if (encoded[i] != record->data[i])
                TEST_FAIL("%s: encoded byte %u is %u, expected %u", name, i, encoded[i],
                          record->data[i]);
        }
        return;
    }
    CHECK(kn_can_decode(record->dtype));
    kn_decode_row(record->dtype, record->data, record->elements, decoded);
    for (uint32_t i = 0; i < record->elements; i++) {
        if (memcmp(&decoded[i], &floats[i], 4) != 0)
            TEST_FAIL("%s: element %u is %a, expected %a", name, i, (double)decoded[i],
                      (double)floats[i]);
    }
}

TEST(codecs_equal_gguf_package)
{
    size_t size_bytes = 0;
    char *vectors = read_vectors(&size_bytes);
    struct hs_cursor cursor = hs_cursor_over(vectors, size_bytes);
    bool decoded[TN_DTYPE_COUNT] = {[TN_F32] = true};
    CHECK_INT(hs_cursor_u32(&cursor), 0x574f5248); /* "HROW" */
    uint32_t records = hs_cursor_u32(&cursor);
    for (uint32_t i = 0; i < records; i++) {
        struct record record = next_record(&cursor);
        check_record(&record);
        decoded[record.dtype] |= !record.encode;
    }
    CHECK_INT(hs_cursor_left(&cursor), 0);
    for (int i = 0; i < TN_DTYPE_COUNT; i++) /* every decodable type has a vector */
        CHECK_INT(kn_can_decode((enum tn_dtype)i), decoded[i]);
    hs_free(vectors);
}

static void check_panels(enum tn_dtype dtype, int64_t rows, int64_t cols)
{
    size_t file_bytes, packed_bytes, row_bytes;
    CHECK(tn_row_bytes(dtype, cols, &row_bytes));
    CHECK(tn_weight_bytes(dtype, TN_LAYOUT_ROWS, rows, cols, &file_bytes));
    CHECK(tn_weight_bytes(dtype, TN_LAYOUT_PANEL32, rows, cols, &packed_bytes));
    uint8_t *file = hs_alloc(file_bytes), *packed = hs_alloc(packed_bytes);
    float *values = hs_alloc((size_t)cols * 4), *again = hs_alloc((size_t)cols * 4);
    for (int64_t r = 0; r < rows; r++) {
        const struct kn_random random = {7, (uint64_t)r, 0.5f};
        CHECK(kn_random_row(dtype, &random, cols, file + (size_t)r * row_bytes));
    }
    memset(packed, 0xee, packed_bytes);
    int64_t panels = (rows + 31) / 32;
    for (int64_t p = panels - 1; p >= 0; p--) /* panels are independent */
        kn_pack_panels(dtype, file, rows, cols, p, p + 1, packed);
    for (int64_t r = 0; r < panels * 32; r++) {
        kn_decode_panel_row(dtype, packed, cols, r, again);
        for (int64_t k = 0; k < cols && r >= rows; k++)
            CHECK(again[k] == 0.0f); /* rows beyond the matrix */
        if (r >= rows)
            continue;
        kn_decode_row(dtype, file + (size_t)r * row_bytes, cols, values);
        CHECK(memcmp(values, again, (size_t)cols * 4) == 0);
    }
    hs_free(file);
    hs_free(packed);
    hs_free(values);
    hs_free(again);
}

TEST(panels_hold_the_rows)
{
    int packable = 0;
    for (int i = 0; i < TN_DTYPE_COUNT; i++) {
        const enum tn_dtype dtype = (enum tn_dtype)i;
        const int64_t block = tn_dtype_info(dtype)->block;
        CHECK_INT(kn_can_pack(dtype), kn_can_decode(dtype));
        if (!kn_can_pack(dtype))
            continue;
        packable++;
        check_panels(dtype, 64, block == 256 ? 768 : 96);
        check_panels(dtype, 33, block == 256 ? 256 : 32);
        check_panels(dtype, 1, block == 256 ? 512 : 64);
    }
    CHECK_INT(packable, 16);
    CHECK(!kn_can_pack(TN_I32) && !kn_can_pack(TN_A8));
}

/* The packers of all machine classes write the same bytes, tails of rows and columns included. */
static void check_packers(enum tn_dtype dtype, int64_t rows, int64_t cols)
{
    size_t file_bytes, packed_bytes, row_bytes;
    CHECK(tn_row_bytes(dtype, cols, &row_bytes));
    CHECK(tn_weight_bytes(dtype, TN_LAYOUT_ROWS, rows, cols, &file_bytes));
    CHECK(tn_weight_bytes(dtype, TN_LAYOUT_PANEL32, rows, cols, &packed_bytes));
    uint8_t *file = hs_alloc(file_bytes), *plain = hs_alloc(packed_bytes);
    uint8_t *fast = hs_alloc(packed_bytes);
    for (int64_t r = 0; r < rows; r++) {
        const struct kn_random random = {9, (uint64_t)r, 0.5f};
        CHECK(kn_random_row(dtype, &random, cols, file + (size_t)r * row_bytes));
    }
    memset(plain, 0x11, packed_bytes);
    memset(fast, 0xee, packed_bytes);
    const int64_t panels = (rows + 31) / 32;
    kn_pack_plain(&(struct kn_packing){dtype, rows, cols, file, plain}, 0, panels);
    kn_pack_avx2(&(struct kn_packing){dtype, rows, cols, file, fast}, 0, panels);
    CHECK(memcmp(plain, fast, packed_bytes) == 0);
    hs_free(file);
    hs_free(plain);
    hs_free(fast);
}

TEST(packers_agree)
{
    if (hs_cpu_get()->best < HS_CPU_CLASS_AVX2)
        return;
    for (int i = 0; i < TN_DTYPE_COUNT; i++) {
        const enum tn_dtype dtype = (enum tn_dtype)i;
        const int64_t block = tn_dtype_info(dtype)->block;
        if (!kn_can_pack(dtype))
            continue;
        check_packers(dtype, 70, block == 1 ? 37 : 3 * block);
        check_packers(dtype, 5, block == 1 ? 9 : block);
    }
}

/* Random rows: the same for the same stream, other for others, finite, of the size asked for. */
TEST(random_rows)
{
    enum { COLS = 4096 };
    static float values[COLS];
    static uint8_t row[COLS * 4], again[COLS * 4];
    for (int i = 0; i < TN_DTYPE_COUNT; i++) {
        const enum tn_dtype dtype = (enum tn_dtype)i;
        const struct kn_random random = {3, 5, 0.02f}, other = {3, 6, 0.02f};
        double sum = 0, squares = 0;
        CHECK_INT(kn_random_row(dtype, &random, COLS, row), kn_can_decode(dtype));
        if (!kn_can_decode(dtype))
            continue;
        size_t bytes;
        CHECK(tn_row_bytes(dtype, COLS, &bytes));
        CHECK(kn_random_row(dtype, &random, COLS, again) && memcmp(row, again, bytes) == 0);
        CHECK(kn_random_row(dtype, &other, COLS, again) && memcmp(row, again, bytes) != 0);
        kn_decode_row(dtype, row, COLS, values);
        for (int k = 0; k < COLS; k++) {
            sum += (double)values[k];
            squares += (double)values[k] * (double)values[k];
        }
        double deviation = sqrt(squares / COLS);
        if (!(deviation > 0.015 && deviation < 0.027 && fabs(sum / COLS) < 0.004))
            TEST_FAIL("%s: deviation %g, mean %g", tn_dtype_info(dtype)->name, deviation,
                      sum / COLS);
    }
    CHECK(!kn_random_row(TN_Q6_K, &(struct kn_random){1, 1, 1}, 128, row));
}

/* The byte order that layout.h states, independent of kn_decode_panel_row. */
TEST(panel_byte_order)
{
    float values[64] = {0};
    uint8_t file[33 * 40], packed[2 * 1280];
    for (int r = 0; r < 33; r++) { /* codes of row r: k % 16 plus what the row shifts */
        for (int k = 0; k < 64; k++)
            values[k] = (float)((k + r) % 16);
        kn_encode_row(TN_Q4_1, values, 64, file + r * 40);
    }
    kn_pack_panels(TN_Q4_1, file, 33, 64, 0, 2, packed);
    for (int r = 0; r < 33; r++) {
        for (int k = 0; k < 64; k++) {
            int in_block = k % 32, j = in_block % 16 / 4, lane = r % 32;
            const uint8_t *block = packed + r / 32 * 1280 + k / 32 * 640;
            uint8_t byte = block[128 + (2 * j + lane / 16) * 64 + lane % 16 * 4 + in_block % 4];
            CHECK_INT(in_block < 16 ? byte & 15 : byte >> 4, (k + r) % 16);
        }
        uint16_t d;
        memcpy(&d, packed + r / 32 * 1280 + r % 32 * 2, 2);
        CHECK_INT(d, 0x3c00); /* 1.0 */
    }
    uint8_t q8[34] = {0x00, 0x3c}, q8_packed[1088];
    for (int k = 0; k < 32; k++)
        q8[2 + k] = (uint8_t)(k - 16);
    kn_pack_panels(TN_Q8_0, q8, 1, 32, 0, 1, q8_packed);
    for (int k = 0; k < 32; k++) {
        CHECK_INT(q8_packed[64 + k / 4 * 128 + k % 4], k - 16 + 128);
        CHECK_INT(q8_packed[64 + k / 4 * 128 + 64 + 4 + k % 4], 128); /* row 17: zero codes */
    }
}

TEST(quantize_definition)
{
    float x[96] = {0};
    int8_t codes[96];
    float scales[6], sums[6];
    for (int i = 0; i < 32; i++)
        x[32 + i] = i == 0 ? 127.0f : (float)i + 0.5f; /* ties go to even */
    for (int i = 0; i < 32; i++)
        x[64 + i] = i % 2 ? -0x1p-110f : 0x1p-110f; /* reciprocal would be huge */
    kn_quantize_row_ref(x, 96, codes, scales, sums, 2);
    int sum = 127;
    CHECK(scales[0] == 0.0f && sums[0] == 0.0f && codes[5] == 0);
    for (int i = 1; i < 32; i++) {
        CHECK_INT(codes[32 + i], i % 2 ? i + 1 : i);
        sum += codes[32 + i];
    }
    CHECK(scales[2] == 1.0f && sums[2] == (float)sum && codes[32] == 127);
    CHECK(scales[4] == 0x1p-110f / 127.0f && sums[4] == 0.0f && codes[64] == 0);
    x[40] = INFINITY;
    kn_quantize_row_ref(x, 96, codes, scales, sums, 2);
    CHECK(isnan(scales[2]) && isnan(sums[2]) && codes[32] == 0 && scales[0] == 0.0f);
    x[40] = NAN;
    kn_quantize_row_ref(x, 96, codes, scales, sums, 2);
    CHECK(isnan(scales[2]) && isnan(sums[2]) && codes[32] == 0);
}

TEST(encoders_survive_values_without_meaning)
{
    static const enum tn_dtype types[] = {TN_F32, TN_F16, TN_BF16, TN_Q8_0, TN_Q4_0, TN_Q4_1};
    static const float values[] = {INFINITY, -INFINITY, NAN, 1e-45f, -1e-40f, 3e38f};
    float row[32];
    uint8_t out[128];
    for (int t = 0; t < 6; t++) {
        for (int v = 0; v < 6; v++) {
            for (int i = 0; i < 32; i++)
                row[i] = i % 3 ? values[v] : (float)i;
            kn_encode_row(types[t], row, 32, out); /* no undefined behaviour (sanitizers) */
            for (int i = 0; i < 32; i++)
                row[i] = values[v];
            kn_encode_row(types[t], row, 32, out);
        }
    }
}

TEST_MAIN()
