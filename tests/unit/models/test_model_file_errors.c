/*
 * What a user meets when a model file is wrong: each case opens a file by its path, as the program
 * does, and asks for parts of message, hint and place. A message says what is wrong, a hint what to
 * do about it.
 */
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/test.h"
#include "models/model.h"

#include "unit/formats/gguf_builder.h"

static char folder[64], path[128];

static void begin(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/hasten-errors-XXXXXX");
    CHECK(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/wrong-model.gguf", folder);
}

static void end(void)
{
    (void)unlink(path);
    CHECK_INT(rmdir(folder), 0);
}

static void write_bytes(const void *data, size_t size_bytes)
{
    FILE *file = fopen(path, "wb");
    CHECK(file);
    CHECK_INT(fwrite(data, 1, size_bytes, file), size_bytes);
    CHECK_INT(fclose(file), 0);
}

/* Joins the builder's parts, cuts `cut` bytes off and writes the file. */
static void write_built(struct gb *gb, size_t cut)
{
    gb_finish(gb);
    write_bytes(gb->whole.data, gb->whole.size_bytes - cut);
    gb_free(gb);
}

/* The stages of opening that look at the file. */
static enum hasten_status open_model(struct hs_error *error)
{
    struct gguf_file *file = NULL;
    struct md_facts facts;
    HS_TRY(gguf_open(path, error, &file));
    enum hasten_status status = md_facts_read(file, error, &facts);
    gguf_close(&file);
    return status;
}

static bool fits(const struct hs_error *error, const char *message, const char *hint)
{
    return strstr(error->message, message) && strstr(error->hint, hint) &&
           strstr(error->place, "wrong-model.gguf");
}

static void check_fails(enum hasten_status expected, const char *message, const char *hint)
{
    struct hs_error error = {0};
    enum hasten_status status = open_model(&error);
    if (status != expected || !fits(&error, message, hint))
        TEST_FAIL("%s: \"%s\", hint \"%s\", place \"%s\", expected %s, \"%s\", \"%s\"",
                  hs_status_name(status), error.message, error.hint, error.place,
                  hs_status_name(expected), message, hint);
}

TEST(a_file_that_is_not_there)
{
    begin();
    check_fails(HASTEN_NOT_FOUND, "No such file", "check the path");
    CHECK_INT(mkdir(path, 0755), 0);
    check_fails(HASTEN_INVALID_ARGUMENT, "folder", "name a file, not a folder");
    CHECK_INT(rmdir(path), 0);
    write_bytes("", 0);
    check_fails(HASTEN_INVALID_ARGUMENT, "empty", "download");
    end();
}

/* Root may read everything, so the check runs as another user. */
TEST(a_file_that_may_not_be_read)
{
    struct gb gb = {0};
    begin();
    write_built(&gb, 0);
    CHECK_INT(chmod(folder, 0755), 0);
    CHECK_INT(chmod(path, 0), 0);
    pid_t child = fork();
    if (child == 0) {
        struct hs_error error = {0};
        if (geteuid() == 0 && seteuid(65534) != 0)
            _exit(0); /* cannot be tried here */
        enum hasten_status status = open_model(&error);
        _exit(status == HASTEN_IO && fits(&error, "Permission denied", "permissions") ? 0 : 1);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
    end();
}

TEST(a_truncated_file)
{
    struct gb gb = {0};
    begin();
    gb_text(&gb, "general.architecture", "llama");
    gb_tensor(&gb, "token_embd.weight", 0, 64, 4, 1024);
    write_built(&gb, 1000);
    check_fails(HASTEN_CORRUPT_INPUT, "1000 bytes are missing", "download it again");
    gb_text(&gb, "general.architecture", "llama");
    gb_tensor(&gb, "token_embd.weight", 0, 64, 4, 1024);
    write_built(&gb, 1024 + 64);
    check_fails(HASTEN_CORRUPT_INPUT, "ends inside", "download it again");
    write_bytes("GGUF\3\0\0", 7);
    check_fails(HASTEN_CORRUPT_INPUT, "ends inside the header", "download it again");
    end();
}

TEST(a_file_of_the_other_byte_order)
{
    struct gb gb = {.version = 0x03000000};
    begin();
    write_built(&gb, 0);
    check_fails(HASTEN_UNSUPPORTED, "big-endian (version 3 byte-swapped)", "little-endian file");
    write_bytes("FUGG\0\0\0\3", 8);
    check_fails(HASTEN_CORRUPT_INPUT, "swapped bytes", "little-endian file");
    end();
}

TEST(another_version)
{
    struct gb gb = {.version = 1};
    begin();
    write_built(&gb, 0);
    check_fails(HASTEN_UNSUPPORTED, "version 1, supported are 2 and 3", "convert the model again");
    gb.version = 4;
    write_built(&gb, 0);
    check_fails(HASTEN_UNSUPPORTED, "version 4", "newer release");
    end();
}

TEST(a_file_of_another_kind)
{
    begin();
    write_bytes("PK\3\4 ....", 9);
    check_fails(HASTEN_CORRUPT_INPUT, "not a GGUF file: it seems to be a zip archive", "unpack it");
    write_bytes("<!DOCTYPE html>", 15);
    check_fails(HASTEN_CORRUPT_INPUT, "HTML page", "direct link");
    write_bytes("\x10\0\0\0\0\0\0\0{\"a\": 1}          ", 26);
    check_fails(HASTEN_CORRUPT_INPUT, "safetensors", "convert the model to GGUF");
    end();
}

TEST(an_unknown_tensor_type)
{
    struct gb gb = {0};
    uint64_t shape[1] = {256};
    begin();
    gb_record(&gb, "blk.0.attn_q.weight", 1, shape, 16, 0);
    write_built(&gb, 0);
    check_fails(HASTEN_UNSUPPORTED, "tensor 'blk.0.attn_q.weight' has type 16 (IQ2_XXS)",
                "another quantization, e.g. Q4_1");
    gb_record(&gb, "blk.0.attn_q.weight", 1, shape, 999, 0);
    write_built(&gb, 0);
    check_fails(HASTEN_UNSUPPORTED, "has type 999, which is not supported",
                "another quantization, e.g. Q4_1");
    end();
}

TEST(an_unknown_architecture)
{
    struct gb gb = {0};
    begin();
    gb_text(&gb, "general.architecture", "perceptron-9000");
    write_built(&gb, 0);
    check_fails(HASTEN_UNSUPPORTED, "unknown architecture 'perceptron-9000'",
                "known architectures: llama");
    gb_text(&gb, "general.name", "nothing");
    write_built(&gb, 0);
    check_fails(HASTEN_CORRUPT_INPUT, "'general.architecture' is missing", "language model");
    end();
}

TEST_MAIN()
