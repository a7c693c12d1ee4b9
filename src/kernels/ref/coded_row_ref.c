/*
 * Coded rows as files hold them and as panels hold them -> codes, scales, minimums.
 *
 * A statement of its own: it shares the table of panel forms (tensor/layout.h) and the values of
 * table types with the rest of the room, and no unpacking code, so that an error in packing or in a
 * kernel shows as a difference between the layouts. The f32 products that make scales are the
 * decoders' (rows_decode.c). Element by element, slow, plain. Pure functions, any thread.
 */
#include "kernels/ref/coded_row_ref.h"

#include <string.h>

static float load_f16(const uint8_t *bytes)
{
    return tn_f16_to_f32((uint16_t)(bytes[0] | bytes[1] << 8));
}

/* One file block: codes, scales and minimums start at the block's own. */
typedef void (*block_unpacker)(const uint8_t *block, const struct kn_ref_coded_row *out);

/* 16 bytes: element i in the low nibble of byte i, element 16 + i in the high. */
static int nibble_of(const uint8_t *bytes, int i)
{
    return i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4;
}

static int bit_of(const uint8_t *bytes, int i)
{
    return bytes[i / 8] >> (i % 8) & 1;
}

static void unpack_q4_0(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    out->scales[0] = load_f16(block);
    for (int i = 0; i < 32; i++)
        out->codes[i] = (int16_t)(nibble_of(block + 2, i) - 8);
}

static void unpack_q4_1(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    out->scales[0] = load_f16(block);
    out->mins[0] = load_f16(block + 2);
    for (int i = 0; i < 32; i++)
        out->codes[i] = (int16_t)nibble_of(block + 4, i);
}

static void unpack_q5_0(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    out->scales[0] = load_f16(block);
    for (int i = 0; i < 32; i++)
        out->codes[i] = (int16_t)(nibble_of(block + 6, i) + 16 * bit_of(block + 2, i) - 16);
}

static void unpack_q5_1(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    out->scales[0] = load_f16(block);
    out->mins[0] = load_f16(block + 2);
    for (int i = 0; i < 32; i++)
        out->codes[i] = (int16_t)(nibble_of(block + 8, i) + 16 * bit_of(block + 4, i));
}

static void unpack_q8_0(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    out->scales[0] = load_f16(block);
    for (int i = 0; i < 32; i++)
        out->codes[i] = (int8_t)block[2 + i];
}

static int code_2bit(const uint8_t *codes, int i)
{
    return codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
}

static void unpack_q2_k(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    float d = load_f16(block + 80), dmin = load_f16(block + 82);
    for (int g = 0; g < 16; g++) {
        out->scales[g] = d * (float)(block[g] & 15);
        out->mins[g] = -(dmin * (float)(block[g] >> 4));
    }
    for (int i = 0; i < 256; i++)
        out->codes[i] = (int16_t)code_2bit(block + 16, i);
}

static void unpack_q3_k(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    const uint8_t *packed = block + 96;
    float d = load_f16(block + 108);
    for (int g = 0; g < 16; g++) {
        int low = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4;
        int high = packed[8 + g % 4] >> (2 * (g / 4)) & 3;
        out->scales[g] = d * (float)(low + 16 * high - 32);
    }
    for (int i = 0; i < 256; i++) {
        int set = block[i % 32] >> (i / 32) & 1;
        out->codes[i] = (int16_t)(code_2bit(block + 32, i) - (set ? 0 : 4));
    }
}

/* The 6-bit pairs of q4_k and q5_k. */
static void unpack_scales_k4(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    const uint8_t *packed = block + 4;
    float d = load_f16(block), dmin = load_f16(block + 2);
    for (int s = 0; s < 8; s++) {
        int scale = s < 4 ? packed[s] & 63 : (packed[4 + s] & 15) + 16 * (packed[s - 4] >> 6);
        int minimum = s < 4 ? packed[4 + s] & 63 : (packed[4 + s] >> 4) + 16 * (packed[s] >> 6);
        out->scales[s] = d * (float)scale;
        out->mins[s] = -(dmin * (float)minimum);
    }
}

