/*
 * linear: the packed forms of coded weights as compile-time constants.
 *
 * A second statement of tensor/layout.c's panel_forms (kernels compare equal to the reference,
 * which reads that one): every field must be a constant of the tile function it is inlined into.
 * Included once per machine class.
 */
#ifndef HASTEN_KERNELS_X86_LINEAR_FORMS_TMPL_H
#define HASTEN_KERNELS_X86_LINEAR_FORMS_TMPL_H

#include "kernels/x86/vec16_tmpl.h"
#include "tensor/layout.h"

/* As struct tn_panel_form, or an unpacked form: f32 scales, f32 minimums, a byte per code. */
struct code_form {
    enum tn_scale_kind scale;
    int group;            /* 32 or 16 */
    bool minimum;         /* f16 and f32 minimums are m_w, those of K types -m_w */
    int bits;             /* 2 to 6, or 8 */
    int zero;             /* 0, 4, 8, 16, 32, 128 */
    const int8_t *values; /* of a table type */
    int k_block, header_bytes, codes_at, block_bytes;
    bool spread; /* unpacked: a byte per code, whatever its bits */
};

static const int8_t values_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t values_e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* clang-format off */
#define FLAT(kind, group, minimum, bits, zero, values, codes_at)                                   \
    {kind, group, minimum, bits, zero, values, 32, 0, codes_at, (codes_at) + 128 * (bits), false}
#define SUPER(group, minimum, bits, zero, values, codes_at)                                        \
    {TN_SCALE_SUPER, group, minimum, bits, zero, values, 256, (minimum) ? 128 : 64, codes_at,      \
     (codes_at) + 128 * (bits), false}
#define SPREAD(group, minimum, bits, zero, codes_at)                                               \
    {TN_SCALE_F32, group, minimum, bits, zero, NULL, 32, 0, codes_at, (codes_at) + 1024, true}
static const struct code_form
    form_q4_0   = FLAT (TN_SCALE_F16, 32, false, 4, 8,   NULL,        64),
    form_q4_1   = FLAT (TN_SCALE_F16, 32, true,  4, 0,   NULL,        128),
    form_q5_0   = FLAT (TN_SCALE_F16, 32, false, 5, 16,  NULL,        64),
    form_q5_1   = FLAT (TN_SCALE_F16, 32, true,  5, 0,   NULL,        128),
    form_q8_0   = FLAT (TN_SCALE_F16, 32, false, 8, 128, NULL,        64),
    form_iq4_nl = FLAT (TN_SCALE_F16, 32, false, 4, 0,   values_iq4,  64),
    form_mxfp4  = FLAT (TN_SCALE_F32, 32, false, 4, 0,   values_e2m1, 128),
    form_q2_k   = SUPER(              16, true,  2, 0,   NULL,        128),
    form_q3_k   = SUPER(              16, false, 3, 4,   NULL,        64),
    form_q4_k   = SUPER(              32, true,  4, 0,   NULL,        64),
    form_q5_k   = SUPER(              32, true,  5, 0,   NULL,        64),
    form_q6_k   = SUPER(              16, false, 6, 32,  NULL,        64),
    form_iq4_xs = SUPER(              32, false, 4, 0,   values_iq4,  64);
/* clang-format on */

/* -128 * sum >> this is -zero * sum, exactly; zero is one of a form, not 0. */
V16_INLINE int offset_shift(int zero)
{
    return zero == 128 ? 0 : zero == 32 ? 2 : zero == 16 ? 3 : zero == 8 ? 4 : 5;
}

#endif
