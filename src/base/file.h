/*
 * Files: read-only mapping, atomic writing.
 *
 * hs_file_map maps a whole regular file. A mapping can raise SIGBUS when the file is truncated
 * while mapped, so only loading code may read it, and hands back what it read
 * (hs_file_map_drop).
 */
#ifndef HASTEN_BASE_FILE_H
#define HASTEN_BASE_FILE_H

#include <stdint.h>

#include "base/status.h"

struct hs_file_map {
    const uint8_t *data; /* size_bytes bytes, page aligned */
    size_t size_bytes;
};

/* Maps path for reading. Errors: NOT_FOUND, IO (message with errno text, place = path),
 * INVALID_ARGUMENT for a directory or an empty file. Caller owns the map: hs_file_unmap. */
HS_MUST_USE enum hasten_status hs_file_map(const char *path, struct hs_error *error,
                                           struct hs_file_map *map_out);
void hs_file_unmap(struct hs_file_map *map);
/* Tells the system that data[first..first+size) is not needed again (memory accounting). */
void hs_file_map_drop(const struct hs_file_map *map, size_t first, size_t size_bytes);

/* Reads a whole file or pipe ("-" = stdin) of at most limit_bytes into a heap block followed by a 0
 * byte; caller frees with hs_free. LIMIT when longer. */
HS_MUST_USE enum hasten_status hs_file_read(const char *path, size_t limit_bytes,
                                            struct hs_error *error, char **data_out,
                                            size_t *size_bytes_out);

/*
 * Writer that appears under its final name only when complete: writes PATH.part-PID, fsyncs,
 * renames. Any failure (disk full included) is reported with errno's text, and the partial file is
 * removed. One thread.
 */
struct hs_file_writer;
HS_MUST_USE enum hasten_status hs_file_writer_open(const char *path, struct hs_error *error,
                                                   struct hs_file_writer **writer_out);
HS_MUST_USE enum hasten_status hs_file_writer_write(struct hs_file_writer *writer, const void *data,
                                                    size_t size_bytes, struct hs_error *error);
/* Finishes and renames; the writer is gone afterwards whatever is returned. */
HS_MUST_USE enum hasten_status hs_file_writer_commit(struct hs_file_writer **writer,
                                                     struct hs_error *error);
/* Drops the partial file. NULL inside is allowed. */
void hs_file_writer_abort(struct hs_file_writer **writer);

/* mkdir -p with mode 0755. */
HS_MUST_USE enum hasten_status hs_directory_make(const char *path, struct hs_error *error);

#endif
