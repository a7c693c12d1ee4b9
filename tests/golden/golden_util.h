/*
 * Helpers shared by the two golden makers: whole-file reading, little-endian output and
 * tokenization through libllama. They exist so that both makers write the same byte order on
 * every machine and treat text in the same way.
 */
#ifndef GOLDEN_UTIL_H
#define GOLDEN_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "llama.h"

/* Ends the program with a message: a golden that is only half right must never be written. */
_Noreturn void golden_die(const char *what, const char *detail);

void *golden_alloc(size_t count, size_t size);

/* Reads a text file and drops one final newline, as the perplexity measure wants it. */
char *golden_read_text(const char *path, size_t *length);

/* Opens PATH for writing, or dies. golden_close dies when any byte did not reach the file. */
FILE *golden_create(const char *path);
void golden_close(FILE *file, const char *path);

void golden_put_u32(FILE *file, uint32_t value);
void golden_put_u64(FILE *file, uint64_t value);
void golden_put_f32(FILE *file, float value);
void golden_put_f64(FILE *file, double value);

/* Token ids of LENGTH bytes; special tokens in the text are never parsed. Caller frees. */
llama_token *golden_tokenize(const struct llama_vocab *vocab, const char *text, size_t length,
                             bool add_special, size_t *count);

/* Parses a decimal count in [0, limit], or dies naming the option. */
uint32_t golden_parse_count(const char *option, const char *text, uint32_t limit);

/* Sends llama.cpp's chatter to nowhere, keeping its errors. */
void golden_quiet_log(enum ggml_log_level level, const char *text, void *user_data);

#endif
