/*
 * linear: the driver around the tile functions: units, chunks of tokens, epilogues.
 *
 * A unit is unit_rows output features of one segment (of a GLU pair: of both) and all rows of the
 * call; units run over the segments in order, a PAIRED segment has none of its own. Inside a unit
 * the tokens are cut into chunks whose tiles stay in the fastest caches: for each chunk all panels
 * of the unit, for each panel all token groups, each group over the whole K. So a weight is read
 * from memory once (by the first group, which prefetches, or by unpacking) and again from L1/L2 by
 * the others. How tokens are grouped cannot change a bit: every output is its own chain over k.
 *
 * Scales and sums are copied per chunk when there are several: their rows are T floats apart, and
 * at T = 512 all blocks of K would fall into two sets of L1.
 *
 * Included once per machine class by linear__CLASS.c, which defines what linear_table_tmpl.h asks
 * for, and
 *   ONE_STREAM_TOKENS: up to so many tokens a panel is read once, from its start to its end
 *   wants_offsets(form): does a type need -128 * sums of codes (struct linear_tile, offset)?
 *   row_offsets(row, count, cols, ld, out), row_offsets16: those of OFFSET_ROWS rows, of which the
 *     first count are stored, out [K/32][ld] and [K/16][ld]
 */
#ifndef HASTEN_KERNELS_X86_LINEAR_DRIVER_TMPL_H
#define HASTEN_KERNELS_X86_LINEAR_DRIVER_TMPL_H

#include "kernels/x86/linear_epilogue_tmpl.h"
#include "kernels/x86/linear_table_tmpl.h"
#include "kernels/x86/linear_tile_tmpl.h"

/* What tiles need of a chunk's activations beside the codes, [K/32][tokens of the chunk] each;
 * those of groups of 16 [K/16][tokens]. */
struct chunk_scales {
    float *scales, *sums, *sums16;
    int32_t *offset, *offset16;
    const float *scales_used, *sums_used; /* these, or the input's own when it is one chunk */
    int64_t token; /* first token of the chunk it was made for, -1: none yet */
};

struct linear_run {
    const struct kn_call *call;
    const struct op_linear_attrs *attrs;
    struct tn_a8 a8; /* the input, when it is one */
    float *tile[2];  /* [LINEAR_CHUNK][unit_rows]; [1]: the paired segment's */
    struct chunk_scales scales;
    uint8_t *unpacked[2]; /* the unit's panels, [1]: the paired segment's */
};

struct linear_chunk {
    int64_t token;
    int tokens;
};

/* One unit: features [row, row + rows) of segment[index]. */
struct linear_unit {
    int index;
    int64_t row;
    int rows;
};

static bool is_glu(const struct op_segment *segment)
{
    for (int i = 0; i < OP_EPILOGUE_STEPS; i++)
        if (segment->steps[i].kind == OP_EPI_GLU_SILU || segment->steps[i].kind == OP_EPI_GLU_GELU)
            return true;
    return false;
}

static int64_t segment_units(const struct op_linear_attrs *attrs, int index)
{
    const struct op_segment *segment = &attrs->segment[index];
    if (segment->steps[0].kind == OP_EPI_PAIRED)
        return 0;
    return (segment->rows + attrs->unit_rows - 1) / attrs->unit_rows;
}

static int64_t linear_units(const struct kn_call *call)
{
    const struct op_linear_attrs *attrs = call->attrs;
    int64_t units = 0;
    for (int i = 0; i < attrs->segments; i++)
        units += segment_units(attrs, i);
    return call->rows > 0 ? units : 0;
}

static struct linear_unit find_unit(const struct op_linear_attrs *attrs, int64_t unit)
{
    int index = 0;
    while (unit >= segment_units(attrs, index))
        unit -= segment_units(attrs, index++);
    const int64_t row = unit * attrs->unit_rows, left = attrs->segment[index].rows - row;
    return (struct linear_unit){index, row,
                                (int)(left < attrs->unit_rows ? left : attrs->unit_rows)};
}

