/*
 * import_csv: one column of a file of comma-separated values (RFC 4180), found by its name in the header line.
 *
 * Where practice differs from the RFC, practice wins as long as it cannot be misread: cells may stand between
 * semicolons or tabs (what spreadsheets write in half of Europe), blanks around a quoted cell are dropped, blank lines
 * are skipped, and so is the "#TYPE" line that PowerShell's Export-Csv writes in front of the header. A quote inside a
 * cell that did not begin with one is an error: nobody can tell where that cell ends.
 *
 * A cell may hold several addresses with ';' between them, each with a type in front or not ("SMTP:a@b;smtp:c@d"),
 * which is how Exchange exports proxyAddresses.
 */
#include "table/import_reader.h"

#include <errno.h>

struct cell {
    struct str text; /* quotes resolved, in import->scratch or in the record */
    const char *at;  /* where it begins in the record */
};

static bool csv_continues(const struct import *import, struct str line) {
    return import->csv.is_open;
}

static void csv_added(struct import *import, struct str line) {
    for (size_t i = 0; i < line.len; i++)
        import->csv.is_open ^= line.at[i] == '"';
}

/*
 * The quoted cell whose first quote stands at `*at`; moves `*at` behind the closing one. Returns 0, -EBADMSG (told) or
 * -ENOMEM.
 */
static int quoted_cell(struct import *import, struct str record, size_t *at, struct cell *cell) {
    size_t i = *at + 1;
    cell->at = record.at + i;
    buf_clear(&import->scratch);
    for (;; i++) {
        size_t end = i + str_find(str_from(record, i), '"');
        int r = buf_put(&import->scratch, record.at + i, end - i);
        if (r < 0)
            return r;
        if (end == record.len) {
            import_malformed(import, record.at + *at, "this quote is never closed");
            return -EBADMSG;
        }
        i = end + 1;
        if (i == record.len || record.at[i] != '"')
            break;
        if ((r = buf_putc(&import->scratch, '"')) < 0)
            return r;
    }
    *at = i;
    cell->text = buf_str(&import->scratch);
    return 0;
}

static size_t skip_blanks(struct str record, size_t at, char delimiter) {
    while (at < record.len && (record.at[at] == ' ' || record.at[at] == '\t') && record.at[at] != delimiter)
        at++;
    return at;
}

/*
 * The next cell. `*at` is where it begins; afterwards where the next one does, or past record.len. Returns 1, 0 at the
 * end, -EBADMSG (told) or -ENOMEM.
 */
static int next_cell(struct import *import, struct str record, size_t *at, struct cell *ret_cell) {
    char delimiter = import->csv.delimiter;
    if (*at > record.len)
        return 0;
    size_t start = skip_blanks(record, *at, delimiter);
    if (start < record.len && record.at[start] == '"') {
        int r = quoted_cell(import, record, &start, ret_cell);
        if (r < 0)
            return r;
        start = skip_blanks(record, start, delimiter);
        if (start < record.len && record.at[start] != delimiter) {
            import_malformed(import, record.at + start, "expected the end of the cell behind its closing quote");
            return -EBADMSG;
        }
        *at = start + 1;
        return 1;
    }
    struct str rest = str_from(record, start);
    struct str text = str_head(rest, str_find(rest, delimiter));
    size_t quote = str_find(text, '"');
    if (quote < text.len) {
        import_malformed(import, text.at + quote, "a quote inside a cell that does not begin with one");
        return -EBADMSG;
    }
    *ret_cell = (struct cell){ str_trim(text), text.at };
    *at = start + text.len + 1;
    return 1;
}

/* ---- the header */

static char find_delimiter(struct str header) {
    bool is_quoted = false;
    for (size_t i = 0; i < header.len; i++) {
        char c = header.at[i];
        is_quoted ^= c == '"';
        if (!is_quoted && (c == ',' || c == ';' || c == '\t'))
            return c;
    }
    return ',';
}

/* How good a name is: 0 the best; N of them when none. */
static unsigned rank(const struct import *import, struct str name) {
    name = str_trim(name);
    if (import->options.column != NULL)
        return str_eq_nocase(name, str_of(import->options.column)) ? 0 : 1;
    unsigned i = 0;
    while (import_usual_names[i] != NULL && !str_eq_nocase(name, str_of(import_usual_names[i])))
        i++;
    return i;
}

static unsigned no_rank(const struct import *import) {
    unsigned n = 0;
    while (import_usual_names[n] != NULL)
        n++;
    return import->options.column != NULL ? 1 : n;
}

static int read_header(struct import *import, struct str record) {
    struct import_csv *csv = &import->csv;
    csv->has_header = true;
    csv->delimiter = import->options.delimiter != 0 ? import->options.delimiter : find_delimiter(record);
    unsigned best = no_rank(import);
    size_t at = 0, column = 0;
    struct cell cell;
    int r;
    while ((r = next_cell(import, record, &at, &cell)) > 0) {
        unsigned got = rank(import, cell.text);
        if (got < best) {
            best = got;
            csv->column = column;
        }
        column++;
    }
    import->is_hopeless = r < 0 || best == no_rank(import);
    if (r == 0 && import->is_hopeless && import->options.column != NULL)
        import_malformed(import, record.at, "no column is named '%s'", import->options.column);
    else if (r == 0 && import->is_hopeless)
        import_malformed(import, record.at,
                         "no column is named mail, email, address, proxyaddresses or userprincipalname; say which with "
                         "--column");
    return r == -ENOMEM ? r : 0;
}

/* ---- the rows */

static int take_cell(struct import *import, struct cell cell) {
    struct str rest = cell.text;
    while (rest.len > 0) {
        struct str one = str_head(rest, str_find(rest, ';'));
        int r = import_take_proxy(import, one, cell.at);
        if (r < 0)
            return r;
        rest = str_from(rest, one.len + 1);
    }
    return 0;
}

static int csv_record(struct import *import, struct str record) {
    import->csv.is_open = false;
    if (str_trim(record).len == 0)
        return 0;
    if (!import->csv.has_header && import->record_line == 1 && str_starts_nocase(record, STR("#TYPE ")))
        return 0;
    if (!import->csv.has_header)
        return read_header(import, record);
    size_t at = 0, column = 0;
    struct cell cell;
    int r;
    while ((r = next_cell(import, record, &at, &cell)) > 0) {
        if (column++ == import->csv.column)
            return take_cell(import, cell);
    }
    if (r == 0)
        import_malformed(import, record.at + record.len, "expected a cell %zu, the line has %zu",
                         import->csv.column + 1, column);
    return r == -ENOMEM ? r : 0;
}

const struct import_reader import_csv_reader = { .continues = csv_continues, .added = csv_added, .record = csv_record };
