/*
 * Folders of the cache: where they are, measuring and clearing them, lock files.
 *
 * Locks are flock(2) on a file beside what they protect, so they end with their process however it
 * ends, and a folder whose lock can be taken belongs to nobody. Lock files stay: removing one while
 * another process opens it would make two locks. Everything here is best effort where it returns
 * nothing: what could not be removed is tried again by the next pull. Thread-safe.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/catalog_internal.h"

#define DEPTH_MOST 16

char *ct_text(const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : hs_alloc((size_t)length + 1);
    if (text)
        (void)vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

static const char *set_variable(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

char *ct_home(void)
{
    const char *home = set_variable("HASTEN_HOME");
    if (home)
        return hs_strdup(home);
    const char *cache = set_variable("XDG_CACHE_HOME");
    if (cache && cache[0] == '/') /* its specification: relative paths are to be ignored */
        return ct_text("%s/hasten", cache);
    const char *user = set_variable("HOME");
    return user ? ct_text("%s/.cache/hasten", user) : NULL;
}

enum hasten_status ct_no_home(struct hs_error *error)
{
    if (set_variable("HASTEN_HOME") || set_variable("HOME"))
        return hs_fail(error, HASTEN_OUT_OF_MEMORY, "free memory", "no memory for a path");
    return hs_fail(error, HASTEN_INVALID_ARGUMENT, "set HASTEN_HOME to a folder for models",
                   "neither HASTEN_HOME nor HOME is set");
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static DIR *open_folder(int parent, const char *name)
{
    int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    DIR *dir = fdopendir(descriptor);
    if (!dir)
        close(descriptor);
    return dir;
}

/* NOLINTNEXTLINE(misc-no-recursion): depth is capped */
static void remove_below(int parent, const char *name, int depth)
{
    DIR *dir = depth < DEPTH_MOST ? open_folder(parent, name) : NULL;
    if (!dir)
        return;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (is_dots(entry->d_name) || unlinkat(dirfd(dir), entry->d_name, 0) == 0)
            continue;
        remove_below(dirfd(dir), entry->d_name, depth + 1);
        (void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
    }
    closedir(dir);
}

void ct_remove_tree(const char *path)
{
    remove_below(AT_FDCWD, path, 0);
    (void)rmdir(path);
}

/* NOLINTNEXTLINE(misc-no-recursion): depth is capped */
static uint64_t bytes_below(int parent, const char *name, int depth)
{
    uint64_t total = 0;
    DIR *dir = depth < DEPTH_MOST ? open_folder(parent, name) : NULL;
    if (!dir)
        return 0;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        struct stat info;
        if (is_dots(entry->d_name) ||
            fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISREG(info.st_mode))
            total += (uint64_t)info.st_size;
        else if (S_ISDIR(info.st_mode))
            total += bytes_below(dirfd(dir), entry->d_name, depth + 1);
    }
    closedir(dir);
    return total;
}

uint64_t ct_tree_bytes(const char *path)
{
    return bytes_below(AT_FDCWD, path, 0);
}

void ct_remove_prefixed(const char *folder, const char *prefix)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

int ct_lock(const char *path)
{
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return -1;
    int locked;
    do
        locked = flock(descriptor, LOCK_EX | LOCK_NB);
    while (locked != 0 && errno == EINTR);
    if (locked == 0)
        return descriptor;
    int code = errno;
    close(descriptor);
    errno = code;
    return -1;
}

static void remove_if_stale(const char *folder, const char *name, size_t stem)
{
    char *lock_path = ct_text("%s/%.*s.lock", folder, (int)stem, name);
    char *path = ct_text("%s/%s", folder, name);
    int lock = lock_path && path ? ct_lock(lock_path) : -1;
    if (lock >= 0) {
        ct_remove_tree(path);
        close(lock);
    }
    hs_free(lock_path);
    hs_free(path);
}

void ct_remove_stale(const char *folder)
{
    static const char suffix[] = ".pull";
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        size_t length = strlen(entry->d_name), ending = sizeof(suffix) - 1;
        if (length > ending && strcmp(entry->d_name + length - ending, suffix) == 0)
            remove_if_stale(folder, entry->d_name, length - ending);
    }
    closedir(dir);
}