/* What the segments' types ask for beside scales and sums. */
struct segment_needs {
    bool offsets, groups_of_16, sums16;
};

static struct segment_needs needs_of(const struct op_linear_attrs *attrs)
{
    struct segment_needs needs = {false, false, false};
    for (int i = 0; i < attrs->segments; i++) {
        const struct tn_panel_form *form = tn_panel_form((enum tn_dtype)attrs->segment[i].dtype);
        if (!form)
            continue;
        const bool offsets = wants_offsets(form);
        needs.offsets |= form->group == 32 && offsets;
        needs.groups_of_16 |= form->group == 16 && (offsets || form->minimum);
        needs.sums16 |= form->group == 16 && form->minimum;
    }
    return needs;
}

/* What row_offsets computes, of all tokens; rows beyond the last are read as the last. */
static void code_offsets(const int8_t *codes, int64_t cols, int tokens, int group, int32_t *out)
{
    const int8_t *row[OFFSET_ROWS];
    for (int t = 0; t < tokens; t += OFFSET_ROWS) {
        const int count = tokens - t < OFFSET_ROWS ? tokens - t : OFFSET_ROWS;
        for (int i = 0; i < OFFSET_ROWS; i++)
            row[i] = codes + (t + (i < count ? i : count - 1)) * cols;
        (group == 32 ? row_offsets : row_offsets16)(row, count, cols, tokens, out + t);
    }
}

/* Copies the chunk's scales and sums together and computes the code offsets. */
static void prepare_chunk(struct linear_run *run, struct linear_chunk chunk)
{
    struct chunk_scales *to = &run->scales;
    const int64_t rows = run->call->rows, cols = run->attrs->cols;
    if (!run->attrs->input_a8 || to->token == chunk.token)
        return;
    to->token = chunk.token;
    const bool whole = chunk.tokens == rows; /* nothing to put together */
    to->scales_used = whole ? run->a8.scales : to->scales;
    to->sums_used = whole ? run->a8.sums : to->sums;
    for (int64_t b = 0; b < cols / TN_QUANT_BLOCK && !whole; b++) {
        const float *scales = run->a8.scales + b * rows + chunk.token;
        const float *sums = run->a8.sums + b * rows + chunk.token;
        for (int t = 0; t < chunk.tokens; t++) {
            to->scales[b * chunk.tokens + t] = scales[t];
            to->sums[b * chunk.tokens + t] = sums[t];
        }
    }
    const int8_t *codes = run->a8.codes + chunk.token * cols;
    const struct segment_needs needs = needs_of(run->attrs);
    if (needs.offsets)
        code_offsets(codes, cols, chunk.tokens, 32, to->offset);
    if (needs.groups_of_16)
        code_offsets(codes, cols, chunk.tokens, 16, to->offset16);
    if (needs.sums16) {
        for (int64_t g = 0; g < cols / 16; g++)
            for (int t = 0; t < chunk.tokens; t++)
                to->sums16[g * chunk.tokens + t] =
                    to->scales_used[g / 2 * chunk.tokens + t] *
                    (float)-(to->offset16[g * chunk.tokens + t] >> 7);
    }
}

/* The tile descriptor of a chunk's tokens; the weight and the output are filled in per panel. */
static struct linear_tile chunk_tile(const struct linear_run *run, struct linear_chunk chunk)
{
    const struct op_linear_attrs *attrs = run->attrs;
    struct linear_tile tile = {
        .cols = attrs->cols, .ld_x = attrs->cols, .ld_out = attrs->unit_rows};
    if (!attrs->input_a8) {
        tile.x = (const float *)run->call->operand[0] + chunk.token * attrs->cols;
        return tile;
    }
    tile.codes = run->a8.codes + chunk.token * attrs->cols;
    tile.scales = run->scales.scales_used;
    tile.sums = run->scales.sums_used;
    tile.offset = run->scales.offset;
    tile.sums16 = run->scales.sums16;
    tile.offset16 = run->scales.offset16;
    tile.ld_scales = chunk.tokens;
    return tile;
}

