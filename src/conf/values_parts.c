/*
 * values_parts: values with a shape of their own: mailbox servers and groups of them, certificates, directories.
 */
#include "conf/value_types.h"

#include "conf/list.h"
#include "smtp/address.h"

#include <errno.h>

enum { PATH_LENGTH_MAX = 1024 };

/* ---- groups and servers */

static int parse_group(const struct value_reader *reader, const struct option *option,
                       const struct statement *statement, void *base) {
    if (!value_has_one(reader, statement, "the name of a servers block"))
        return 0;
    const struct word *word = &statement->words[1];
    const struct conf_group **field = value_field(option, base);
    const struct conf *conf = reader->conf;
    if (value_is_word(word, option->none)) {
        *field = NULL;
        return 0;
    }
    for (size_t i = 0; i < conf->n_groups; i++) {
        if (value_is_word(word, conf->groups[i].name)) {
            *field = &conf->groups[i];
            return 0;
        }
    }
    FAIL(reader, word, "no group of servers is called '%.*s'", STR_ARG(word->text));
    return 0;
}

static int dump_group(const struct option *option, const void *base, struct buf *out) {
    const struct conf_group *group = *(const struct conf_group **)value_field(option, base);
    return value_put_word(str_of(group != NULL ? group->name : option->none), out);
}

static bool group_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_group *x = *(const struct conf_group **)value_field(option, a);
    const struct conf_group *y = *(const struct conf_group **)value_field(option, b);
    return x == NULL || y == NULL ? x == y : strcmp(x->name, y->name) == 0;
}

static int parse_server(const struct value_reader *reader, const struct option *option,
                        const struct statement *statement, void *base) {
    const struct word *words = statement->words;
    struct conf_group *group = base;
    struct conf_server server = { .at.port = 25 };
    if (statement->n_words != 2 && !(statement->n_words == 4 && value_is_word(&words[2], "name"))) {
        FAIL(reader, &words[0], "expected 'server ADDRESS[:PORT] [name NAME]'");
        return 0;
    }
    if (ip_parse(words[1].text, &server.at.ip) < 0 &&
        (endpoint_parse(words[1].text, &server.at) < 0 || server.at.port == 0)) {
        FAIL(reader, &words[1], "'%.*s' is not an address or address and port, such as 10.0.0.10:25 or [::1]:25",
             STR_ARG(words[1].text));
        return 0;
    }
    if (statement->n_words == 4 && smtp_domain_parse(words[3].text, false, false) != SMTP_ADDRESS_OK) {
        FAIL(reader, &words[3], "'%.*s' is not a host name", STR_ARG(words[3].text));
        return 0;
    }
    for (size_t i = 0; i < group->n_servers; i++) {
        if (ip_eq(&group->servers[i].at.ip, &server.at.ip) && group->servers[i].at.port == server.at.port) {
            FAIL(reader, &words[1], "this server stands in the group already");
            return 0;
        }
    }
    if (group->n_servers == CONF_SERVERS_MAX) {
        FAIL(reader, &words[0], "more than %d servers", CONF_SERVERS_MAX);
        return 0;
    }
    char text[IP_TEXT_MAX];
    struct str name = statement->n_words == 4 ? words[3].text : str_of(ip_format(&server.at.ip, text));
    int r = value_keep(reader, name, &server.name);
    if (r == 0)
        r = list_grow(&reader->conf->arena, &group->servers, group->n_servers, sizeof(server));
    if (r == 0)
        group->servers[group->n_servers++] = server;
    return r;
}

static int dump_servers(const struct option *option, const void *base, const char *indent, struct buf *out) {
    const struct conf_group *group = base;
    int r = 0;
    for (size_t i = 0; i < group->n_servers && r == 0; i++) {
        const struct conf_server *server = &group->servers[i];
        char text[ENDPOINT_TEXT_MAX], ip[IP_TEXT_MAX];
        r = buf_putf(out, "%s%s %s", indent, option->name, endpoint_format(&server->at, text));
        if (r == 0 && strcmp(server->name, ip_format(&server->at.ip, ip)) != 0)
            r = buf_putf(out, " name %s", server->name);
        if (r == 0)
            r = buf_putc(out, '\n');
    }
    return r;
}

static bool servers_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_group *x = a, *y = b;
    bool is_eq = x->n_servers == y->n_servers;
    for (size_t i = 0; i < x->n_servers && is_eq; i++) {
        const struct conf_server *p = &x->servers[i], *q = &y->servers[i];
        is_eq = ip_eq(&p->at.ip, &q->at.ip) && p->at.port == q->at.port && strcmp(p->name, q->name) == 0;
    }
    return is_eq;
}

