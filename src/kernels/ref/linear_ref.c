/*
 * linear: the plain statement of the mat-mul with its epilogue lists (NUMERICS.md, op_attrs.h).
 *
 * Unit: unit_rows output features of one segment, all rows of the activation (a GLU segment brings
 * the features of its paired segment along; paired segments have no units of their own). Inside a
 * unit a weight row is unpacked once per KN_REF_ROWS activation rows; the float chain of an output
 * element does not depend on that. Scratch: two tiles and one unpacked weight row.
 */
#include <math.h>
#include <string.h>

#include "kernels/math.h"
#include "kernels/ref/coded_row_ref.h"
#include "kernels/ref/ref_util.h"
#include "kernels/rows.h"

#define KN_REF_ROWS      8  /* activation rows per pass over the weights */
#define KN_REF_MIN_GROUP 16 /* fewest k per scale */

/* One weight row, unpacked. */
struct weight_row {
    float *values;                 /* float types: [cols] */
    struct kn_ref_coded_row coded; /* coded types */
};

struct scratch_parts {
    float *tile, *paired_tile; /* [KN_REF_ROWS][unit_rows] */
    struct weight_row row;
};

static size_t linear_scratch(const void *attrs)
{
    const struct op_linear_attrs *a = attrs;
    size_t tiles = 2 * (size_t)KN_REF_ROWS * (size_t)a->unit_rows * sizeof(float);
    size_t cols = (size_t)a->cols;
    return tiles + cols * sizeof(float) + cols * sizeof(int16_t) +
           2 * (cols / KN_REF_MIN_GROUP + 1) * sizeof(float);
}

static struct scratch_parts split_scratch(const struct op_linear_attrs *a, void *scratch)
{
    struct scratch_parts parts;
    float *at = scratch;
    parts.tile = at;
    parts.paired_tile = at + (int64_t)KN_REF_ROWS * a->unit_rows;
    at += 2 * (int64_t)KN_REF_ROWS * a->unit_rows;
    parts.row.values = at;
    parts.row.coded.scales = at + a->cols;
    parts.row.coded.mins = parts.row.coded.scales + a->cols / KN_REF_MIN_GROUP + 1;
    parts.row.coded.codes =
        (int16_t *)(void *)(parts.row.coded.mins + a->cols / KN_REF_MIN_GROUP + 1);
    return parts;
}

static void unpack_row(const struct op_segment *segment, const uint8_t *weight, int64_t cols,
                       int64_t n, struct weight_row *row)
{
    enum tn_dtype dtype = (enum tn_dtype)segment->dtype;
    bool panel = segment->layout == TN_LAYOUT_PANEL32;
    if (tn_dtype_is_quantized(dtype)) {
        if (panel)
            kn_ref_unpack_panel_row(dtype, weight, cols, n, &row->coded);
        else
            kn_ref_unpack_row(dtype, weight, cols, n, &row->coded);
    } else if (panel) {
        kn_decode_panel_row(dtype, weight, cols, n, row->values);
    } else {
        kn_decode_row(dtype, weight + n * cols * tn_dtype_info(dtype)->block_bytes, cols,
                      row->values);
    }
}

static float dot_float(const struct weight_row *row, const float *x, int64_t cols)
{
    float acc = 0.0f;
    for (int64_t k = 0; k < cols; k++)
        acc = fmaf(row->values[k], x[k], acc);
    return acc;
}

/* sum_a of the minimum's term: the A8 sums entry for groups of 32, else made of the group's codes.
 */
static float activation_sum(const struct tn_a8 *x, const int8_t *codes, int group, int64_t entry)
{
    int32_t sum = 0;
    if (group == TN_QUANT_BLOCK)
        return x->sums[entry];
    for (int i = 0; i < group; i++)
        sum += codes[i];
    return x->scales[entry] * (float)sum;
}

/* Of fixed length, which compilers turn into a few instructions: tests spend their time here. */
static int32_t dot_16(const int16_t *w, const int8_t *a)
{
    int32_t sum = 0;
    for (int i = 0; i < 16; i++)
        sum += w[i] * a[i];
    return sum;
}

