/*
 * listeners: where do clients, or Postfix, reach us?
 *
 * An address and port, or for Postfix's questions a Unix socket, whose file has a mode and a group: Postfix's smtpd
 * runs as a user of its own. The group's number is looked up here, so that `postern check` says when there is none.
 *
 * Rejected: SMTP on a Unix socket. Everything is judged by the client's address.
 */
#include "conf/listeners.h"

#include "conf/list.h"
#include "net/unix_socket.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>

#define FAIL(reader, word, ...) diag_error((reader)->diag, (reader)->source, (word)->at, __VA_ARGS__)

static const struct str unix_prefix = STR_INIT("unix:");

char *conf_listener_format(const struct conf_listener *listener, char out[CONF_LISTENER_TEXT_MAX]) {
    if (listener->path != NULL)
        snprintf(out, CONF_LISTENER_TEXT_MAX, "unix:%s", listener->path);
    else
        endpoint_format(&listener->at, out);
    return out;
}

bool conf_listener_is_at(const struct conf_listener *listener, const struct endpoint *at, const char *path) {
    if (listener->path != NULL || path != NULL)
        return listener->path != NULL && path != NULL && strcmp(listener->path, path) == 0;
    return listener->at.port == at->port && ip_eq(&listener->at.ip, &at->ip);
}

static bool is_policy(const struct statement *statement) {
    return str_eq(statement->words[0].text, STR("policy_listen"));
}

static bool parse_address(const struct value_reader *reader, const struct word *word, struct endpoint *ret_at) {
    struct ip ip;
    if (ip_parse(word->text, &ip) == 0) {
        FAIL(reader, word, "the port is missing; expected ADDRESS:PORT, such as 0.0.0.0:25 or [::]:25");
        return false;
    }
    if (endpoint_parse(word->text, ret_at) < 0 || ret_at->port == 0) {
        FAIL(reader, word, "'%.*s' is not an address and port, such as 0.0.0.0:25 or [::]:25", STR_ARG(word->text));
        return false;
    }
    return true;
}

bool listener_parse_head(const struct value_reader *reader, const struct statement *statement,
                         struct conf_listener *ret_listener, int *ret_error) {
    const struct word *words = statement->words;
    struct conf_listener listener = { .door = is_policy(statement) ? CONF_DOOR_POLICY : CONF_DOOR_SMTP };
    *ret_error = 0;
    if (statement->n_words != 2) {
        FAIL(reader, &words[0], "expected '%.*s ADDRESS:PORT'%s", STR_ARG(words[0].text),
             is_policy(statement) ? " or 'policy_listen unix:PATH'" : "");
        return false;
    }
    if (is_policy(statement) && str_eq(str_head(words[1].text, unix_prefix.len), unix_prefix)) {
        struct word path = words[1];
        path.text = str_from(path.text, unix_prefix.len);
        *ret_error = value_parse_path(reader, &path, "the path of a socket", UNIX_SOCKET_PATH_MAX, &listener.path);
        if (listener.path == NULL)
            return false;
    } else if (!parse_address(reader, &words[1], &listener.at)) {
        return false;
    }
    for (size_t i = 0; i < reader->conf->n_listeners; i++) {
        if (conf_listener_is_at(&reader->conf->listeners[i], &listener.at, listener.path)) {
            FAIL(reader, &words[1], "a second listener on the same %s", listener.path != NULL ? "path"
                 : "address and port");
            return false;
        }
    }
    *ret_listener = listener;
    return true;
}

enum option_block listener_block(const struct conf_listener *listener) {
    if (listener->door == CONF_DOOR_SMTP)
        return OPTION_IN_LISTEN;
    return listener->path != NULL ? OPTION_IN_POLICY_LISTEN : OPTION_BLOCKS;
}

/* Returns 0, or -ENOENT when there is no such group. */
static int find_group(struct conf_listener *listener) {
    const struct group *group = listener->group == NULL ? NULL : getgrnam(listener->group);
    listener->gid = group == NULL ? (gid_t)-1 : group->gr_gid;
    return listener->group != NULL && group == NULL ? -ENOENT : 0;
}

int listener_add(const struct value_reader *reader, const struct statement *statement,
                 const struct conf_listener *listener) {
    struct conf *conf = reader->conf;
    struct conf_listener added = *listener;
    if (listener_block(listener) == OPTION_BLOCKS && statement->children != NULL)
        FAIL(reader, &statement->words[0], "policy_listen takes options on a Unix socket only");
    if (find_group(&added) < 0)
        FAIL(reader, &statement->words[0], "there is no group '%s'", added.group);
    int r = list_grow(&conf->arena, &conf->listeners, conf->n_listeners, sizeof(added));
    if (r == 0)
        conf->listeners[conf->n_listeners++] = added;
    return r;
}
