/*
 * Log hook. The library never prints: it hands lines to the hook that a program installs. Never
 * called on the compute path. Thread-safe; the hook must be too.
 */
#ifndef HASTEN_BASE_LOG_H
#define HASTEN_BASE_LOG_H

enum hs_log_level { HS_LOG_ERROR, HS_LOG_WARN, HS_LOG_INFO, HS_LOG_DEBUG };

typedef void (*hs_log_fn)(void *context, enum hs_log_level level, const char *line);

/* Installs the hook (NULL: silence, the default) and the most verbose level it wants. Call before
 * other threads run. */
void hs_log_set(hs_log_fn fn, void *context, enum hs_log_level level);
void hs_log(enum hs_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