static float dot_coded(const struct kn_ref_coded_row *row, const struct tn_panel_form *form,
                       const struct kn_call *call, const struct tn_a8 *x, int64_t t)
{
    const int64_t cols = ((const struct op_linear_attrs *)call->attrs)->cols;
    float acc = 0.0f;
    for (int64_t g = 0; g < cols / form->group; g++) {
        const int16_t *w = row->codes + g * form->group;
        const int8_t *a = x->codes + t * cols + g * form->group;
        const int64_t entry = g * form->group / TN_QUANT_BLOCK * call->rows + t;
        int32_t isum = dot_16(w, a);
        if (form->group == TN_QUANT_BLOCK)
            isum += dot_16(w + 16, a + 16);
        acc = fmaf((float)isum, row->scales[g] * x->scales[entry], acc);
        if (form->minimum)
            acc = fmaf(row->mins[g], activation_sum(x, a, form->group, entry), acc);
    }
    return acc;
}

/* Part of a segment's output that one unit works on. */
struct tile {
    int64_t first_row; /* activation rows first_row..first_row+rows */
    int rows;
    int64_t first_feature; /* output features first_feature..first_feature+features */
    int features;
    float *values; /* [rows][unit_rows] */
};

/* Products of a tile: values[r][n] = W[first_feature + n] * x[first_row + r]. */
static void multiply(const struct kn_call *call, const struct op_segment *segment,
                     const struct tile *tile, struct weight_row *row)
{
    const struct op_linear_attrs *a = call->attrs;
    const uint8_t *weight = call->operand[segment->weight];
    const float *x = call->operand[0];
    const struct tn_panel_form *form = tn_panel_form((enum tn_dtype)segment->dtype);
    struct tn_a8 x_a8 = {0};
    if (a->input_a8)
        x_a8 = tn_a8_view(call->operand[0], call->rows, a->cols);
    for (int n = 0; n < tile->features; n++) {
        unpack_row(segment, weight, a->cols, tile->first_feature + n, row);
        for (int r = 0; r < tile->rows; r++) {
            int64_t t = tile->first_row + r;
            tile->values[(int64_t)r * a->unit_rows + n] =
                a->input_a8 ? dot_coded(&row->coded, form, call, &x_a8, t)
                            : dot_float(row, x + t * a->cols, a->cols);
        }
    }
}

/* Writes row t of a tile into the pages of the step's state. */
static void append_row(const struct kn_call *call, const struct op_segment *segment,
                       const struct op_epilogue_step *step, int64_t t, const struct tile *tile,
                       const float *values)
{
    const struct kn_state *state = call->operand[step->operand];
    struct kn_ref_slot slot =
        kn_ref_find_slot(state, call->batch, segment->kv_layer, call->batch->seq_of_row[t],
                         kn_kv_index(call->batch, (int32_t)t));
    int first_head = (int)(tile->first_feature / segment->kv_head_dim);
    for (int h = 0; h < tile->features / segment->kv_head_dim; h++) {
        const float *head = values + (int64_t)h * segment->kv_head_dim;
        if (step->kind == OP_EPI_APPEND_K)
            kn_ref_store_k(&state->layout, slot, first_head + h, head);
        else
            kn_ref_store_v(&state->layout, slot, first_head + h, head);
    }
}

static void quantize_row(const struct kn_call *call, const struct op_segment *segment,
                         const struct op_epilogue_step *step, int64_t t, const struct tile *tile,
                         const float *values)
{
    struct tn_a8 out = tn_a8_view(kn_ref_output(call, step->output), call->rows, segment->rows);
    int64_t block = tile->first_feature / TN_QUANT_BLOCK;
    kn_quantize_row_ref(values, tile->features, out.codes + t * segment->rows + tile->first_feature,
                        out.scales + block * call->rows + t, out.sums + block * call->rows + t,
                        call->rows);
}

