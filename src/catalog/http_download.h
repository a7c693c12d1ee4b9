/*
 * One file from a URL to a path, in as many requests as it takes. Private to the catalog room.
 *
 * PATH.part holds the bytes so far and PATH.part.etag what they belong to (three lines: validator,
 * SHA-256, size; "-" unknown). Both stay when a download is cancelled, loses its connection for
 * good or fills the disk, and the next one goes on from there; both go when the content turns out
 * wrong and when PATH appears. The caller holds the lock of PATH.
 */
#ifndef HASTEN_CATALOG_HTTP_DOWNLOAD_H
#define HASTEN_CATALOG_HTTP_DOWNLOAD_H

#include "catalog/catalog_internal.h"

struct ct_download {
    const struct ct_pull *pull; /* progress and cancelling */
    const char *what;           /* for progress: "downloading" */
    const char *url;
    const char *bearer;  /* NULL none */
    bool is_hub;         /* ETags of 64 hex digits are SHA-256 sums */
    const char *path;    /* its folder exists */
    uint64_t size_bytes; /* that it must have, 0 unknown */
    const char *sha256;  /* that it must have, NULL unknown */
    uint64_t start;      /* progress: bytes of the model's file before this one */
};

/* PATH is there with all its bytes, verified by size, and by SHA-256 when the caller or the server
 * names it; or an error. */
HS_MUST_USE enum hasten_status ct_download_run(const struct ct_download *download,
                                               struct hs_error *error);
/* Removes what an unfinished download of path left; whether there was a part. */
bool ct_download_forget(const char *path);

#endif