/* Memory that the epilogue will touch: for each token, `bytes` bytes of a panel. */
struct linear_touch {
    const uint8_t *base;
    int64_t stride, bytes;
};

/* Outputs and residuals lie in L3 or beyond, and the epilogue would wait for each line; a tile
 * computes long enough to fetch its own part. */
static void prefetch_touched(const struct linear_touch *touch, int token, int tokens)
{
    for (int t = token; t < token + tokens; t++)
        for (int64_t i = 0; i < touch->bytes; i += 64)
            _mm_prefetch((const char *)touch->base + t * touch->stride + i, _MM_HINT_T0);
}

/* What a step touches from feature `row` and token `token` on; no bytes when nothing of the kind.
 */
static struct linear_touch step_touches(const struct linear_run *run,
                                        const struct op_segment *segment,
                                        const struct op_epilogue_step *step, int64_t row,
                                        int64_t token)
{
    void *const *in = run->call->operand, *const *out = in + run->call->inputs;
    const int64_t at = token * segment->rows + row;
    switch (step->kind) {
    case OP_EPI_ADD:
        return (struct linear_touch){(const uint8_t *)((const float *)in[step->operand] + at),
                                     segment->rows * 4, 128};
    case OP_EPI_STORE:
        return (struct linear_touch){(const uint8_t *)((const float *)out[step->output] + at),
                                     segment->rows * 4, 128};
    case OP_EPI_QUANTIZE:
        return (struct linear_touch){(const uint8_t *)out[step->output] + at, segment->rows, 32};
    default:
        return (struct linear_touch){NULL, 0, 0};
    }
}

/* What tiles prefetch: of the panel that is read after the current one, each token group takes its
 * share, spread over its blocks. So memory is read at an even rate while all groups compute, not
 * only under the first one. */
struct linear_ahead {
    const uint8_t *base;
    int lines;         /* per 32 k, for all groups together */
    int group, groups; /* the next token group, and how many there are; over all chunks */
};

static void set_ahead(struct linear_tile *tile, struct linear_ahead *ahead)
{
    const int64_t blocks = tile->cols / TN_QUANT_BLOCK;
    const int from = ahead->lines * ahead->group / ahead->groups;
    const int to = ahead->lines * (ahead->group + 1) / ahead->groups;
    tile->ahead = ahead->base ? ahead->base + from * blocks * 64 : NULL;
    tile->ahead_lines = to - from;
    ahead->group++;
}

/* A panel as tiles read it. */
struct linear_panel {
    enum tn_dtype dtype;
    bool unpacked;
    int group_max; /* tokens per group */
    struct linear_ahead ahead;
};

/* One panel x the tokens of a chunk, in token groups of equal size (+-1). */
static void run_panel(struct linear_tile tile, struct linear_panel panel, struct linear_chunk chunk,
                      const struct linear_touch touch[OP_EPILOGUE_STEPS])
{
    const int groups = (chunk.tokens + panel.group_max - 1) / panel.group_max;
    const bool coded = tile.codes != NULL;
    for (int g = 0, t = 0; g < groups; g++) {
        const int tokens = (chunk.tokens - t) / (groups - g);
        for (int i = 0; i < OP_EPILOGUE_STEPS; i++)
            prefetch_touched(&touch[i], t, tokens);
        if (coded)
            set_ahead(&tile, &panel.ahead);
        tile_function(panel.dtype, panel.unpacked, tokens)(&tile);
        t += tokens;
        tile.out += tokens * tile.ld_out;
        if (coded) {
            tile.codes += tokens * tile.ld_x;
            tile.scales += tokens;
            tile.sums += tokens;
            tile.offset += tokens;
            if (tile.offset16) {
                tile.sums16 += tokens;
                tile.offset16 += tokens;
            }
        } else {
            tile.x += tokens * tile.ld_x;
        }
    }
}

