/* What a file that is no readable GGUF seems to be; for messages only. Pure functions. */
#ifndef HASTEN_FORMATS_GGUF_SNIFF_H
#define HASTEN_FORMATS_GGUF_SNIFF_H

#include <stddef.h>
#include <stdint.h>

/* NULL when the bytes begin with the GGUF magic (or with as much of it as there is), else what they
 * seem to be; *hint_out says what to do then. */
const char *gguf_sniff_content(const uint8_t *data, size_t size_bytes, const char **hint_out);
/* Name of a tensor type that exists but is not in the dtype table; NULL when unknown. */
const char *gguf_sniff_tensor_type(uint32_t gguf_id);

#endif
