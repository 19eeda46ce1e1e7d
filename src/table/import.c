/*
 * import: out of a file of any size, the addresses of one domain.
 *
 * The model: bytes -> lines -> records -> addresses. Lines end at LF, a CR before it belongs to the end; a byte order
 * mark is dropped. A record is one line or several (a folded LDIF value, a quoted CSV cell with a line end, a continued
 * line of a Postfix map): each reader says whether a line goes on with the record before it, and gets the record whole.
 * What it finds comes back through import_take(), the one place that decides what an address of our domain is.
 *
 * Nothing is silently lost. An address is added, or counted and named among those left out, or an error with its line.
 * There is no "skip what does not parse": the line that nobody understood would be a recipient refused tomorrow.
 *
 * Only the current line is held, so messages are given a diag_source of one record and the number of lines before it.
 *
 * Rejected: reading the file into memory or mapping it (it may be stdin); one reader per format with its own line
 * handling (four places for CRLF, byte order marks and bounds).
 */
#include "table/import.h"

#include "smtp/address.h"
#include "table/import_reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *const import_usual_names[] = { "mail", "email", "address", "proxyaddresses", "userprincipalname", NULL };

static const struct {
    const char *name;
    const struct import_reader *reader;
} formats[] = {
    [IMPORT_LIST] = { "list", &import_list_reader },
    [IMPORT_CSV] = { "csv", &import_csv_reader },
    [IMPORT_POSTFIX] = { "postfix", &import_postfix_reader },
    [IMPORT_LDIF] = { "ldif", &import_ldif_reader },
};

enum { N_FORMATS = sizeof(formats) / sizeof(formats[0]) };

int import_new(const struct import_options *options, struct diag_list *diag, import_add_fn add, void *arg,
               struct import **ret_import) {
    struct import *import = calloc(1, sizeof(*import));
    if (import == NULL)
        return -ENOMEM;
    import->options = *options;
    import->reader = formats[options->format].reader;
    import->diag = diag;
    import->add = add;
    import->arg = arg;
    buf_init(&import->partial, IMPORT_LINE_MAX + 2); /* one byte that is too many, and a CR */
    buf_init(&import->joined, IMPORT_LINE_MAX);
    buf_init(&import->scratch, IMPORT_LINE_MAX);
    buf_init(&import->decoded, IMPORT_LINE_MAX);
    *ret_import = import;
    return 0;
}

void import_free(struct import *import) {
    if (import == NULL)
        return;
    buf_deinit(&import->partial);
    buf_deinit(&import->joined);
    buf_deinit(&import->scratch);
    buf_deinit(&import->decoded);
    free(import);
}

const struct import_counts *import_counts(const struct import *import) {
    return &import->counts;
}

/* ---- what is said and counted */

void import_malformed(struct import *import, const char *at, const char *format, ...) {
    char message[256];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    struct diag_source source = { .path = import->options.path, .text = import->record,
                                  .lines_before = import->record_line - 1 };
    diag_error(import->diag, &source, at, "%s", message);
}

void import_leave_out(struct import_left_out *left_out, struct str name) {
    if (left_out->count < IMPORT_NAMED_MAX) {
        char *to = left_out->names[left_out->count];
        name = str_head(name, IMPORT_NAME_MAX - 1);
        for (size_t i = 0; i < name.len; i++)
            to[i] = (unsigned char)name.at[i] < ' ' || name.at[i] == 0x7f ? ' ' : name.at[i];
        to[name.len] = '\0';
    }
    left_out->count++;
}

/* ---- addresses */

/* A local part alone is this domain's where the format is a list of them. */
static struct str with_domain(const struct import *import, struct str text, char *whole, size_t size) {
    if (import->options.format != IMPORT_LIST || memchr(text.at, '@', text.len) != NULL)
        return text;
    int len = snprintf(whole, size, "%.*s@%.*s", STR_ARG(text), STR_ARG(import->options.domain));
    return len > 0 && (size_t)len < size ? (struct str){ whole, (size_t)len } : text;
}

static void refuse(struct import *import, const char *at, enum smtp_address_result result) {
    if (result == SMTP_ADDRESS_TOO_LONG)
        import_malformed(import, at, "address too long: at most %d bytes before the @, %d behind it, %d in all",
                         SMTP_LOCAL_MAX, SMTP_DOMAIN_MAX, SMTP_PATH_MAX - 2);
    else if (result == SMTP_ADDRESS_UTF8)
        import_malformed(import, at, "address is not valid UTF-8");
    else
        import_malformed(import, at, "expected an address");
}