/* ---- certificates */

static int parse_certificate(const struct value_reader *reader, const struct option *option,
                             const struct statement *statement, void *base) {
    struct conf_settings *set = base;
    if (statement->n_words != 3) {
        FAIL(reader, &statement->words[0], "expected 'certificate CHAIN KEY', two PEM files");
        return 0;
    }
    struct tls_certificate certificate = { 0 };
    int r = value_parse_path(reader, &statement->words[1], "a path", PATH_LENGTH_MAX, &certificate.certificate_file);
    if (r == 0)
        r = value_parse_path(reader, &statement->words[2], "a path", PATH_LENGTH_MAX, &certificate.key_file);
    if (r < 0 || certificate.certificate_file == NULL || certificate.key_file == NULL)
        return r;
    r = list_grow(&reader->conf->arena, &set->tls.certificates, set->tls.n_certificates, sizeof(certificate));
    if (r == 0)
        set->tls.certificates[set->tls.n_certificates++] = certificate;
    return r;
}

static int dump_certificates(const struct option *option, const void *base, const char *indent, struct buf *out) {
    const struct conf_settings *set = base;
    int r = 0;
    if (set->tls.n_certificates == 0)
        return buf_putf(out, "%s# %s: none  # default\n", indent, option->name);
    for (size_t i = 0; i < set->tls.n_certificates && r == 0; i++) {
        const struct tls_certificate *certificate = &set->tls.certificates[i];
        if ((r = buf_putf(out, "%s%s ", indent, option->name)) == 0 &&
            (r = value_put_word(str_of(certificate->certificate_file), out)) == 0 && (r = buf_putc(out, ' ')) == 0 &&
            (r = value_put_word(str_of(certificate->key_file), out)) == 0)
            r = buf_putc(out, '\n');
    }
    return r;
}

static bool certificates_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_settings *x = a, *y = b;
    bool is_eq = x->tls.n_certificates == y->tls.n_certificates;
    for (size_t i = 0; i < x->tls.n_certificates && is_eq; i++) {
        is_eq = strcmp(x->tls.certificates[i].certificate_file, y->tls.certificates[i].certificate_file) == 0 &&
                strcmp(x->tls.certificates[i].key_file, y->tls.certificates[i].key_file) == 0;
    }
    return is_eq;
}

/* ---- directory own | none | of DOMAIN */

static int parse_directory(const struct value_reader *reader, const struct option *option,
                           const struct statement *statement, void *base) {
    struct conf_domain_settings *set = base;
    const struct word *words = statement->words;
    if (statement->n_words == 2 && (value_is_word(&words[1], "own") || value_is_word(&words[1], "none"))) {
        set->directory = value_is_word(&words[1], "own") ? CONF_DIRECTORY_OWN : CONF_DIRECTORY_NONE;
        set->directory_of = NULL;
        return 0;
    }
    if (statement->n_words != 3 || !value_is_word(&words[1], "of")) {
        FAIL(reader, &words[0], "expected 'directory own', 'directory none' or 'directory of DOMAIN'");
        return 0;
    }
    char *name = arena_strdup(&reader->conf->arena, words[2].text);
    if (name == NULL)
        return -ENOMEM;
    for (char *c = name; *c != '\0'; c++)
        *c = ascii_lower(*c);
    set->directory = CONF_DIRECTORY_OF; /* that the domain exists is checked when all are known */
    set->directory_of = name;
    return 0;
}

static int dump_directory(const struct option *option, const void *base, struct buf *out) {
    const struct conf_domain_settings *set = base;
    switch (set->directory) {
    case CONF_DIRECTORY_OWN:
        return buf_puts(out, STR("own"));
    case CONF_DIRECTORY_NONE:
        return buf_puts(out, STR("none"));
    case CONF_DIRECTORY_OF:
        break;
    }
    int r = buf_puts(out, STR("of "));
    return r < 0 ? r : value_put_word(str_of(set->directory_of), out);
}

static bool directory_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_domain_settings *x = a, *y = b;
    return x->directory == y->directory &&
           (x->directory != CONF_DIRECTORY_OF || strcmp(x->directory_of, y->directory_of) == 0);
}

/* ---- the types */

const struct value_type group_type = { parse_group, dump_group, NULL, group_eq };
const struct value_type server_type = { parse_server, NULL, dump_servers, servers_eq };
const struct value_type certificate_type = { parse_certificate, NULL, dump_certificates, certificates_eq };
const struct value_type directory_type = { parse_directory, dump_directory, NULL, directory_eq };