/* First panel of a unit in the packed weight of segment `index`. */
static const uint8_t *unit_panels(const struct linear_run *run, int index, int64_t row)
{
    const struct op_segment *segment = &run->attrs->segment[index];
    return (const uint8_t *)run->call->operand[segment->weight] +
           (size_t)(row / TN_PANEL_ROWS) *
               tn_panel_bytes((enum tn_dtype)segment->dtype, run->attrs->cols);
}

static bool is_unpacked(const struct linear_run *run, int index)
{
    return unpack_pays((enum tn_dtype)run->attrs->segment[index].dtype, run->call->rows);
}

/* Unpacks the unit's panels of segment unit.index + paired, where that pays. */
static void unpack_unit(const struct linear_run *run, struct linear_unit unit, int paired)
{
    const int index = unit.index + paired;
    if (!is_unpacked(run, index))
        return;
    const int64_t cols = run->attrs->cols;
    const enum tn_dtype dtype = (enum tn_dtype)run->attrs->segment[index].dtype;
    const size_t bytes = tn_panel_bytes(dtype, cols);
    const uint8_t *panel = unit_panels(run, index, unit.row);
    uint8_t *to = run->unpacked[paired];
    for (int row = 0; row < unit.rows; row += TN_PANEL_ROWS) {
        code_kernels[dtype].unpack(panel, cols, to);
        panel += bytes;
        to += unpack_bytes(dtype, cols);
    }
}

/* How the panels of segment `index` are read; ahead.base is set per panel. */
static struct linear_panel panel_of(const struct linear_run *run, int index,
                                    struct linear_chunk chunk)
{
    const int64_t rows = run->call->rows, cols = run->attrs->cols;
    struct linear_panel panel = {.dtype = (enum tn_dtype)run->attrs->segment[index].dtype,
                                 .unpacked = is_unpacked(run, index)};
    panel.group_max = tile_tokens_max(panel.dtype, panel.unpacked, rows);
    if (!run->attrs->input_a8)
        return panel;
    const size_t lines = tn_panel_bytes(panel.dtype, cols) / 64;
    panel.ahead.lines = (int)((lines * TN_QUANT_BLOCK + (size_t)cols - 1) / (size_t)cols);
    panel.ahead.group = (int)(chunk.token / panel.group_max);
    panel.ahead.groups = (int)((rows + panel.group_max - 1) / panel.group_max);
    return panel;
}

/* What is read after the panel at `packed`: the panel behind it, or, when units are unpacked, the
 * one in the next unit. NULL: the panel is read once and prefetches for itself. */
static const uint8_t *ahead_of(const struct linear_run *run, const struct linear_panel *panel,
                               const uint8_t *packed)
{
    if (run->call->rows <= ONE_STREAM_TOKENS)
        return NULL;
    const int panels = panel->unpacked ? run->attrs->unit_rows / TN_PANEL_ROWS : 1;
    return packed + (size_t)panels * tn_panel_bytes(panel->dtype, run->attrs->cols);
}

/* The unit's features of segment unit.index + paired for a chunk -> run->tile[paired]. */
static void run_segment(const struct linear_run *run, struct linear_unit unit, int paired,
                        struct linear_chunk chunk)
{
    const int index = unit.index + paired;
    const int64_t cols = run->attrs->cols;
    const struct op_segment *segment = &run->attrs->segment[index];
    struct linear_panel panel = panel_of(run, index, chunk);
    const size_t packed_bytes = tn_panel_bytes(panel.dtype, cols);
    const size_t bytes = panel.unpacked ? unpack_bytes(panel.dtype, cols) : packed_bytes;
    const uint8_t *packed = unit_panels(run, index, unit.row);
    struct linear_tile tile = chunk_tile(run, chunk);
    tile.w = panel.unpacked ? run->unpacked[paired] : packed;
    for (int row = 0; row < unit.rows; row += TN_PANEL_ROWS, tile.w += bytes) {
        struct linear_touch touch[OP_EPILOGUE_STEPS];
        for (int i = 0; i < OP_EPILOGUE_STEPS; i++)
            touch[i] = step_touches(run, segment, &segment->steps[i], unit.row + row, chunk.token);
        tile.out = run->tile[paired] + row;
        panel.ahead.base = ahead_of(run, &panel, packed);
        packed += packed_bytes;
        run_panel(tile, panel, chunk, touch);
    }
}

