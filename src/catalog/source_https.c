/*
 * Source kinds https, http and hf: a file of a web server or of a model hub.
 *
 * hf:OWNER/NAME[@REVISION]/FILE is {endpoint}/OWNER/NAME/resolve/REVISION/FILE, the layout of
 * huggingface.co; the endpoint is $HF_ENDPOINT, else https://huggingface.co. $HF_TOKEN is sent to
 * the endpoint's own origin only, never to a server that it redirects to.
 *
 * A source of one part is downloaded in place (http_download.h) and can be resumed by a later pull;
 * a part of several goes through the pull's temporary folder into the sink.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/http_download.h"
#include "catalog/remote.h"

const char *ct_https_check(const char *text)
{
    return strncmp(text, "//", 2) == 0 ? NULL : "https: needs https://HOST/PATH";
}

const char *ct_hf_check(const char *text)
{
    struct ct_hf parts;
    const char *wrong = ct_hf_parse(text, &parts);
    return !wrong && !parts.file.size_bytes ? "hf: a source needs OWNER/NAME/FILE" : wrong;
}

bool ct_hub_url(const char *path, char url[CT_URL_BYTES])
{
    const char *endpoint = getenv("HF_ENDPOINT");
    if (!endpoint || !endpoint[0])
        endpoint = "https://huggingface.co";
    size_t length = strlen(endpoint);
    while (length && endpoint[length - 1] == '/')
        length--;
    int wrote = snprintf(url, CT_URL_BYTES, "%.*s%s", (int)length, endpoint, path);
    return wrote > 0 && wrote < CT_URL_BYTES;
}

bool ct_locate(const char *source, struct ct_location *location_out)
{
    struct ct_hf parts;
    *location_out = (struct ct_location){0};
    if (strncmp(source, "hf:", 3) != 0) {
        if (strncmp(source, "http", 4) != 0 || strlen(source) >= CT_URL_BYTES)
            return false;
        (void)snprintf(location_out->url, CT_URL_BYTES, "%s", source);
        return true;
    }
    if (ct_hf_parse(source + 3, &parts) || !parts.file.size_bytes)
        return false;
    char *path = ct_text("/%.*s/%.*s/resolve/%.*s/%.*s", HS_STR(parts.owner), HS_STR(parts.name),
                         HS_STR(parts.revision), HS_STR(parts.file));
    const char *token = getenv("HF_TOKEN");
    location_out->is_hub = true;
    location_out->bearer = token && token[0] ? token : NULL;
    bool good = path && ct_hub_url(path, location_out->url);
    hs_free(path);
    return good;
}

enum hasten_status ct_https_fetch(const struct ct_pull *pull, const char *source, const char *path,
                                  struct hs_error *error)
{
    struct ct_location location;
    if (!ct_locate(source, &location))
        return hs_fail(error, HASTEN_INVALID_ARGUMENT, NULL, "the source's address is too long");
    bool whole = pull->part_count == 1;
    struct ct_download download = {
        .pull = pull,
        .what = pull->what ? pull->what : "downloading",
        .url = location.url,
        .bearer = location.bearer,
        .is_hub = location.is_hub,
        .path = path,
        .size_bytes = whole ? pull->model->size_bytes : 0,
        .sha256 = whole ? pull->model->sha256 : NULL,
        .start = pull->part_start,
    };
    return ct_download_run(&download, error);
}