/* Applies one step to one row of a tile. paired: the same row of the paired segment's tile. */
static void apply_step(const struct kn_call *call, const struct op_segment *segment,
                       const struct op_epilogue_step *step, int64_t t, const struct tile *tile,
                       float *values, const float *paired)
{
    int64_t at = t * segment->rows + tile->first_feature; /* in an f32 [n][N] operand or output */
    int n = tile->features;
    switch ((enum op_epilogue_kind)step->kind) {
    case OP_EPI_ADD: {
        const float *other = (const float *)call->operand[step->operand] + at;
        for (int i = 0; i < n; i++)
            values[i] = values[i] + other[i];
        break;
    }
    case OP_EPI_ROPE: {
        const float *table = (const float *)call->operand[step->operand] + t * segment->rope_dims;
        for (int i = 0; i < n; i += segment->rope_head_dim)
            kn_ref_rotate(values + i, segment->rope_dims, segment->rope_style, table);
        break;
    }
    case OP_EPI_SCALE:
        for (int i = 0; i < n; i++)
            values[i] = values[i] * step->value;
        break;
    case OP_EPI_SOFTCAP:
        for (int i = 0; i < n; i++)
            values[i] = step->value * kn_tanhf(values[i] / step->value);
        break;
    case OP_EPI_GLU_SILU:
        for (int i = 0; i < n; i++)
            values[i] = kn_siluf(values[i]) * paired[i];
        break;
    case OP_EPI_GLU_GELU:
        for (int i = 0; i < n; i++)
            values[i] = kn_gelu_tanhf(values[i]) * paired[i];
        break;
    case OP_EPI_STORE:
        memcpy((float *)kn_ref_output(call, step->output) + at, values, (size_t)n * sizeof(float));
        break;
    case OP_EPI_QUANTIZE:
        quantize_row(call, segment, step, t, tile, values);
        break;
    case OP_EPI_APPEND_K:
    case OP_EPI_APPEND_V:
        append_row(call, segment, step, t, tile, values);
        break;
    case OP_EPI_END:
    case OP_EPI_PAIRED:
        break;
    }
}

static bool is_paired(const struct op_segment *segment)
{
    return segment->steps[0].kind == OP_EPI_PAIRED;
}

static bool is_glu(int32_t kind)
{
    return kind == OP_EPI_GLU_SILU || kind == OP_EPI_GLU_GELU;
}

static bool segment_has_glu(const struct op_segment *segment)
{
    for (int i = 0; i < OP_EPILOGUE_STEPS; i++) {
        if (is_glu(segment->steps[i].kind))
            return true;
    }
    return false;
}

static int64_t segment_units(const struct op_linear_attrs *a, const struct op_segment *segment)
{
    return is_paired(segment) ? 0 : (segment->rows + a->unit_rows - 1) / a->unit_rows;
}

static int64_t linear_units(const struct kn_call *call)
{
    const struct op_linear_attrs *a = call->attrs;
    int64_t units = 0;
    for (int i = 0; i < a->segments; i++)
        units += segment_units(a, &a->segment[i]);
    return call->rows > 0 ? units : 0;
}

/* Unit `unit` of one segment. */
static void run_unit(const struct kn_call *call, const struct op_segment *segment, int64_t unit,
                     struct scratch_parts *parts)
{
    const struct op_linear_attrs *a = call->attrs;
    struct tile tile = {.values = parts->tile, .first_feature = unit * a->unit_rows};
    int64_t left = segment->rows - tile.first_feature;
    tile.features = (int)(left < a->unit_rows ? left : a->unit_rows);
    for (int64_t t0 = 0; t0 < call->rows; t0 += KN_REF_ROWS) {
        tile.first_row = t0;
        tile.rows = (int)(call->rows - t0 < KN_REF_ROWS ? call->rows - t0 : KN_REF_ROWS);
        multiply(call, segment, &tile, &parts->row);
        if (segment_has_glu(segment)) {
            struct tile paired = tile;
            paired.values = parts->paired_tile;
            multiply(call, segment + 1, &paired, &parts->row);
        }
        for (int r = 0; r < tile.rows; r++) {
            int64_t at = (int64_t)r * a->unit_rows;
            for (int i = 0; i < OP_EPILOGUE_STEPS; i++)
                apply_step(call, segment, &segment->steps[i], t0 + r, &tile, parts->tile + at,
                           parts->paired_tile + at);
        }
    }
}

static enum hasten_status linear_run(const struct kn_call *call, int64_t first, int64_t last,
                                     void *scratch)
{
    const struct op_linear_attrs *a = call->attrs;
    struct scratch_parts parts = split_scratch(a, scratch);
    int64_t base = 0; /* first unit of segment i */
    for (int i = 0; i < a->segments; i++) {
        int64_t units = segment_units(a, &a->segment[i]);
        for (int64_t u = 0; u < units; u++) {
            if (base + u >= first && base + u < last)
                run_unit(call, &a->segment[i], u, &parts);
        }
        base += units;
    }
    return HASTEN_OK;
}

