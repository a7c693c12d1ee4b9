/* Inside of the row codecs: block decoders and encoders by type, used by rows.c only. */
#ifndef HASTEN_KERNELS_ROWS_CODEC_H
#define HASTEN_KERNELS_ROWS_CODEC_H

#include "tensor/layout.h"

/* Decodes one block of the type (tn_dtype_info: block_bytes bytes -> block floats). */
typedef void (*kn_block_decoder)(const uint8_t *block, float *out);
/* Encodes one block. */
typedef void (*kn_block_encoder)(const float *values, uint8_t *block);

/* NULL when the type has no such codec. */
kn_block_decoder kn_block_decoder_of(enum tn_dtype dtype);
kn_block_encoder kn_block_encoder_of(enum tn_dtype dtype);

static inline uint16_t kn_load_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline void kn_store_u16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

#endif
