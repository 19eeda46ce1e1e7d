/*
 * greylist_sqlgrey: what sqlgrey knows, from its database in SQLite.
 *
 *     connect      who waits: (sender, source, recipient)                 ─▶ triplets that have not passed
 *     from_awl     (sender, source): passed, for any recipient            ─▶ one passed triplet of that source
 *     domain_awl   (sender's domain, source): passed with many senders    ─▶ a source to be white-listed
 *
 * A source is an address, or the first three bytes of one. sqlgrey forgets to whom a sender wrote once the sender has
 * passed, so what it lets pass becomes trust in the source: counted as the passed triplets that made it, or, for a
 * whole domain, as more than any threshold asks for. Times are seconds, or text where another version wrote them.
 *
 * sqlgrey in PostgreSQL or MySQL: write the form of greylist_entry.c with a query (docs/greylisting.md shows it).
 */
#include "cmd/greylist_entry.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define SECONDS(column) "CASE typeof(" column ") WHEN 'integer' THEN " column " ELSE strftime('%s', " column ") END"
#define OF_A_DOMAIN "1000"

/* Columns: source, sender, recipient, first, last, passes. */
static const char waiting[] =
    "SELECT src, CASE sender_domain WHEN '-undef-' THEN '' ELSE sender_name || '@' || sender_domain END, rcpt, "
    SECONDS("first_seen") ", " SECONDS("first_seen") ", 0 FROM connect";

static const char trusted[] =
    "SELECT src, '', '', min(" SECONDS("first_seen") "), max(" SECONDS("last_seen") "), sum(n) FROM"
    " (SELECT src, first_seen, last_seen, 1 AS n FROM from_awl UNION ALL"
    " SELECT src, first_seen, last_seen, " OF_A_DOMAIN " FROM domain_awl) GROUP BY src";

static int complain(struct greylist_reading *reading, const char *what) {
    buf_clear(&reading->problem);
    buf_puts(&reading->problem, str_of(what));
    return -EBADMSG;
}

static struct str text_of(sqlite3_stmt *statement, int column) {
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return (struct str){ text, text != NULL ? (size_t)sqlite3_column_bytes(statement, column) : 0 };
}

static int take_row(struct greylist_reading *reading, sqlite3_stmt *statement, bool is_client) {
    int64_t passes = sqlite3_column_int64(statement, 5);
    char network[64];
    struct greylist_entry entry = {
        .is_client = is_client, .who = text_of(statement, 0), .sender = text_of(statement, 1),
        .recipient = text_of(statement, 2), .first = sqlite3_column_int64(statement, 3),
        .last = sqlite3_column_int64(statement, 4), .passes = passes > INT32_MAX ? INT32_MAX : (int32_t)passes,
    };
    size_t n_dots = 0;
    for (size_t i = 0; i < entry.who.len; i++)
        n_dots += entry.who.at[i] == '.';
    if (n_dots == 2) { /* "192.0.2" */
        int len = snprintf(network, sizeof(network), "%.*s.0", STR_ARG(str_head(entry.who, 20)));
        entry.who = (struct str){ network, (size_t)len };
        entry.is_network = true;
    }
    return reading->on_entry(reading->arg, &entry);
}

static int read_rows(sqlite3 *db, const char *sql, bool is_client, struct greylist_reading *reading) {
    sqlite3_stmt *statement = NULL;
    int r = 0, step = SQLITE_DONE;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        return complain(reading, sqlite3_errmsg(db));
    while (r == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW)
        r = take_row(reading, statement, is_client);
    if (r == 0 && step != SQLITE_DONE)
        r = complain(reading, sqlite3_errmsg(db));
    sqlite3_finalize(statement);
    return r;
}

int greylist_read_sqlgrey(const char *path, struct greylist_reading *reading) {
    sqlite3 *db = NULL;
    reading->line = 0;
    int r = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK ? 0
                                                                                : complain(reading, sqlite3_errmsg(db));
    if (r == 0)
        r = read_rows(db, waiting, false, reading);
    if (r == 0)
        r = read_rows(db, trusted, true, reading);
    sqlite3_close(db);
    return r;
}
