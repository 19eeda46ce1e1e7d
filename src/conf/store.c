/*
 * store: can what the configuration says of the store work?
 *
 * A password in postern.conf would be seen by all who may read that file, or what `check` prints of it. libpq has a
 * file for it (passfile, ~/.pgpass) that it refuses to use when others can read it; so a password here is refused, and
 * the line that holds it is not shown.
 */
#include "conf/store.h"

/* In "keyword = value" and in the query of a URI: password, sslpassword. */
static bool has_password_keyword(struct str text) {
    for (size_t i = 0; i + 8 <= text.len; i++) {
        if (!str_starts_nocase(str_from(text, i), STR("password")))
            continue;
        struct str rest = str_trim(str_from(text, i + 8));
        if (rest.len > 0 && rest.at[0] == '=')
            return true;
    }
    return false;
}

/* postgresql://user:password@host/… */
static bool is_uri_with_password(struct str text) {
    if (!str_starts_nocase(text, STR("postgresql://")) && !str_starts_nocase(text, STR("postgres://")))
        return false;
    struct str rest = str_from(text, str_find(text, ':') + 3);
    struct str authority = str_head(rest, str_find(rest, '/'));
    struct str user = str_head(authority, str_find_last(authority, '@'));
    return user.len < authority.len && str_find(user, ':') < user.len;
}

void conf_store_check(const struct conf *conf, const struct diag_source *source, struct diag_list *diag) {
    const struct conf_settings *set = &conf->set;
    struct str conninfo = str_of(set->store.postgresql);
    if (has_password_keyword(conninfo) || is_uri_with_password(conninfo))
        diag_error(diag, source, NULL, "store postgresql holds a password; write it to a passfile that only the user "
                   "of the workers can read, and name that: passfile=FILE");
    if (conninfo.len > 0 && set->store.path == NULL)
        diag_error(diag, source, NULL, "store postgresql needs a path too: what the server holds is kept here as well, "
                   "for the time when it is away");
    if (set->greylist.delay >= set->greylist.unpassed_life)
        diag_error(diag, source, NULL, "greylist delay is not less than unpassed_life: no retry could ever pass");
}
