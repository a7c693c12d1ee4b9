/*
 * Files: mapping, whole reads, the atomic writer with real and injected failures, folders.
 *
 * write() is defined here, so that it can be cut short, interrupted or refused; without a plan it
 * goes straight to the kernel. A full disk is real: the writer's descriptor is swapped for
 * /dev/full, and the limit on file sizes is set in a child.
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "harness/test.h"

static bool write_in_pieces; /* alternate EINTR and at most 1000 bytes */
static int write_calls;

ssize_t write(int file, const void *data, size_t size_bytes)
{
    if (write_in_pieces) {
        if (write_calls++ % 2 == 0) {
            errno = EINTR;
            return -1;
        }
        if (size_bytes > 1000)
            size_bytes = 1000;
    }
    return syscall(SYS_write, file, data, size_bytes);
}

static char folder[64];

/* folder/name, in one of a few buffers used in turn. */
static const char *in_folder(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    if (!folder[0]) {
        memcpy(folder, "/tmp/hasten-file-XXXXXX", sizeof "/tmp/hasten-file-XXXXXX");
        CHECK(mkdtemp(folder));
    }
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put_file(const char *path, const void *data, size_t size_bytes)
{
    FILE *file = fopen(path, "wb");
    CHECK(file);
    CHECK(fwrite(data, 1, size_bytes, file) == size_bytes);
    CHECK(fclose(file) == 0);
}

/* Number of entries in the test folder: shows leftovers. */
static int entries(void)
{
    DIR *dir = opendir(folder);
    int count = 0;
    CHECK(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static int open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;
    CHECK(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void check_failure(const struct hs_error *error, const char *message, const char *place)
{
    if (!strstr(error->message, message))
        TEST_FAIL("message is \"%s\", expected \"...%s...\"", error->message, message);
    if (!error->hint[0])
        TEST_FAIL("no hint with \"%s\"", error->message);
    CHECK_TEXT(error->place, place);
}

TEST(reader_reads_anywhere)
{
    static char content[10000], back[10000];
    struct hs_error error;
    struct hs_file_reader *reader = NULL;
    const char *path = in_folder("read-at");
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (char)(i * 7);
    put_file(path, content, sizeof content);
    int files = open_files();
    CHECK_INT(hs_file_reader_open(path, &error, &reader), HASTEN_OK);
    CHECK_INT(hs_file_reader_size(reader), sizeof content);
    CHECK_INT(hs_file_reader_read(reader, 0, back, sizeof back, &error), HASTEN_OK);
    CHECK(memcmp(back, content, sizeof content) == 0);
    CHECK_INT(hs_file_reader_read(reader, 9000, back, 1000, &error), HASTEN_OK);
    CHECK(memcmp(back, content + 9000, 1000) == 0);
    CHECK_INT(hs_file_reader_read(reader, 123456, back, 0, &error), HASTEN_OK);
    /* a file that shrinks is an error of the bytes that are gone only */
    CHECK_INT(truncate(path, 5000), 0);
    CHECK_INT(hs_file_reader_read(reader, 4000, back, 1000, &error), HASTEN_OK);
    CHECK_INT(hs_file_reader_read(reader, 4001, back, 1000, &error), HASTEN_IO);
    check_failure(&error, "became shorter", path);
    hs_file_reader_close(&reader);
    CHECK(!reader);
    hs_file_reader_close(&reader);
    CHECK_INT(open_files(), files);
    CHECK(unlink(path) == 0);
}

TEST(reader_refuses)
{
    struct hs_error error;
    struct hs_file_reader *reader = NULL;
    const char *path = in_folder("absent");
    CHECK_INT(hs_file_reader_open(path, &error, &reader), HASTEN_NOT_FOUND);
    check_failure(&error, "No such file", path);
    CHECK_INT(hs_file_reader_open(folder, &error, &reader), HASTEN_INVALID_ARGUMENT);
    check_failure(&error, "folder", folder);
    path = in_folder("empty");
    put_file(path, "", 0);
    CHECK_INT(hs_file_reader_open(path, &error, &reader), HASTEN_INVALID_ARGUMENT);
    check_failure(&error, "empty", path);
    path = in_folder("pipe"); /* must not wait for a writer */
    CHECK(mkfifo(path, 0600) == 0);
    CHECK_INT(hs_file_reader_open(path, &error, &reader), HASTEN_INVALID_ARGUMENT);
    check_failure(&error, "regular", path);
    CHECK_INT(hs_file_reader_open("/dev/null", NULL, &reader), HASTEN_INVALID_ARGUMENT);
    path = in_folder("empty/below");
    CHECK_INT(hs_file_reader_open(path, &error, &reader), HASTEN_NOT_FOUND);
    check_failure(&error, "Not a directory", path);
    CHECK(!reader);
    CHECK(unlink(in_folder("pipe")) == 0 && unlink(in_folder("empty")) == 0);
}

TEST(read_gives_content_and_final_zero)
{
    static char content[100000];
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 100000};
    struct hs_error error;
    memset(content, 'c', sizeof content);
    for (size_t i = 0; i < 6; i++) {
        const char *path = in_folder("read");
        char *data = NULL;
        size_t size_bytes = 1;
        put_file(path, content, sizes[i]);
        CHECK_INT(hs_file_read(path, sizes[i], &error, &data, &size_bytes), HASTEN_OK);
        CHECK_INT(size_bytes, sizes[i]);
        CHECK(memcmp(data, content, sizes[i]) == 0 && data[sizes[i]] == 0);
        hs_free(data);
        if (sizes[i] > 0) {
            data = NULL;
            CHECK_INT(hs_file_read(path, sizes[i] - 1, &error, &data, &size_bytes), HASTEN_LIMIT);
            check_failure(&error, "longer than", path);
            CHECK(!data);
        }
    }
}

TEST(read_from_standard_input)
{
    static char content[50000]; /* fits the pipe */
    struct hs_error error;
    char *data = NULL;
    size_t size_bytes = 0;
    int ends[2], saved = dup(STDIN_FILENO);
    memset(content, 'p', sizeof content);
    CHECK(pipe(ends) == 0);
    CHECK(write(ends[1], content, sizeof content) == (ssize_t)sizeof content);
    close(ends[1]);
    CHECK(dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    close(ends[0]);
    enum hasten_status status = hs_file_read("-", SIZE_MAX, &error, &data, &size_bytes);
    if (saved >= 0) {
        dup2(saved, STDIN_FILENO);
        close(saved);
    }
    CHECK_INT(status, HASTEN_OK);
    CHECK_INT(size_bytes, sizeof content);
    CHECK(memcmp(data, content, size_bytes) == 0 && data[size_bytes] == 0);
    hs_free(data);
}

TEST(read_refuses)
{
    struct hs_error error;
    char *data = NULL;
    size_t size_bytes = 0;
    const char *path = in_folder("absent");
    CHECK_INT(hs_file_read(path, 10, &error, &data, &size_bytes), HASTEN_NOT_FOUND);
    check_failure(&error, "No such file", path);
    CHECK_INT(hs_file_read(folder, 10, &error, &data, &size_bytes), HASTEN_INVALID_ARGUMENT);
    check_failure(&error, "directory", folder);
    CHECK_INT(hs_file_read("/dev/zero", 100000, &error, &data, &size_bytes), HASTEN_LIMIT);
    for (uint64_t n = 1; n <= 2; n++) { /* first block, growth */
        hs_alloc_fail_at(n, false);
        enum hasten_status status = hs_file_read("/dev/zero", 100000, &error, &data, &size_bytes);
        hs_alloc_fail_at(0, false);
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
    }
    CHECK(!data && size_bytes == 0);
}

/* Writes a pattern in odd pieces and one large one, commits, and compares. */
static void check_writing(const char *path)
{
    static char content[300000];
    struct hs_error error;
    struct hs_file_writer *writer = NULL;
    int before = entries();
    size_t at = 0;
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (char)(i * 31 >> 3);
    CHECK_INT(hs_file_writer_open(path, &error, &writer), HASTEN_OK);
    for (size_t piece = 0; at + piece < 150000; at += piece, piece = piece * 3 % 1009 + 1)
        CHECK_INT(hs_file_writer_write(writer, content + at, piece, &error), HASTEN_OK);
    CHECK_INT(hs_file_writer_write(writer, content + at, sizeof content - at, &error), HASTEN_OK);
    CHECK_INT(hs_file_writer_write(writer, NULL, 0, &error), HASTEN_OK);
    CHECK_INT(entries(), before + 1); /* the partial file */
    CHECK(access(path, F_OK) != 0);
    CHECK_INT(hs_file_writer_commit(&writer, &error), HASTEN_OK);
    CHECK(!writer);
    CHECK_INT(entries(), before + 1); /* the file */
    char *data = NULL;
    size_t size_bytes = 0;
    CHECK_INT(hs_file_read(path, SIZE_MAX, &error, &data, &size_bytes), HASTEN_OK);
    CHECK_INT(size_bytes, sizeof content);
    CHECK(memcmp(data, content, sizeof content) == 0);
    hs_free(data);
    CHECK(unlink(path) == 0);
}

TEST(writer_writes_atomically)
{
    int files = open_files();
    check_writing(in_folder("written"));
    write_in_pieces = true;
    check_writing(in_folder("written"));
    write_in_pieces = false;
    CHECK(write_calls > 300);
    CHECK_INT(open_files(), files);
}

TEST(writer_replaces_and_aborts)
{
    struct hs_error error;
    struct hs_file_writer *writer = NULL;
    char *data = NULL;
    size_t size_bytes = 0;
    const char *path = in_folder("replaced");
    put_file(path, "old", 3);
    int before = entries(), files = open_files();
    CHECK_INT(hs_file_writer_open(path, &error, &writer), HASTEN_OK);
    CHECK_INT(hs_file_writer_write(writer, "half", 4, &error), HASTEN_OK);
    hs_file_writer_abort(&writer);
    hs_file_writer_abort(&writer); /* NULL inside */
    CHECK(!writer);
    CHECK_INT(entries(), before);
    CHECK_INT(hs_file_read(path, 9, &error, &data, &size_bytes), HASTEN_OK);
    CHECK_TEXT(data, "old");
    hs_free(data);
    CHECK_INT(hs_file_writer_open(path, &error, &writer), HASTEN_OK);
    CHECK_INT(hs_file_writer_write(writer, "new!", 4, &error), HASTEN_OK);
    CHECK_INT(hs_file_writer_commit(&writer, &error), HASTEN_OK);
    CHECK_INT(hs_file_read(path, 9, &error, &data, &size_bytes), HASTEN_OK);
    CHECK_TEXT(data, "new!");
    hs_free(data);
    CHECK_INT(entries(), before);
    CHECK_INT(open_files(), files);
}

TEST(two_writers_of_one_path_do_not_mix)
{
    struct hs_error error;
    struct hs_file_writer *first = NULL, *second = NULL;
    char *data = NULL;
    size_t size_bytes = 0;
    const char *path = in_folder("twice");
    CHECK_INT(hs_file_writer_open(path, &error, &first), HASTEN_OK);
    CHECK_INT(hs_file_writer_open(path, &error, &second), HASTEN_OK);
    CHECK_INT(hs_file_writer_write(first, "first", 5, &error), HASTEN_OK);
    CHECK_INT(hs_file_writer_write(second, "second", 6, &error), HASTEN_OK);
    CHECK_INT(hs_file_writer_commit(&second, &error), HASTEN_OK);
    CHECK_INT(hs_file_writer_commit(&first, &error), HASTEN_OK);
    CHECK_INT(hs_file_read(path, 9, &error, &data, &size_bytes), HASTEN_OK);
    CHECK_TEXT(data, "first");
    hs_free(data);
    CHECK(unlink(path) == 0);
}

/* Lets the open partial file's descriptor lead to /dev/full, where every write says ENOSPC. */
static void fill_disk_under_writer(void)
{
    int swapped = 0;
    for (int file = 3; file < 100; file++) {
        char link[64], target[512];
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", file);
        ssize_t length = readlink(link, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = 0;
        if (!strstr(target, ".part-"))
            continue;
        int full = open("/dev/full", O_WRONLY);
        CHECK(full >= 0 && dup2(full, file) == file);
        close(full);
        swapped++;
    }
    CHECK_INT(swapped, 1);
}

TEST(full_disk_is_reported_and_cleaned)
{
    static char content[200000];
    struct hs_error error;
    struct hs_file_writer *writer = NULL;
    const char *path = in_folder("full");
    for (int large = 0; large < 2; large++) {
        int before = entries(), files = open_files();
        CHECK_INT(hs_file_writer_open(path, &error, &writer), HASTEN_OK);
        CHECK_INT(entries(), before + 1);
        fill_disk_under_writer();
        if (large) { /* fails at once and again at every later call */
            for (int i = 0; i < 2; i++) {
                hs_error_clear(&error);
                CHECK_INT(hs_file_writer_write(writer, content, sizeof content, &error), HASTEN_IO);
                check_failure(&error, "No space left", path);
                CHECK_INT(entries(), before);
            }
        } else { /* held back until the commit */
            CHECK_INT(hs_file_writer_write(writer, content, 10, &error), HASTEN_OK);
        }
        hs_error_clear(&error);
        CHECK_INT(hs_file_writer_commit(&writer, &error), HASTEN_IO);
        check_failure(&error, "No space left", path);
        CHECK(strstr(error.hint, "free space"));
        CHECK(!writer);
        CHECK_INT(entries(), before);
        CHECK_INT(open_files(), files);
        CHECK(access(path, F_OK) != 0);
    }
}

/* 0 when a writer beyond the limit on file sizes fails as it should. */
static int write_beyond_limit(const char *path)
{
    static char content[200000];
    struct hs_error error = {0};
    struct hs_file_writer *writer = NULL;
    const struct rlimit limit = {100000, 100000};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 1;
    if (hs_file_writer_open(path, &error, &writer) != HASTEN_OK)
        return 2;
    if (hs_file_writer_write(writer, content, sizeof content, &error) != HASTEN_IO)
        return 3;
    if (!strstr(error.message, "too large") || !strstr(error.hint, "ulimit -f"))
        return 4;
    hs_file_writer_abort(&writer);
    return 0;
}

TEST(file_size_limit_is_reported_and_cleaned)
{
    const char *path = in_folder("limited");
    int before = entries(), status = -1;
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        _exit(write_beyond_limit(path));
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    CHECK_INT(entries(), before);
}

TEST(writer_refuses)
{
    struct hs_error error;
    struct hs_file_writer *writer = NULL;
    const char *path = in_folder("no-such-folder/file");
    CHECK_INT(hs_file_writer_open(path, &error, &writer), HASTEN_NOT_FOUND);
    check_failure(&error, "No such file", path);
    CHECK_INT(hs_file_writer_open("", &error, &writer), HASTEN_INVALID_ARGUMENT);
    path = in_folder("taken");
    CHECK(mkdir(path, 0755) == 0);
    int before = entries();
    CHECK_INT(hs_file_writer_open(path, &error, &writer), HASTEN_OK);
    CHECK_INT(hs_file_writer_commit(&writer, &error), HASTEN_INVALID_ARGUMENT); /* a folder */
    check_failure(&error, "directory", path);
    CHECK_INT(entries(), before);
    for (uint64_t n = 1; n <= 3; n++) {
        hs_alloc_fail_at(n, false);
        enum hasten_status status = hs_file_writer_open(in_folder("memory"), &error, &writer);
        hs_alloc_fail_at(0, false);
        CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
    }
    CHECK(!writer);
    CHECK_INT(entries(), before);
    CHECK(rmdir(path) == 0);
}

TEST(directories_are_made_with_parents)
{
    struct hs_error error;
    struct stat info;
    CHECK_INT(hs_directory_make(in_folder("a//b/c/"), &error), HASTEN_OK);
    CHECK(stat(in_folder("a/b/c"), &info) == 0 && S_ISDIR(info.st_mode));
    CHECK_INT(hs_directory_make(in_folder("a/b/c"), &error), HASTEN_OK); /* again */
    CHECK_INT(hs_directory_make("/", &error), HASTEN_OK);
    put_file(in_folder("a/file"), "x", 1);
    const char *path = in_folder("a/file");
    CHECK_INT(hs_directory_make(path, &error), HASTEN_IO);
    check_failure(&error, "a file has that name", path);
    CHECK_INT(hs_directory_make(in_folder("a/file/below"), &error), HASTEN_IO);
    CHECK_INT(hs_directory_make("", &error), HASTEN_INVALID_ARGUMENT);
    CHECK_INT(hs_directory_make("/proc/hasten", NULL), HASTEN_NOT_FOUND);
    hs_alloc_fail_at(1, false);
    enum hasten_status status = hs_directory_make(in_folder("a/d"), &error);
    hs_alloc_fail_at(0, false);
    CHECK_INT(status, HASTEN_OUT_OF_MEMORY);
    CHECK(unlink(in_folder("a/file")) == 0 && rmdir(in_folder("a/b/c")) == 0);
    CHECK(rmdir(in_folder("a/b")) == 0 && rmdir(in_folder("a")) == 0);
}

/* Last: whatever the tests above left is a fault of theirs. */
TEST(nothing_is_left_over)
{
    static const char *const kept[] = {"mapped", "read", "replaced"};
    for (size_t i = 0; i < 3; i++)
        (void)unlink(in_folder(kept[i]));
    CHECK_INT(entries(), 0);
    CHECK(rmdir(folder) == 0);
}

TEST_MAIN()
