/*
 * Files: reading piece by piece, reading whole, atomic writing.
 *
 * Nothing is mapped: a page of a mapping that the file no longer has raises SIGBUS, which a library
 * cannot turn into an error, while a read that comes back short can be reported. So a file may be
 * truncated or overwritten at any moment without ending the process.
 */
#ifndef HASTEN_BASE_FILE_H
#define HASTEN_BASE_FILE_H

#include <stdint.h>

#include "base/status.h"

/* A regular file open for reading at any place. */
struct hs_file_reader;

/* Errors: NOT_FOUND, IO (message with errno text, place = path), INVALID_ARGUMENT for a directory
 * or an empty file. Caller owns: hs_file_reader_close. */
HS_MUST_USE enum hasten_status hs_file_reader_open(const char *path, struct hs_error *error,
                                                   struct hs_file_reader **reader_out);
void hs_file_reader_close(struct hs_file_reader **reader); /* NULL inside is allowed */
/* Size when it was opened. */
uint64_t hs_file_reader_size(const struct hs_file_reader *reader);
/* Bytes [first, first + size_bytes) into target; several threads may read at once. IO when the file
 * became shorter than that. */
HS_MUST_USE enum hasten_status hs_file_reader_read(const struct hs_file_reader *reader,
                                                   uint64_t first, void *target, size_t size_bytes,
                                                   struct hs_error *error);

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