static int nibble_k4(const uint8_t *codes, int i)
{
    return codes[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 15;
}

static void unpack_q4_k(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    unpack_scales_k4(block, out);
    for (int i = 0; i < 256; i++)
        out->codes[i] = (int16_t)nibble_k4(block + 16, i);
}

static void unpack_q5_k(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    unpack_scales_k4(block, out);
    for (int i = 0; i < 256; i++)
        out->codes[i] =
            (int16_t)(nibble_k4(block + 48, i) + 16 * (block[16 + i % 32] >> (i / 32) & 1));
}

static void unpack_q6_k(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    float d = load_f16(block + 208);
    for (int g = 0; g < 16; g++)
        out->scales[g] = d * (float)(int8_t)block[192 + g];
    for (int i = 0; i < 256; i++) {
        int half = i / 128, quarter = i % 128 / 32;
        int low = block[half * 64 + quarter % 2 * 32 + i % 32] >> (quarter / 2 * 4) & 15;
        int high = block[128 + half * 32 + i % 32] >> (2 * quarter) & 3;
        out->codes[i] = (int16_t)(low + 16 * high - 32);
    }
}

static void unpack_iq4_nl(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    const int8_t *values = tn_panel_form(TN_IQ4_NL)->values;
    out->scales[0] = load_f16(block);
    for (int i = 0; i < 32; i++)
        out->codes[i] = values[nibble_of(block + 2, i)];
}

static void unpack_iq4_xs(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    const int8_t *values = tn_panel_form(TN_IQ4_XS)->values;
    float d = load_f16(block);
    for (int s = 0; s < 8; s++) {
        int low = s % 2 ? block[4 + s / 2] >> 4 : block[4 + s / 2] & 15;
        int high = (block[2] | block[3] << 8) >> (2 * s) & 3;
        out->scales[s] = d * (float)(low + 16 * high - 32);
        for (int i = 0; i < 32; i++)
            out->codes[32 * s + i] = values[nibble_of(block + 8 + 16 * s, i)];
    }
}

static void unpack_mxfp4(const uint8_t *block, const struct kn_ref_coded_row *out)
{
    const int8_t *values = tn_panel_form(TN_MXFP4)->values;
    uint32_t e = block[0], bits = e < 2 ? 1u << (21 + e) : (e - 1) << 23; /* 2^(e - 128) */
    memcpy(out->scales, &bits, sizeof bits);
    for (int i = 0; i < 32; i++)
        out->codes[i] = values[nibble_of(block + 1, i)];
}

void kn_ref_unpack_row(enum tn_dtype dtype, const uint8_t *weight, int64_t cols, int64_t n,
                       const struct kn_ref_coded_row *row)
{
    static const block_unpacker unpackers[TN_DTYPE_COUNT] = {
        [TN_Q4_0] = unpack_q4_0,   [TN_Q4_1] = unpack_q4_1,     [TN_Q5_0] = unpack_q5_0,
        [TN_Q5_1] = unpack_q5_1,   [TN_Q8_0] = unpack_q8_0,     [TN_Q2_K] = unpack_q2_k,
        [TN_Q3_K] = unpack_q3_k,   [TN_Q4_K] = unpack_q4_k,     [TN_Q5_K] = unpack_q5_k,
        [TN_Q6_K] = unpack_q6_k,   [TN_IQ4_NL] = unpack_iq4_nl, [TN_IQ4_XS] = unpack_iq4_xs,
        [TN_MXFP4] = unpack_mxfp4,
    };
    const struct tn_dtype_info *info = tn_dtype_info(dtype);
    const int64_t blocks = cols / info->block, groups = info->block / tn_panel_form(dtype)->group;
    const uint8_t *block = weight + n * blocks * info->block_bytes;
    for (int64_t b = 0; b < blocks; b++, block += info->block_bytes) {
        const struct kn_ref_coded_row part = {row->codes + b * info->block,
                                              row->scales + b * groups, row->mins + b * groups};
        unpackers[dtype](block, &part);
    }
}

/* Scales and minimums of one block of 32 k for lane 0..31 of a panel. */
static void unpack_panel_scales(const struct tn_panel_form *form, const uint8_t *header,
                                const uint8_t *block, int lane, const struct kn_ref_coded_row *out)
{
    const int groups = 32 / form->group;
    if (form->scale == TN_SCALE_F32) {
        memcpy(out->scales, block + 4 * lane, 4);
        return;
    }
    if (form->scale == TN_SCALE_F16) {
        out->scales[0] = load_f16(block + 2 * lane);
        if (form->minimum)
            out->mins[0] = load_f16(block + 64 + 2 * lane);
        return;
    }
    for (int g = 0; g < groups; g++) {
        out->scales[g] = load_f16(header + 2 * lane) * (float)(int8_t)block[g * 32 + lane];
        if (form->minimum)
            out->mins[g] =
                -(load_f16(header + 64 + 2 * lane) * (float)block[(groups + g) * 32 + lane]);
    }
}

/* Planes of a panel (tensor/layout.h): their part of code i of a row. */
static int nibble_plane(const uint8_t *plane, int lane, int i)
{
    const uint8_t both = plane[i % 16 / 4 * 128 + lane * 4 + i % 4];
    return i < 16 ? both & 15 : both >> 4;
}

static int pair_plane(const uint8_t *plane, int lane, int i)
{
    return plane[i / 16 * 128 + lane * 4 + i % 4] >> (i % 16 / 4 * 2) & 3;
}

static int bit_plane(const uint8_t *plane, int lane, int i)
{
    return plane[lane * 4 + i % 4] >> (i / 4) & 1;
}

/* Code i as stored; the planes of each width are spelled out. */
static int stored_panel_code(int bits, const uint8_t *codes, int lane, int i)
{
    switch (bits) {
    case 2:
        return pair_plane(codes, lane, i);
    case 3:
        return pair_plane(codes, lane, i) + 4 * bit_plane(codes + 256, lane, i);
    case 4:
        return nibble_plane(codes, lane, i);
    case 5:
        return nibble_plane(codes, lane, i) + 16 * bit_plane(codes + 512, lane, i);
    case 6:
        return nibble_plane(codes, lane, i) + 16 * pair_plane(codes + 512, lane, i);
    default:
        return codes[i / 4 * 128 + lane * 4 + i % 4];
    }
}

static void unpack_panel_codes(const struct tn_panel_form *form, const uint8_t *codes, int lane,
                               int16_t *out)
{
    for (int i = 0; i < 32; i++) {
        const int code = stored_panel_code(form->code_bits, codes, lane, i);
        out[i] = (int16_t)(form->values ? form->values[code] : code - form->zero);
    }
}

void kn_ref_unpack_panel_row(enum tn_dtype dtype, const uint8_t *weight, int64_t cols, int64_t n,
                             const struct kn_ref_coded_row *row)
{
    const struct tn_panel_form *form = tn_panel_form(dtype);
    const int lane = (int)(n % TN_PANEL_ROWS), groups = 32 / form->group;
    const int64_t step = form->header_bytes + (int64_t)form->k_block / 32 * form->block_bytes;
    const uint8_t *panel = weight + n / TN_PANEL_ROWS * (cols / form->k_block * step);
    for (int64_t b = 0; b < cols / 32; b++) {
        const int64_t k_block = b * 32 / form->k_block, in_block = b - k_block * form->k_block / 32;
        const uint8_t *header = panel + k_block * step;
        const uint8_t *block = header + form->header_bytes + in_block * form->block_bytes;
        const struct kn_ref_coded_row part = {row->codes + b * 32, row->scales + b * groups,
                                              row->mins + b * groups};
        unpack_panel_scales(form, header, block, lane, &part);
        unpack_panel_codes(form, block + form->codes_at, lane, part.codes);
    }
}
