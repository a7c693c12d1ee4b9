/*
 * Guesses what a file is that should have been a GGUF file, so that the message can say it.
 *
 * Sources: the magic numbers of the formats named; safetensors: 8 bytes little-endian header size,
 * then JSON; type numbers: enum ggml_type of ggml. No state, thread-safe.
 */
#include "formats/gguf_sniff.h"

#include <stdbool.h>
#include <string.h>

#include "formats/gguf_internal.h"

static const struct {
    const char *magic;
    size_t size_bytes;
    const char *what;
    const char *hint;
} known[] = {
    {"PK\3\4", 4, "it seems to be a zip archive (wheel, PyTorch or Keras file)",
     "unpack it, or take the model's .gguf file"},
    {"\x1f\x8b", 2, "it seems to be gzip-compressed", "unpack it first (gunzip)"},
    {"\x28\xb5\x2f\xfd", 4, "it seems to be zstd-compressed", "unpack it first (unzstd)"},
    {"\xfd"
     "7zXZ",
     5, "it seems to be xz-compressed", "unpack it first (unxz)"},
    {"<!DOCTYPE", 9, "it seems to be an HTML page",
     "the download gave a web page: use the direct link of the file"},
    {"<!doctype", 9, "it seems to be an HTML page",
     "the download gave a web page: use the direct link of the file"},
    {"<html", 5, "it seems to be an HTML page",
     "the download gave a web page: use the direct link of the file"},
    {"<?xml", 5, "it seems to be an XML document",
     "the download gave an error page: use the direct link of the file"},
    {"version https://git-lfs", 23, "it is a Git LFS pointer, not the file itself",
     "fetch the file with git lfs pull"},
    {"FUGG", 4, "it seems to be a GGUF file with swapped bytes", "take the little-endian file"},
    {"tjgg", 4, "it is a GGJT file, a predecessor of GGUF", "convert the model to GGUF"},
    {"fmgg", 4, "it is a GGMF file, a predecessor of GGUF", "convert the model to GGUF"},
    {"lmgg", 4, "it is a GGML file, a predecessor of GGUF", "convert the model to GGUF"},
    {"algg", 4, "it is a GGLA adapter, a predecessor of GGUF", "convert the adapter to GGUF"},
    {"\x89HDF", 4, "it seems to be an HDF5 file", "convert the model to GGUF"},
    {"\x93NUMPY", 6, "it seems to be a NumPy array", NULL},
    {"\x80\x02", 2, "it seems to be a Python pickle (old PyTorch file)",
     "convert the model to GGUF"},
    {"{", 1, "it seems to be JSON", "take the model's .gguf file"},
};

static bool starts_with(const uint8_t *data, size_t size_bytes, const char *text, size_t length)
{
    return size_bytes >= length && memcmp(data, text, length) == 0;
}

static bool is_safetensors(const uint8_t *data, size_t size_bytes)
{
    if (size_bytes < 10 || data[8] != '{')
        return false;
    uint64_t header = 0;
    for (int i = 7; i >= 0; i--)
        header = header << 8 | data[i];
    return header >= 2 && header <= size_bytes - 8;
}

static bool is_zero(const uint8_t *data, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes && i < 4096; i++)
        if (data[i])
            return false;
    return true;
}

const char *gguf_sniff_content(const uint8_t *data, size_t size_bytes, const char **hint_out)
{
    size_t compared = size_bytes < 4 ? size_bytes : 4;
    *hint_out = NULL;
    if (size_bytes == 0) {
        *hint_out = "download it again";
        return "it is empty";
    }
    if (memcmp(data, GGUF_MAGIC, compared) == 0)
        return NULL;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (starts_with(data, size_bytes, known[i].magic, known[i].size_bytes)) {
            *hint_out = known[i].hint;
            return known[i].what;
        }
    if (is_safetensors(data, size_bytes)) {
        *hint_out = "convert the model to GGUF, or take its .gguf file";
        return "it seems to be a safetensors file";
    }
    if (is_zero(data, size_bytes)) {
        *hint_out = "the download did not finish: download it again";
        return "it begins with zeros only";
    }
    *hint_out = "take the model's .gguf file";
    return "it does not begin with \"GGUF\"";
}

const char *gguf_sniff_tensor_type(uint32_t gguf_id)
{
    static const struct {
        uint32_t id;
        const char *name;
    } types[] = {{4, "Q4_2"},      {5, "Q4_3"},      {9, "Q8_1"},     {15, "Q8_K"},
                 {16, "IQ2_XXS"},  {17, "IQ2_XS"},   {18, "IQ3_XXS"}, {19, "IQ1_S"},
                 {21, "IQ3_S"},    {22, "IQ2_S"},    {29, "IQ1_M"},   {31, "Q4_0_4_4"},
                 {32, "Q4_0_4_8"}, {33, "Q4_0_8_8"}, {34, "TQ1_0"},   {35, "TQ2_0"}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i].id == gguf_id)
            return types[i].name;
    return NULL;
}