int import_take(struct import *import, struct str text, const char *at) {
    text = str_trim(text);
    if (text.len == 0)
        return 0;
    if (text.at[0] == '@' && smtp_domain_parse(str_from(text, 1), false, true) == SMTP_ADDRESS_OK) {
        import_leave_out(&import->counts.catch_alls, text);
        return 0;
    }
    char whole[SMTP_PATH_MAX * 2];
    struct smtp_address address;
    enum smtp_address_result result = smtp_address_parse(with_domain(import, text, whole, sizeof(whole)), true,
                                                         &address);
    if (result != SMTP_ADDRESS_OK) {
        refuse(import, at, result);
        return 0;
    }
    if (!str_eq_nocase(address.domain, import->options.domain)) {
        import_leave_out(&import->counts.others, address.text);
        return 0;
    }
    char canonical[SMTP_LOCAL_MAX];
    struct str local = { canonical, smtp_local_canonical(&address, canonical) };
    if (local.len == 0) { /* ""@domain: in the grammar, but nobody's */
        import_malformed(import, at, "expected something before the @");
        return 0;
    }
    import->counts.addresses++;
    return import->add(import->arg, local, address.text);
}

int import_take_proxy(struct import *import, struct str text, const char *at) {
    text = str_trim(text);
    size_t colon = str_find(text, ':');
    bool is_typed = colon < text.len;
    for (size_t i = 0; i < colon && is_typed; i++) /* the type is letters and digits; a quoted local part is not */
        is_typed = (ascii_lower(text.at[i]) >= 'a' && ascii_lower(text.at[i]) <= 'z') ||
                   (text.at[i] >= '0' && text.at[i] <= '9');
    if (!is_typed)
        return import_take(import, text, at);
    if (str_eq_nocase(str_head(text, colon), STR("smtp")))
        return import_take(import, str_from(text, colon + 1), at);
    import_leave_out(&import->counts.ignored, text);
    return 0;
}

/* ---- records */

static int end_record(struct import *import) {
    if (!import->has_record || import->is_hopeless)
        return 0;
    import->has_record = false;
    import->record = buf_str(&import->joined);
    int r = import->reader->record(import, import->record);
    buf_clear(&import->joined);
    return r;
}

/* The record is longer than the bound: an error, unless nobody wanted it. Its other lines are passed over. */
static void drop_record(struct import *import) {
    import->record = buf_str(&import->joined);
    if (import->reader->may_be_long == NULL || !import->reader->may_be_long(import, import->record))
        import_malformed(import, import->record.at, "longer than %d bytes with the lines that continue it",
                         IMPORT_LINE_MAX);
    buf_clear(&import->joined);
    import->has_record = false;
    import->is_dropping = true;
}

static int join(struct import *import, struct str line) {
    if (import->has_record || import->is_dropping) {
        if (import->reader->continues(import, line)) {
            if (import->reader->added != NULL)
                import->reader->added(import, line);
            if (import->is_dropping)
                return 0;
            if (import->joined.len + 1 + line.len > IMPORT_LINE_MAX) {
                drop_record(import);
                return 0;
            }
            int r = buf_putc(&import->joined, '\n');
            return r == 0 ? buf_puts(&import->joined, line) : r;
        }
        int r = end_record(import);
        if (r < 0)
            return r;
    }
    import->is_dropping = false;
    import->has_record = true;
    import->record_line = import->counts.lines;
    if (import->reader->added != NULL)
        import->reader->added(import, line);
    return buf_puts(&import->joined, line);
}

/* ---- lines */

/* UTF-16 is what Windows PowerShell writes unless told otherwise: say so, instead of an error for every line. */
static struct str drop_mark(struct import *import, struct str line) {
    if (line.len >= 3 && memcmp(line.at, "\xef\xbb\xbf", 3) == 0)
        return str_from(line, 3);
    if (line.len >= 2 && (memcmp(line.at, "\xff\xfe", 2) == 0 || memcmp(line.at, "\xfe\xff", 2) == 0)) {
        import->is_hopeless = true;
        import_malformed(import, NULL, "this is UTF-16; export it as UTF-8 (PowerShell: -Encoding utf8)");
    }
    return line;
}

static void refuse_long_line(struct import *import, struct str start) {
    import->record = str_head(start, IMPORT_LINE_MAX);
    import->record_line = import->counts.lines;
    if (import->reader->may_be_long == NULL || !import->reader->may_be_long(import, import->record))
        import_malformed(import, import->record.at, "line longer than %d bytes", IMPORT_LINE_MAX);
}

