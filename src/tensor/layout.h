/*
 * Physical layouts: how the bytes of a value lie in memory, and how many there are.
 *
 * ROWS      row-major, as in files: row r at r * tn_row_bytes.
 * PANEL32   weights of a mat-mul, [rows/32][k-block][...], one forward stream per panel of 32 rows.
 *           Rows beyond the matrix have zero scales and minimums. Two 16-row halves ("lanes 0..15
 *           and 16..31") lie side by side, so a 512-bit kernel reads a half per load, a 256-bit
 *           kernel a quarter. Per panel and k-block:
 *             F32         per k: 32 floats                                        (128 bytes)
 *             F16, BF16   per k: 32 halves                                         (64 bytes)
 *           Coded types (struct tn_panel_form says which): blocks of 32 k, one after another,
 *             32 scales | 32 minimums, where the type has some | codes
 *             scales, minimums: f16 or f32, one per row (d_w, m_w).
 *             Codes lie in lines of 128 bytes: 32 dwords, lane = row, byte i of dword j = code
 *             4j + i of the row, j = 0..7.
 *             8 bits: 8 lines, line j holds code + 128.
 *             2 to 6 bits: planes, lowest bits first:
 *               4 bits (of 4, 5, 6): 4 lines, line l: j = l in low nibbles, j = 4 + l in high ones
 *               2 bits (of 2, 3, 6): 2 lines, line l: j = 4l + f at bits 2f, 2f + 1
 *               1 bit (of 3, 5): 1 line: j at bit j
 *           K types and IQ4_XS: per 256 k a header of 32 f16 d | 32 f16 dmin, where the type has
 *           minimums, then 8 blocks of 32 k whose scales and minimums are bytes: for each group of
 *           32 or 16 k 32 i8 scales, then the same of u8 minimums; zero bytes up to 64.
 *             d_w = d * scale, m_w = -(dmin * minimum), both exact in f32.
 *           Bytes per 32 rows x 32 k (header shared out):
 *             Q4_0, IQ4_NL 576   Q4_1, MXFP4 640   Q5_0 704   Q5_1 768   Q8_0 1088
 *             Q2_K 400   Q3_K 456   IQ4_XS 584   Q4_K 592   Q5_K 720   Q6_K 840
 * A8        quantized activations of one value: codes int8 [rows][cols], then scales
 *           f32 [cols/32][rows], then sums f32 [cols/32][rows] (scale * sum of the 32 codes); parts
 *           start at multiples of 64 bytes. `rows` is the current row count of the step (it is the
 *           leading dimension of scales and sums), space is reserved for the bound.
 *
 * KV pages: a page holds TN_PAGE_POSITIONS positions of ALL layers of a page group, so saving or
 * copying a page is one memcpy. Inside, per layer: K stream then V stream.
 *   K: [kv_head][position/16][head_dim][16]     lane = position: no horizontal sums in q*k
 *   V: [kv_head][position][head_dim]
 * head_dim is padded to a multiple of 16 here and nowhere else (padding is zero). Pages of Q8_0
 * hold int8 codes with an f16 scale per position and 32 features; head_dim is padded to a multiple
 * of 32: K: [kv_head][position/16][head_dim/32] { 16 scales, lane = position | [32][16] codes } V:
 * [kv_head] { [head_dim/32][32 positions] scales | [position][head_dim] codes }
 */
#ifndef HASTEN_TENSOR_LAYOUT_H
#define HASTEN_TENSOR_LAYOUT_H

#include "tensor/dtype.h"

enum tn_layout { TN_LAYOUT_ROWS, TN_LAYOUT_PANEL32, TN_LAYOUT_COUNT };

const char *tn_layout_name(enum tn_layout layout);

#define TN_PANEL_ROWS       32  /* rows of a weight panel */
#define TN_QUANT_BLOCK      32  /* activations: elements per scale */
#define TN_PAGE_POSITIONS   32  /* positions of a KV page */
#define TN_LEAF_POSITIONS   256 /* positions of an attention leaf (DECISIONS: 3, R3) */
#define TN_LEAVES_PER_GROUP 16

/* Bytes of a rows x cols weight in a layout; false when the type has no such layout, cols is no
 * multiple of the block, or on overflow. Always a multiple of 64 for PANEL32. */
bool tn_weight_bytes(enum tn_dtype dtype, enum tn_layout layout, int64_t rows, int64_t cols,
                     size_t *bytes_out);
/* Bytes of one panel row group (32 rows) of a PANEL32 weight; 0 when the type has no panel form. */
size_t tn_panel_bytes(enum tn_dtype dtype, int64_t cols);

/* Where the scales of a coded panel come from. */
enum tn_scale_kind {
    TN_SCALE_F16,  /* f16 per block of 32 k */
    TN_SCALE_F32,  /* f32 per block of 32 k */
    TN_SCALE_SUPER /* f16 per 256 k times an integer per group */
};

/* The PANEL32 form of a coded type. The product that a group of k contributes to a row is
 * d_w * (sum of code * activation code) [+ m_w * sum of activations]. */
struct tn_panel_form {
    enum tn_scale_kind scale;
    int group;            /* k per scale: 32 or 16 */
    bool minimum;         /* with m_w */
    int code_bits;        /* 2 to 6, or 8 */
    int zero;             /* code = stored - zero ... */
    const int8_t *values; /* ... or, when not NULL, values[stored] (4 bits) */
    int k_block;          /* 32, or 256 with a header */
    int header_bytes;     /* per k-block */
    int codes_at;         /* bytes of scales and minimums in front of a block's codes */
    int block_bytes;      /* per block of 32 k */
};
/* NULL when the type is not coded. */
const struct tn_panel_form *tn_panel_form(enum tn_dtype dtype);

/* Parts of an A8 value of rows x cols (cols a multiple of 32). */
struct tn_a8 {
    int8_t *codes; /* [rows][cols] */
    float *scales; /* [cols/32][rows] */
    float *sums;   /* [cols/32][rows], scale * sum of codes */
};
bool tn_a8_bytes(int64_t rows, int64_t cols, size_t *bytes_out);
struct tn_a8 tn_a8_view(void *base, int64_t rows, int64_t cols);

/* Layout of one layer's share of a page. All layers of a group have the same. */
struct tn_kv_layout {
    enum tn_dtype dtype; /* F32, F16, BF16 or Q8_0 */
    int kv_heads;
    int head_dim;        /* logical */
    int head_dim_padded; /* multiple of 16, of 32 for Q8_0 */
    size_t head_bytes;   /* K, or V, of one head of one layer in one page */
    size_t k_bytes;      /* K stream of one layer in one page */
    size_t layer_bytes;  /* K + V */
};
/* May pages hold this type? (any integer) */
bool tn_kv_dtype_valid(int32_t dtype);
/* head_dim (1..65536) with padding, for a valid type. */
int tn_kv_head_dim_padded(enum tn_dtype dtype, int head_dim);
/* Fills the layout; INVALID_ARGUMENT for other types or sizes < 1 or > 65536. */
enum hasten_status tn_kv_layout_init(enum tn_dtype dtype, int kv_heads, int head_dim,
                                     struct hs_error *error, struct tn_kv_layout *layout_out);

#endif