/* Tokens of the next chunk: full ones of whole token groups, and no small rest behind them. */
static int chunk_tokens(int64_t left)
{
    if (left <= LINEAR_CHUNK)
        return (int)left;
    return left < LINEAR_CHUNK * 3 / 2 ? LINEAR_CHUNK * 3 / 4 : LINEAR_CHUNK;
}

static void run_unit(struct linear_run *run, struct linear_unit unit)
{
    const struct op_segment *segment = &run->attrs->segment[unit.index];
    const int segments = is_glu(segment) ? 2 : 1;
    const int64_t rows = run->call->rows;
    for (int s = 0; s < segments; s++)
        unpack_unit(run, unit, s);
    for (int64_t token = 0; token < rows;) {
        const struct linear_chunk chunk = {token, chunk_tokens(rows - token)};
        prepare_chunk(run, chunk);
        for (int s = 0; s < segments; s++)
            run_segment(run, unit, s, chunk);
        const struct linear_result result = {.call = run->call,
                                             .segment = segment,
                                             .tile = run->tile[0],
                                             .ld = run->attrs->unit_rows,
                                             .row = unit.row,
                                             .rows = unit.rows,
                                             .token = chunk.token,
                                             .tokens = chunk.tokens};
        run_epilogue(&result, segments == 2 ? run->tile[1] : NULL);
        token += chunk.tokens;
    }
}

static size_t tile_bytes(const struct op_linear_attrs *attrs)
{
    return (size_t)attrs->unit_rows * LINEAR_CHUNK * sizeof(float);
}

/* One array of struct chunk_scales; a multiple of 64. */
static size_t chunk_scales_bytes(const struct op_linear_attrs *attrs)
{
    return (size_t)(attrs->cols / TN_QUANT_BLOCK) * LINEAR_CHUNK * sizeof(float);
}

/* One of run->unpacked: of the segment that needs most. */
static size_t unit_unpack_bytes(const struct op_linear_attrs *attrs)
{
    size_t most = 0;
    for (int i = 0; i < attrs->segments; i++) {
        size_t bytes = unpack_bytes((enum tn_dtype)attrs->segment[i].dtype, attrs->cols);
        most = bytes > most ? bytes : most;
    }
    return (size_t)(attrs->unit_rows / TN_PANEL_ROWS) * most;
}

static size_t linear_scratch_bytes(const void *attributes)
{
    const struct op_linear_attrs *attrs = attributes;
    size_t bytes = 2 * tile_bytes(attrs);
    if (attrs->input_a8)
        bytes += (needs_of(attrs).groups_of_16 ? 7 : 3) * chunk_scales_bytes(attrs) +
                 2 * unit_unpack_bytes(attrs);
    return bytes;
}

static enum hasten_status linear_run(const struct kn_call *call, int64_t first, int64_t last,
                                     void *scratch)
{
    const struct op_linear_attrs *attrs = call->attrs;
    struct linear_run run = {.call = call, .attrs = attrs, .scales = {.token = -1}};
    uint8_t *at = scratch;
    for (int i = 0; i < 2; i++, at += tile_bytes(attrs))
        run.tile[i] = (float *)(void *)at;
    if (attrs->input_a8) {
        const size_t bytes = chunk_scales_bytes(attrs);
        run.a8 = tn_a8_view(call->operand[0], call->rows, attrs->cols);
        run.scales.scales = (float *)(void *)at;
        run.scales.sums = (float *)(void *)(at + bytes);
        run.scales.offset = (int32_t *)(void *)(at + 2 * bytes);
        at += 3 * bytes;
        if (needs_of(attrs).groups_of_16) {
            run.scales.offset16 = (int32_t *)(void *)at;
            run.scales.sums16 = (float *)(void *)(at + 2 * bytes);
            at += 4 * bytes;
        }
        run.unpacked[0] = at;
        run.unpacked[1] = run.unpacked[0] + unit_unpack_bytes(attrs);
    }
    for (int64_t u = first; u < last; u++)
        run_unit(&run, find_unit(attrs, u));
    return HASTEN_OK;
}

