/*
 * A model file that changes under a running program: truncated, overwritten, removed, after and
 * while it is opened. An opened model needs its file no longer; opening ends with a model or an
 * error; no signal, whatever happens to the file.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/rng.h"
#include "tiny_run.h"

static int open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    CHECK(folder);
    while (readdir(folder))
        count++;
    (void)closedir(folder);
    return count;
}

/* Whether some address belongs to the file. */
static bool is_mapped(const char *path)
{
    char *maps = NULL;
    size_t size_bytes = 0;
    struct hs_error error = {0};
    mt_must(hs_file_read("/proc/self/maps", (size_t)16 << 20, &error, &maps, &size_bytes), &error);
    bool mapped = strstr(maps, path) != NULL;
    hs_free(maps);
    return mapped;
}

static void overwrite(const char *path)
{
    struct stat info;
    CHECK_INT(stat(path, &info), 0);
    FILE *file = fopen(path, "r+b");
    CHECK(file);
    for (long i = 0; i < (long)info.st_size; i++)
        (void)fputc(0xff, file);
    CHECK_INT(fclose(file), 0);
}

/* All that a program may ask an opened model for. */
static void render_all(const struct en_model *model, struct hs_buffer *out)
{
    const struct tx_vocab *vocab = tx_tokenizer_vocab(en_tokenizer(model));
    const struct gguf_file *file = en_file(model);
    struct hs_error error = {0};
    struct tx_ids ids = {0};
    const struct tx_message message = {.role = hs_str_of("user"), .content = hs_str_of("the sun")};
    const struct tx_template_input input = {.messages = &message, .message_count = 1};
    const struct tx_encode_options encode = {.add_special = true, .parse_special = true};
    for (int32_t id = 0; id < vocab->count; id++)
        tx_decode_token(en_tokenizer(model), id, true, out);
    mt_must(tx_template_render(en_chat_template(model), &input, &error, out), &error);
    mt_must(tx_encode(en_tokenizer(model), (struct hs_str){out->data, out->size_bytes}, encode,
                      &error, &ids),
            &error);
    hs_buffer_append(out, ids.ids, (size_t)ids.count * sizeof *ids.ids);
    for (int64_t i = 0; i < file->entry_count; i++)
        hs_buffer_append(out, file->entries[i].data, file->entries[i].data_bytes);
    for (int64_t i = 0; i < file->tensor_count; i++)
        hs_buffer_append(out, file->tensors[i].name.data, file->tensors[i].name.size_bytes);
    hs_buffer_printf(out, "%.*s %s", HS_STR(en_facts(model)->name), en_facts(model)->architecture);
    hs_buffer_append(out, en_chat_template_source(model).data,
                     en_chat_template_source(model).size_bytes);
    tx_ids_free(&ids);
}

static void check_unmoved(const struct tiny_recipe *recipe, void (*change)(const char *path))
{
    struct en_options options = tiny_options(2);
    struct hs_buffer before = {0}, after = {0};
    tiny_begin(recipe);
    int files = open_files();
    struct en_model *model = mt_open(tiny_path, &options);
    CHECK(!is_mapped(tiny_folder));
    CHECK_INT(open_files(), files);
    const struct tiny_answer expected = tiny_answer_of(model);
    render_all(model, &before);
    change(tiny_path);
    const struct tiny_answer answer = tiny_answer_of(model);
    CHECK(tiny_same(&answer, &expected));
    render_all(model, &after);
    CHECK(!before.failed && before.size_bytes == after.size_bytes &&
          memcmp(before.data, after.data, after.size_bytes) == 0);
    hs_buffer_free(&before);
    hs_buffer_free(&after);
    en_close(&model);
    tiny_end();
}

static void cut_to_nothing(const char *path)
{
    CHECK_INT(truncate(path, 0), 0);
}

static void remove_it(const char *path)
{
    CHECK_INT(unlink(path), 0);
}