static bool weight_valid(const struct op_linear_attrs *a, const struct op_segment *segment)
{
    enum tn_dtype dtype = (enum tn_dtype)segment->dtype;
    bool coded = tn_panel_form(dtype) != NULL && a->cols % tn_dtype_info(dtype)->block == 0;
    bool plain = dtype == TN_F32 || dtype == TN_F16 || dtype == TN_BF16;
    if (segment->layout != TN_LAYOUT_ROWS && segment->layout != TN_LAYOUT_PANEL32)
        return false;
    if (segment->rows < 1 || segment->weight < 0 || segment->weight >= KN_OPERANDS)
        return false;
    return a->input_a8 ? coded : plain;
}

/* Does the last step of a list write, and do sizes fit what the steps need whole? */
static bool step_valid(const struct op_linear_attrs *a, int index, int step_index)
{
    const struct op_segment *segment = &a->segment[index];
    switch ((enum op_epilogue_kind)segment->steps[step_index].kind) {
    case OP_EPI_ROPE:
        return segment->rope_head_dim >= 1 && segment->rope_dims >= 2 &&
               segment->rope_dims % 2 == 0 && segment->rope_dims <= segment->rope_head_dim &&
               segment->rows % segment->rope_head_dim == 0 &&
               a->unit_rows % segment->rope_head_dim == 0;
    case OP_EPI_GLU_SILU:
    case OP_EPI_GLU_GELU:
        return index + 1 < a->segments && is_paired(&a->segment[index + 1]) &&
               a->segment[index + 1].rows == segment->rows;
    case OP_EPI_QUANTIZE:
        return segment->rows % TN_QUANT_BLOCK == 0;
    case OP_EPI_APPEND_K:
    case OP_EPI_APPEND_V:
        return segment->kv_head_dim >= 1 && segment->kv_layer >= 0 &&
               segment->rows == (int64_t)segment->kv_heads * segment->kv_head_dim &&
               a->unit_rows % segment->kv_head_dim == 0 && tn_kv_dtype_valid(segment->kv_dtype);
    case OP_EPI_SOFTCAP:
        return segment->steps[step_index].value > 0.0f;
    case OP_EPI_PAIRED:
        return step_index == 0 && index > 0 && segment_has_glu(&a->segment[index - 1]);
    case OP_EPI_END:
    case OP_EPI_ADD:
    case OP_EPI_SCALE:
    case OP_EPI_STORE:
        return true;
    }
    return false;
}

static bool is_last_step(int32_t kind)
{
    return kind == OP_EPI_STORE || kind == OP_EPI_QUANTIZE || kind == OP_EPI_APPEND_K ||
           kind == OP_EPI_APPEND_V || kind == OP_EPI_PAIRED;
}

static bool epilogue_valid(const struct op_linear_attrs *a, int index)
{
    const struct op_segment *segment = &a->segment[index];
    bool finished = false;
    for (int i = 0; i < OP_EPILOGUE_STEPS; i++) {
        if (finished != (segment->steps[i].kind == OP_EPI_END) || !step_valid(a, index, i))
            return false;
        if (is_last_step(segment->steps[i].kind))
            finished = true;
    }
    return finished;
}

static bool linear_accepts(const void *attrs)
{
    const struct op_linear_attrs *a = attrs;
    if (a->cols < 1 || a->segments < 1 || a->segments > OP_LINEAR_SEGMENTS || a->unit_rows < 32 ||
        a->unit_rows % TN_PANEL_ROWS != 0)
        return false;
    for (int i = 0; i < a->segments; i++) {
        if (!weight_valid(a, &a->segment[i]) || !epilogue_valid(a, i))
            return false;
    }
    return true;
}

const struct kn_kernel kn_linear__ref = {
    .name = "linear__ref",
    .op = OP_LINEAR,
    .cpu_class = HS_CPU_CLASS_REF,
    .accepts = linear_accepts,
    .units = linear_units,
    .run = linear_run,
    .scratch_bytes = linear_scratch,
};