/* A step list that this driver can run for a segment of that many rows. */
static bool accepts_steps(const struct op_linear_attrs *attrs, const struct op_segment *segment)
{
    for (int i = 0; i < OP_EPILOGUE_STEPS; i++) {
        switch (segment->steps[i].kind) {
        case OP_EPI_ADD:
        case OP_EPI_SCALE:
        case OP_EPI_SOFTCAP:
        case OP_EPI_GLU_SILU:
        case OP_EPI_GLU_GELU:
            break;
        case OP_EPI_ROPE: /* whole heads in every unit */
            if (segment->rope_head_dim < 2 || attrs->unit_rows % segment->rope_head_dim != 0 ||
                segment->rows % segment->rope_head_dim != 0 || segment->rope_dims < 2 ||
                segment->rope_dims % 2 != 0 || segment->rope_dims > segment->rope_head_dim)
                return false;
            break;
        case OP_EPI_QUANTIZE:
            return segment->rows % TN_QUANT_BLOCK == 0;
        case OP_EPI_APPEND_K:
        case OP_EPI_APPEND_V:
            return segment->kv_head_dim > 0 && segment->kv_heads > 0 &&
                   (int64_t)segment->kv_heads * segment->kv_head_dim == segment->rows &&
                   tn_kv_dtype_valid(segment->kv_dtype) &&
                   /* no unit may cut a block of 32 features of a head */
                   (segment->kv_dtype != TN_Q8_0 || segment->kv_head_dim % TN_QUANT_BLOCK == 0 ||
                    attrs->unit_rows % segment->kv_head_dim == 0);
        case OP_EPI_STORE:
            return true;
        case OP_EPI_PAIRED:
            return i == 0;
        default:
            return false;
        }
    }
    return false; /* no step writes anything */
}

/* GLU segments are followed by a PAIRED one of the same size, and no others are PAIRED. */
static bool accepts_pairing(const struct op_linear_attrs *attrs, int index)
{
    const struct op_segment *segment = &attrs->segment[index];
    const bool paired = segment->steps[0].kind == OP_EPI_PAIRED;
    if (paired != (index > 0 && is_glu(segment - 1)))
        return false;
    if (paired)
        return segment->rows == segment[-1].rows && !is_glu(segment);
    return !is_glu(segment) || index + 1 < attrs->segments;
}

static bool linear_accepts(const void *attributes)
{
    const struct op_linear_attrs *attrs = attributes;
    if (attrs->segments < 1 || attrs->segments > OP_LINEAR_SEGMENTS || attrs->unit_rows < 32 ||
        attrs->unit_rows % TN_PANEL_ROWS != 0 || attrs->unit_rows > 1 << 16 || attrs->cols < 1)
        return false;
    for (int i = 0; i < attrs->segments; i++) {
        const struct op_segment *segment = &attrs->segment[i];
        const bool coded = tn_panel_form((enum tn_dtype)segment->dtype) != NULL;
        const bool plain =
            segment->dtype == TN_F32 || segment->dtype == TN_F16 || segment->dtype == TN_BF16;
        if (segment->layout != TN_LAYOUT_PANEL32 || segment->rows < 1 ||
            !(attrs->input_a8 ? coded : plain) ||
            tn_panel_bytes((enum tn_dtype)segment->dtype, attrs->cols) == 0 ||
            !accepts_steps(attrs, segment) || !accepts_pairing(attrs, i))
            return false;
    }
    return true;
}

const struct kn_kernel KN_ISA(kn_linear) = {
    .name = "linear" KN_ISA_SUFFIX,
    .op = OP_LINEAR,
    .cpu_class = KN_ISA_CLASS,
    .accepts = linear_accepts,
    .units = linear_units,
    .run = linear_run,
    .scratch_bytes = linear_scratch_bytes,
};

#endif
