/*
 * Compares two files of full logits, float32 [rows][vocab] each: a reference and ours.
 *
 * usage: kl_logits REFERENCE OURS VOCAB
 *
 * Prints the rows, mean and maximum of KL(reference || ours) in nats with the softmax in double
 * over the whole vocabulary, and the share of rows whose largest logit differs. Perplexity alone
 * would not do: it hardly moves when a model is subtly wrong, while KL shows it at once.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row_stats {
    double lse;
    size_t argmax;
};

struct totals {
    size_t rows, differ, worst_row;
    double sum, max;
};

static int fail(const char *what, const char *detail)
{
    fprintf(stderr, "kl_logits: %s: %s\n", what, detail);
    return 1;
}

static struct row_stats row_stats(const float *logits, size_t n)
{
    struct row_stats stats = {0.0, 0};
    for (size_t i = 1; i < n; i++) {
        if (logits[i] > logits[stats.argmax]) {
            stats.argmax = i;
        }
    }
    const double top = (double)logits[stats.argmax];
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += exp((double)logits[i] - top);
    }
    stats.lse = top + log(sum);
    return stats;
}

static void add_row(struct totals *totals, const float *ref, const float *ours, size_t n)
{
    const struct row_stats a = row_stats(ref, n);
    const struct row_stats b = row_stats(ours, n);
    double kl = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double log_p = (double)ref[i] - a.lse;
        const double log_q = (double)ours[i] - b.lse;
        kl += exp(log_p) * (log_p - log_q);
    }
    /* Written so that a NaN anywhere becomes the maximum instead of losing the comparison. */
    if (totals->rows == 0 || !(kl <= totals->max)) {
        totals->max = kl;
        totals->worst_row = totals->rows;
    }
    totals->sum += kl;
    totals->differ += a.argmax != b.argmax;
    totals->rows++;
}

/* Returns 1 for a row, 0 at the end of the file, -1 for a cut row or a read error. */
static int read_row(FILE *file, float *row, size_t n)
{
    const size_t got = fread(row, sizeof *row, n, file);
    if (got == n) {
        return 1;
    }
    return got == 0 && feof(file) ? 0 : -1;
}

static int compare(FILE *ref_file, FILE *ours_file, float *ref, float *ours, size_t n)
{
    struct totals totals = {0};
    int a = 1;
    int b = 1;
    while ((a = read_row(ref_file, ref, n)) == 1 && (b = read_row(ours_file, ours, n)) == 1) {
        add_row(&totals, ref, ours, n);
    }
    /* After a clean end of the reference, ours must be at its end as well. */
    if (a == 0) {
        b = read_row(ours_file, ours, n);
    }
    if (a != 0 || b != 0 || totals.rows == 0) {
        return fail("input", "files are empty, cut, or differ in their number of rows");
    }
    const double rows = (double)totals.rows;
    printf("rows %zu mean_kl %.6e max_kl %.6e (row %zu) argmax_differs %.6f (%zu)\n", totals.rows,
           totals.sum / rows, totals.max, totals.worst_row, (double)totals.differ / rows,
           totals.differ);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        return fail("usage", "kl_logits REFERENCE OURS VOCAB");
    }
    char *end;
    const unsigned long vocab = strtoul(argv[3], &end, 10);
    if (*end || vocab < 2 || vocab > (1ul << 24)) {
        return fail("VOCAB", "not a count in range");
    }
    FILE *ref_file = fopen(argv[1], "rb");
    FILE *ours_file = ref_file ? fopen(argv[2], "rb") : NULL;
    if (!ours_file) {
        return fail(ref_file ? argv[2] : argv[1], strerror(errno));
    }
    float *rows = malloc(2 * vocab * sizeof *rows);
    if (!rows) {
        return fail("allocation", "out of memory");
    }
    const int status = compare(ref_file, ours_file, rows, rows + vocab, vocab);
    free(rows);
    fclose(ref_file);
    fclose(ours_file);
    return status;
}
