/*
 * Files of other servers: names, where they lie, what a hub offers. Private to the catalog room.
 *
 *   https://HOST[:PORT]/PATH[?QUERY]        models/https/HOST[:PORT]/PATH
 *   hf:OWNER/NAME[@REVISION]/FILE           models/hf/OWNER/NAME/REVISION/FILE
 *   hf:OWNER/NAME[@REVISION][:QUANT]        one of the files above, chosen once
 *
 * The query of a URL is sent but is no part of the name: signed links change with every copy.
 */
#ifndef HASTEN_CATALOG_REMOTE_H
#define HASTEN_CATALOG_REMOTE_H

#include "base/bytes.h"
#include "catalog/catalog_internal.h"
#include "catalog/http_client.h"

#define CT_SPLITS_MOST 1000

/* ---- remote_name.c ---- */

struct ct_hf { /* views into the text after "hf:" */
    struct hs_str owner, name;
    struct hs_str revision; /* "main" when none is given */
    struct hs_str file;     /* empty: to be chosen */
    struct hs_str quant;    /* empty: the standard choice */
};
/* NULL, or what is wrong with the text. */
const char *ct_hf_parse(const char *text, struct ct_hf *parts_out);
/* What is wrong with a whole remote name as a user writes it ("hf:...", "https://..."), NULL
 * nothing: the forms above with a file that ends in .gguf. */
const char *ct_remote_check(const char *name);
/* Path below models/ of a checked name that has a file; the caller's (hs_free). */
char *ct_remote_place(const char *name);
/* Name for a path below models/; NULL when it is none of this form. In the arena. */
const char *ct_remote_name_at(struct hs_arena *arena, const char *place);
/* Files of a model split as NAME-00001-of-00003.gguf: their number, 1 for others; 0: a number out
 * of range. */
int ct_split_count(const char *name);
/* Writes the index (1..) into such a name. */
void ct_split_set(char *name, int index);

/* ---- source_https.c ---- */

struct ct_location {
    char url[CT_URL_BYTES];
    const char *bearer; /* HF_TOKEN, NULL none */
    bool is_hub;
};
/* The address of a well-formed source "https:...", "http:...", "hf:..."; false for others, too long
 * ones, and a hub (HF_ENDPOINT) that may not be asked. */
bool ct_locate(const char *source, struct ct_location *location_out);
/* "{HF_ENDPOINT or https://huggingface.co}PATH" */
bool ct_hub_url(const char *path, char url[CT_URL_BYTES]);

/* ---- hub_choice.c ---- */

/* Asks the hub for the files of a repository and chooses one. In the arena. */
HS_MUST_USE enum hasten_status ct_hub_choose(const struct ct_hf *parts, const struct ct_pull *pull,
                                             struct hs_arena *arena, struct hs_error *error,
                                             const char **file_out);
/* The rule alone: index of the file to take, -1 none. */
int ct_hub_rank(const char *const *files, int count, struct hs_str quant);

#endif
