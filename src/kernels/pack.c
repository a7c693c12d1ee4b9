/*
 * PANEL32 packing (tensor/layout.h): 32 rows side by side, k-blocks one after another, so that a
 * mat-mul reads one forward stream. Panels are independent, so loading packs them on all threads;
 * with 256-bit vectors the work is bound by the reading and by the first touch of the target.
 */
#include "kernels/pack.h"

#include <string.h>

#include "base/cpu.h"
#include "kernels/pack_tmpl.h"
#include "kernels/rows.h"
#include "kernels/rows_codec.h"

bool kn_can_pack(enum tn_dtype dtype)
{
    return tn_panel_bytes(dtype, tn_dtype_info(dtype)->block) != 0;
}

void kn_pack_plain(const struct kn_packing *job, int64_t first, int64_t last)
{
    pack_panels(job, first, last);
}

void kn_pack_panels(enum tn_dtype dtype, const void *source, int64_t rows, int64_t cols,
                    int64_t first, int64_t last, void *target)
{
    const struct kn_packing job = {dtype, rows, cols, source, target};
    if (hs_cpu_get()->chosen >= HS_CPU_CLASS_AVX2)
        kn_pack_avx2(&job, first, last);
    else
        kn_pack_plain(&job, first, last);
}

/* Scale and minimum of group g of row r in a block of 32 k. */
static void read_scales(const struct tn_panel_form *form, const uint8_t *header,
                        const uint8_t *block, int r, int g, float scale_minimum[2])
{
    const int groups = TN_QUANT_BLOCK / form->group;
    scale_minimum[1] = 0.0f;
    if (form->scale == TN_SCALE_F32) {
        memcpy(scale_minimum, block + 4 * r, 4);
    } else if (form->scale == TN_SCALE_F16) {
        scale_minimum[0] = tn_f16_to_f32(kn_load_u16(block + 2 * r));
        if (form->minimum)
            scale_minimum[1] = tn_f16_to_f32(kn_load_u16(block + 64 + 2 * r));
    } else {
        float d = tn_f16_to_f32(kn_load_u16(header + 2 * r));
        scale_minimum[0] = d * (float)(int8_t)block[32 * g + r];
        if (form->minimum) {
            float dmin = tn_f16_to_f32(kn_load_u16(header + 64 + 2 * r));
            scale_minimum[1] = -(dmin * (float)block[32 * (groups + g) + r]);
        }
    }
}

/* Stored code i of row r in a block of 32 k: its planes put together. */
static int stored_code(int bits, const uint8_t *codes, int r, int i)
{
    const int j = i / 4, byte = 4 * r + i % 4; /* of the 128 bytes of a line of dwords */
    int code = 0, have = 0;
    if (bits == 8)
        return codes[128 * j + byte];
    if (bits >= 4) {
        code = codes[j % 4 * 128 + byte] >> (j / 4 * 4) & 15;
        codes += 512;
        have = 4;
    }
    if (bits & 2) {
        code |= (codes[j / 4 * 128 + byte] >> (j % 4 * 2) & 3) << have;
        codes += 256;
        have += 2;
    }
    return bits & 1 ? code | (codes[byte] >> j & 1) << have : code;
}

static int read_code(const struct tn_panel_form *form, const uint8_t *block, int r, int i)
{
    const int code = stored_code(form->code_bits, block + form->codes_at, r, i);
    return form->values ? form->values[code] : code - form->zero;
}

/* scale * code [+ minimum] has the bits of the decoders in rows_decode.c: a - m is a + (-m). */
static void decode_panel_block(const struct tn_panel_form *form, const uint8_t *header,
                               const uint8_t *block, int r, float *out)
{
    for (int g = 0; g < TN_QUANT_BLOCK / form->group; g++) {
        float scale[2];
        read_scales(form, header, block, r, g, scale);
        for (int i = g * form->group; i < (g + 1) * form->group; i++) {
            float value = scale[0] * (float)read_code(form, block, r, i);
            out[i] = form->minimum ? value + scale[1] : value;
        }
    }
}

void kn_decode_panel_row(enum tn_dtype dtype, const void *packed, int64_t cols, int64_t row,
                         float *out)
{
    const struct tn_panel_form *form = tn_panel_form(dtype);
    const uint8_t *panel =
        (const uint8_t *)packed + (size_t)(row / TN_PANEL_ROWS) * tn_panel_bytes(dtype, cols);
    const int r = (int)(row % TN_PANEL_ROWS);
    if (!form) {
        const size_t element_bytes = (size_t)tn_dtype_info(dtype)->block_bytes;
        const uint8_t *element = panel + (size_t)r * element_bytes;
        for (int64_t k = 0; k < cols; k++, element += TN_PANEL_ROWS * element_bytes)
            kn_decode_row(dtype, element, 1, out + k);
        return;
    }
    const size_t step = tn_panel_bytes(dtype, form->k_block);
    for (int64_t k = 0; k < cols; k += form->k_block, panel += step)
        for (int i = 0; i < form->k_block; i += TN_QUANT_BLOCK)
            decode_panel_block(form, panel,
                               panel + form->header_bytes + i / TN_QUANT_BLOCK * form->block_bytes,
                               r, out + k + i);
}