/* `line` comes without its LF. */
static int take_line(struct import *import, struct str line) {
    import->counts.lines++;
    if (line.len > 0 && line.at[line.len - 1] == '\r')
        line.len--;
    if (import->counts.lines == 1)
        line = drop_mark(import, line);
    if (import->is_hopeless)
        return 0;
    if (line.len > IMPORT_LINE_MAX) {
        /* What it could have continued ends here; what continues it goes the same way. */
        int r = end_record(import);
        refuse_long_line(import, line);
        import->is_dropping = import->reader->continues != NULL;
        return r;
    }
    if (import->reader->continues != NULL)
        return join(import, line);
    import->record = line;
    import->record_line = import->counts.lines;
    return import->reader->record(import, line);
}

/* The end of the line is not there yet: keep what there is, as far as it could matter. */
static int keep_partial(struct import *import, struct str bytes) {
    size_t room = import->partial.max - import->partial.len;
    return buf_puts(&import->partial, str_head(bytes, room));
}

int import_feed(struct import *import, struct str bytes) {
    while (bytes.len > 0) {
        size_t end = str_find(bytes, '\n');
        if (end == bytes.len)
            return keep_partial(import, bytes);
        struct str line = str_head(bytes, end);
        if (import->partial.len > 0) {
            int r = keep_partial(import, line);
            if (r < 0)
                return r;
            line = buf_str(&import->partial);
        }
        int r = take_line(import, line);
        buf_clear(&import->partial);
        if (r < 0)
            return r;
        bytes = str_from(bytes, end + 1);
    }
    return 0;
}

int import_end(struct import *import) {
    if (import->partial.len > 0) {
        int r = take_line(import, buf_str(&import->partial));
        buf_clear(&import->partial);
        if (r < 0)
            return r;
    }
    return end_record(import);
}

/* ---- formats */

const char *import_format_name(enum import_format format) {
    return formats[format].name;
}

int import_format_parse(const char *name, enum import_format *ret_format) {
    for (unsigned i = 0; i < N_FORMATS; i++) {
        if (strcmp(formats[i].name, name) == 0) {
            *ret_format = (enum import_format)i;
            return 0;
        }
    }
    return -EINVAL;
}

static bool is_usual_name(struct str name) {
    for (const char *const *usual = import_usual_names; *usual != NULL; usual++) {
        if (str_eq_nocase(name, str_of(*usual)))
            return true;
    }
    return false;
}

/* The first line that is neither blank nor a comment; `*rest` is what follows. */
static struct str first_line(struct str *rest) {
    if (rest->len >= 3 && memcmp(rest->at, "\xef\xbb\xbf", 3) == 0)
        *rest = str_from(*rest, 3);
    while (rest->len > 0) {
        size_t end = str_find(*rest, '\n');
        struct str line = str_trim(str_head(*rest, end));
        *rest = str_from(*rest, end + 1);
        if (line.len > 0 && (line.at[0] != '#' || str_starts_nocase(line, STR("#TYPE "))))
            return line;
    }
    return (struct str){ NULL, 0 };
}

static bool is_csv_header(struct str line, struct str rest) {
    if (memchr(line.at, '@', line.len) != NULL)
        return false;
    if (line.at[0] == '#') /* "#TYPE …" of PowerShell's Export-Csv */
        return true;
    if (line.len > 2 && line.at[0] == '"' && line.at[line.len - 1] == '"')
        return true;
    if (memchr(line.at, ',', line.len) != NULL || memchr(line.at, ';', line.len) != NULL)
        return true;
    /* A lone "mail" is a header where addresses follow, and a local part where more local parts do. */
    struct str next = first_line(&rest);
    struct str head = str_head(line, str_find(line, '\t'));
    return is_usual_name(head) && next.len > 0 && memchr(next.at, '@', next.len) != NULL;
}

enum import_format import_format_guess(const char *path, struct str head) {
    struct str name = str_of(path);
    if (str_ends_nocase(name, STR(".ldif")) || str_ends_nocase(name, STR(".ldf")))
        return IMPORT_LDIF;
    if (str_ends_nocase(name, STR(".csv")) || str_ends_nocase(name, STR(".tsv")))
        return IMPORT_CSV;
    struct str rest = head;
    struct str line = first_line(&rest);
    if (line.len == 0)
        return IMPORT_LIST;
    if (str_starts_nocase(line, STR("dn:")) || str_starts_nocase(line, STR("version:")))
        return IMPORT_LDIF;
    if (is_csv_header(line, rest))
        return IMPORT_CSV;
    /* A quoted local part may hold blanks: what counts is a blank behind the @. */
    struct str behind = str_from(line, line.at[0] == '"' ? str_find_last(line, '"') : 0);
    struct str word = str_word(&behind);
    return word.len > 0 && str_trim(behind).len > 0 ? IMPORT_POSTFIX : IMPORT_LIST;
}
