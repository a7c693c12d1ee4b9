/*
 * Names of remote files and the paths that stand for them.
 *
 * Name and path are the same text but for the front, so a folder can be read back as names without
 * any index. That needs parts that are safe as path components: never empty, never beginning with
 * a dot, at most 200 bytes, no control characters, backslashes or quotes.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "catalog/remote.h"

#define PART_BYTES_MOST  200 /* leaves room for ".part.etag" */
#define PLACE_BYTES_MOST 1024

static const char repository_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
static const char file_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+";
static const char url_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+%~=,@:!()&;$";

static bool is_part(struct hs_str part, const char *letters)
{
    if (part.size_bytes == 0 || part.size_bytes > PART_BYTES_MOST || part.data[0] == '.')
        return false;
    for (size_t i = 0; i < part.size_bytes; i++)
        if (!part.data[i] || !strchr(letters, part.data[i]))
            return false;
    return true;
}

/* Parts between slashes, each one is_part. */
static bool is_path(struct hs_str path, const char *letters)
{
    while (path.size_bytes) {
        const char *slash = memchr(path.data, '/', path.size_bytes);
        size_t length = slash ? (size_t)(slash - path.data) : path.size_bytes;
        if (!is_part((struct hs_str){path.data, length}, letters))
            return false;
        if (!slash)
            return true;
        path.data += length + 1;
        path.size_bytes -= length + 1;
    }
    return false; /* empty, or a slash at the end */
}

/* The text up to one of the marks; *at moves to the mark. */
static struct hs_str take(const char **at, const char *marks)
{
    struct hs_str text = {*at, strcspn(*at, marks)};
    *at += text.size_bytes;
    return text;
}

const char *ct_hf_parse(const char *text, struct ct_hf *parts_out)
{
    struct ct_hf parts = {.revision = hs_str_of("main")};
    const char *at = text;
    parts.owner = take(&at, "/");
    at += *at == '/';
    parts.name = take(&at, "/@:");
    if (!is_part(parts.owner, repository_letters) || !is_part(parts.name, repository_letters))
        return "hf: needs OWNER/NAME, then /FILE or :QUANT";
    if (*at == '@') {
        at++;
        parts.revision = take(&at, "/:");
        if (!is_part(parts.revision, repository_letters))
            return "hf: a revision is a commit, tag or branch without '/'";
    }
    if (*at == ':') {
        parts.quant = hs_str_of(at + 1);
        if (!is_part(parts.quant, repository_letters))
            return "hf: needs the name of a type after ':', such as Q4_K_M";
    } else if (*at == '/') {
        parts.file = hs_str_of(at + 1);
        if (!is_path(parts.file, file_letters))
            return "hf: a file has letters, digits, '.', '_', '-' and '+', in folders or not";
    }
    *parts_out = parts;
    return NULL;
}

static bool ends_as_model(struct hs_str text)
{
    return text.size_bytes > 5 && strncasecmp(text.data + text.size_bytes - 5, ".gguf", 5) == 0;
}

/* HOST[:PORT]/PATH of a URL, without the query. */
static struct hs_str url_place(const char *url)
{
    const char *at = strstr(url, "://");
    at = at ? at + 3 : url + strlen(url);
    return (struct hs_str){at, strcspn(at, "?#")};
}

const char *ct_remote_check(const char *name)
{
    struct ct_hf parts;
    if (strlen(name) >= CT_URL_BYTES)
        return "the name is too long";
    if (strncmp(name, "hf:", 3) == 0) {
        const char *wrong = ct_hf_parse(name + 3, &parts);
        if (!wrong && parts.file.size_bytes && !ends_as_model(parts.file))
            wrong = "only .gguf files can be models";
        return wrong;
    }
    const char *wrong = ct_http_check(name);
    if (wrong)
        return wrong;
    struct hs_str place = url_place(name);
    if (!ends_as_model(place) || !memchr(place.data, '/', place.size_bytes))
        return "the URL does not name a .gguf file";
    if (place.size_bytes > PLACE_BYTES_MOST || !is_path(place, url_letters))
        return "the URL's path cannot be a path of the cache: too long, or odd characters";
    return NULL;
}

char *ct_remote_place(const char *name)
{
    struct ct_hf parts;
    if (strncmp(name, "hf:", 3) != 0) {
        struct hs_str place = url_place(name);
        return ct_text("%s/%.*s", strncmp(name, "https:", 6) == 0 ? "https" : "http",
                       HS_STR(place));
    }
    if (ct_hf_parse(name + 3, &parts))
        return NULL;
    return ct_text("hf/%.*s/%.*s/%.*s/%.*s", HS_STR(parts.owner), HS_STR(parts.name),
                   HS_STR(parts.revision), HS_STR(parts.file));
}

const char *ct_remote_name_at(struct hs_arena *arena, const char *place)
{
    const char *at = strchr(place, '/'), *name = NULL;
    if (!at || !ends_as_model(hs_str_of(place)))
        return NULL;
    at++;
    if (strncmp(place, "hf/", 3) == 0) {
        struct hs_str owner = take(&at, "/");
        at += *at == '/';
        struct hs_str repository = take(&at, "/");
        at += *at == '/';
        struct hs_str revision = take(&at, "/");
        if (*at != '/')
            return NULL;
        bool is_main = hs_str_is(revision, "main");
        name = hs_arena_printf(arena, "hf:%.*s/%.*s%s%.*s%s", HS_STR(owner), HS_STR(repository),
                               is_main ? "" : "@", is_main ? 0 : (int)revision.size_bytes,
                               revision.data, at);
    } else if (strncmp(place, "https/", 6) == 0 || strncmp(place, "http/", 5) == 0) {
        name = hs_arena_printf(arena, "%.*s://%s", (int)(at - place - 1), place, at);
    }
    /* http may be allowed only at times; what is there may always be named. */
    return name && (strncmp(name, "http:", 5) == 0 || !ct_remote_check(name)) ? name : NULL;
}

/* ---- Splits ---- */

#define SPLIT_TAIL 20 /* "-00001-of-00003.gguf" */

static int five_digits(const char *at)
{
    int value = 0;
    for (int i = 0; i < 5; i++) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        value = value * 10 + (at[i] - '0');
    }
    return value;
}

/* The tail's place, NULL when the name has none. */
static const char *split_tail(const char *name)
{
    size_t length = strcspn(name, "?");
    if (length <= SPLIT_TAIL)
        return NULL;
    const char *tail = name + length - SPLIT_TAIL;
    bool good = tail[0] == '-' && five_digits(tail + 1) >= 0 && strncmp(tail + 6, "-of-", 4) == 0 &&
                five_digits(tail + 10) >= 0 && strncasecmp(tail + 15, ".gguf", 5) == 0;
    return good ? tail : NULL;
}

int ct_split_count(const char *name)
{
    const char *tail = split_tail(name);
    if (!tail)
        return 1;
    int count = five_digits(tail + 10), index = five_digits(tail + 1);
    return count >= 1 && count <= CT_SPLITS_MOST && index >= 1 && index <= count ? count : 0;
}

void ct_split_set(char *name, int index)
{
    const char *tail = split_tail(name);
    char digits[16];
    if (!tail)
        return;
    (void)snprintf(digits, sizeof(digits), "%05d", index);
    memcpy(name + (tail - name) + 1, digits, 5);
}
