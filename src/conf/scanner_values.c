/*
 * scanner_values: which servers does a scanner have?
 *
 * `server` of the blocks clamav and spamassassin: a Unix socket, as both packages of the distribution make one, or an
 * address. Names are not resolved: a scanner that depends on DNS would be one more thing that fails with it.
 */
#include "conf/scanner_values.h"

#include "conf/list.h"
#include "net/unix_socket.h"

static const struct str unix_prefix = STR_INIT("unix:");

/* Returns 0 or -ENOMEM; neither path nor port: it was said what is wrong. */
static int parse_at(const struct value_reader *reader, const struct option *option, const struct word *word,
                    struct conf_scanner_server *ret_server) {
    struct word path = *word;

    if (str_eq(str_head(word->text, unix_prefix.len), unix_prefix)) {
        path.text = str_from(path.text, unix_prefix.len);
        return value_parse_path(reader, &path, "the path of a socket", UNIX_SOCKET_PATH_MAX, &ret_server->path);
    }
    ret_server->at.port = (uint16_t)option->number;
    if (ip_parse(word->text, &ret_server->at.ip) == 0 ||
        (endpoint_parse(word->text, &ret_server->at) == 0 && ret_server->at.port != 0))
        return 0;
    FAIL(reader, word, "'%.*s' is not unix:PATH, an address or address and port, such as 127.0.0.1:%u",
         STR_ARG(word->text), (unsigned)option->number);
    ret_server->at.port = 0;
    return 0;
}

static int name_it(const struct value_reader *reader, struct conf_scanner_server *server) {
    struct arena *arena = &reader->conf->arena;
    char text[ENDPOINT_TEXT_MAX];

    server->text = server->path != NULL ? arena_printf(arena, "unix:%s", server->path)
                                        : arena_strdup(arena, str_of(endpoint_format(&server->at, text)));
    return server->text != NULL ? 0 : -ENOMEM;
}

static int parse_server(const struct value_reader *reader, const struct option *option,
                        const struct statement *statement, void *base) {
    struct conf_scanner *scanner = value_field(option, base);
    struct conf_scanner_server server = { 0 };

    if (!value_has_one(reader, statement, "unix:PATH or ADDRESS[:PORT]"))
        return 0;
    const struct word *word = &statement->words[1];
    int r = parse_at(reader, option, word, &server);
    if (r < 0 || (server.path == NULL && server.at.port == 0))
        return r;
    if ((r = name_it(reader, &server)) < 0)
        return r;
    for (size_t i = 0; i < scanner->n_servers; i++) {
        if (strcmp(scanner->servers[i].text, server.text) == 0) {
            FAIL(reader, word, "this server stands in the block already");
            return 0;
        }
    }
    if (scanner->n_servers == CONF_SCANNER_SERVERS_MAX) {
        FAIL(reader, word, "more than %d servers", CONF_SCANNER_SERVERS_MAX);
        return 0;
    }
    r = list_grow(&reader->conf->arena, &scanner->servers, scanner->n_servers, sizeof(server));
    if (r == 0)
        scanner->servers[scanner->n_servers++] = server;
    return r;
}

static int dump_servers(const struct option *option, const void *base, const char *indent, struct buf *out) {
    const struct conf_scanner *scanner = value_field(option, base);
    int r = 0;

    if (scanner->n_servers == 0)
        return buf_putf(out, "%s# %s: none  # default\n", indent, option->name);
    for (size_t i = 0; i < scanner->n_servers && r == 0; i++) {
        r = buf_putf(out, "%s%s ", indent, option->name);
        if (r == 0)
            r = value_put_word(str_of(scanner->servers[i].text), out);
        if (r == 0)
            r = buf_putc(out, '\n');
    }
    return r;
}

static bool servers_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_scanner *x = value_field(option, a), *y = value_field(option, b);
    bool is_eq = x->n_servers == y->n_servers;

    for (size_t i = 0; i < x->n_servers && is_eq; i++)
        is_eq = strcmp(x->servers[i].text, y->servers[i].text) == 0;
    return is_eq;
}

const struct value_type scanner_type = { parse_server, NULL, dump_servers, servers_eq };