TEST(an_opened_model_needs_its_file_no_longer)
{
    static void (*const changes[])(const char *) = {cut_to_nothing, overwrite, remove_it};
    for (int i = 0; i < 3; i++) {
        check_unmoved(&(struct tiny_recipe){.dtype = TN_Q4_1}, changes[i]);
        check_unmoved(&(struct tiny_recipe){.is_gemma3 = true, .dtype = TN_F16}, changes[i]);
    }
}

/* --- while it is opened --- */

TEST(data_that_is_gone_is_an_error)
{
    struct hs_error error = {0};
    struct gguf_file *file = NULL;
    tiny_begin(&(struct tiny_recipe){.dtype = TN_Q4_1});
    mt_must(gguf_open(tiny_path, &error, &file), &error);
    const struct gguf_tensor *last = &file->tensors[file->tensor_count - 1];
    uint8_t *data = hs_alloc(last->size_bytes);
    CHECK_INT(gguf_read(file, last, 0, data, last->size_bytes, &error), HASTEN_OK);
    CHECK_INT(truncate(tiny_path, (off_t)(last->offset + 1)), 0);
    CHECK_INT(gguf_read(file, last, 0, data, 1, &error), HASTEN_OK);
    CHECK_INT(gguf_read(file, last, 0, data, 2, &error), HASTEN_IO);
    CHECK(strstr(error.message, "became shorter") && strstr(error.place, "tiny.gguf") &&
          error.hint[0]);
    hs_free(data);
    gguf_close(&file);
    tiny_end();
}

struct vandal {
    atomic_bool stop;
    uint64_t seed;
    off_t size;
    const char *bytes; /* the whole file, to be put back */
};

/* Cuts the file at random places and writes it again, over and over. */
static void *cut_and_restore(void *context)
{
    struct vandal *vandal = context;
    for (uint64_t i = 0; !atomic_load(&vandal->stop); i++) {
        (void)!truncate(tiny_path,
                        (off_t)(hs_rng_u64(vandal->seed, 0, i) % (uint64_t)vandal->size));
        int file = open(tiny_path, O_WRONLY);
        if (file >= 0) {
            (void)!pwrite(file, vandal->bytes, (size_t)vandal->size, 0);
            (void)close(file);
        }
        usleep((useconds_t)(hs_rng_u64(vandal->seed, 1, i) % 500));
    }
    return NULL;
}

TEST(a_file_that_is_cut_while_it_is_opened)
{
    struct vandal vandal = {.seed = test_seed(20261121)};
    struct hs_error error = {0};
    struct en_options options = tiny_options(2);
    size_t size_bytes = 0;
    char *bytes = NULL;
    pthread_t thread;
    tiny_begin(&(struct tiny_recipe){.dtype = TN_F32, .embedding = 256});
    mt_must(hs_file_read(tiny_path, (size_t)1 << 30, &error, &bytes, &size_bytes), &error);
    vandal.size = (off_t)size_bytes;
    vandal.bytes = bytes;
    CHECK_INT(pthread_create(&thread, NULL, cut_and_restore, &vandal), 0);
    int opened = 0, wrong = 0;
    for (int i = 0; i < 200; i++) {
        struct en_model *model = NULL;
        hs_error_clear(&error);
        enum hasten_status status = en_open(tiny_path, &options, &error, &model);
        opened += status == HASTEN_OK;
        wrong += status != HASTEN_OK && (!error.message[0] || !error.place[0] || model);
        wrong += status != HASTEN_OK && status != HASTEN_IO && status != HASTEN_CORRUPT_INPUT &&
                 status != HASTEN_INVALID_ARGUMENT; /* cut to nothing: "the file is empty" */
        en_close(&model);
    }
    atomic_store(&vandal.stop, true);
    CHECK_INT(pthread_join(thread, NULL), 0);
    printf("     opened %d of 200 times\n", opened);
    CHECK_INT(wrong, 0);
    hs_free(bytes);
    tiny_end();
}

TEST_MAIN()
