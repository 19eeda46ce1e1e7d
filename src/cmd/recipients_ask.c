/*
 * recipients_ask: what is in a domain's directory, and what would the gateway say to an address?
 *
 * An address is asked about as a session asks (table/recipients.h), with the rules of its domain; with --dir, with the
 * defaults.
 */
#include "cmd/recipients.h"

#include "base/clock.h"
#include "cmd/cmd.h"
#include "table/recipients.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- export */

/* A line that begins with '#' would be a comment when it is imported again; in quotes it is the same mailbox. */
static int print_address(void *arg, struct str address) {
    size_t at = str_find_last(address, '@');
    if (address.len > 0 && address.at[0] == '#')
        printf("\"%.*s\"%.*s\n", STR_ARG(str_head(address, at)), STR_ARG(str_from(address, at)));
    else
        printf("%.*s\n", STR_ARG(address));
    return ferror(stdout) ? -EIO : 0;
}

int recipients_export(const struct recipients_request *request) {
    struct str domain;
    struct directory *directory;
    if (!recipients_own_domain(request, request->args[0], &domain))
        return EXIT_FAILURE;
    int r = recipients_open(request, domain, &directory);
    if (r < 0) {
        recipients_fail("%.*s: %s", STR_ARG(domain), r == -ENOENT ? "never imported" : recipients_why(r));
        return EXIT_NOBODY_KNOWS;
    }
    r = directory_each(directory, print_address, NULL);
    directory_free(directory);
    if (r == 0 && fflush(stdout) != 0)
        r = -errno;
    return r < 0 ? recipients_fail("%.*s: %s", STR_ARG(domain), recipients_why(r)) : EXIT_SUCCESS;
}

/* ---- check */

static const char *way_text(enum recipient_way way) {
    switch (way) {
    case RECIPIENT_WAY_OWN:
        return "own entry";
    case RECIPIENT_WAY_SUB_ADDRESS:
        return "sub-address";
    case RECIPIENT_WAY_CATCH_ALL:
        return "catch-all";
    case RECIPIENT_WAY_POSTMASTER:
        return "postmaster";
    case RECIPIENT_WAY_NONE:
        break;
    }
    return "";
}

static int tell_answer(const char *text, enum recipient_answer answer, enum recipient_way way, const char *rewrite) {
    switch (answer) {
    case RECIPIENT_KNOWN:
        printf("%s: known (%s)%s%s\n", text, way_text(way), rewrite != NULL ? ", goes to " : "",
               rewrite != NULL ? rewrite : "");
        return EXIT_SUCCESS;
    case RECIPIENT_UNKNOWN:
        printf("%s: unknown\n", text);
        return EXIT_FAILURE;
    case RECIPIENT_ROUTE:
        printf("%s: refused as relaying (a route, unless the directory holds exactly it)\n", text);
        return EXIT_FAILURE;
    case RECIPIENT_NO_DIRECTORY:
        printf("%s: missing directory (450 for now)\n", text);
        break;
    case RECIPIENT_STALE:
        printf("%s: not in the directory, which is too old (450 for now)\n", text);
        break;
    case RECIPIENT_UNCHECKED:
        printf("%s: not checked here ('directory none'), the mailbox server decides\n", text);
        break;
    }
    return EXIT_NOBODY_KNOWS;
}

/*
 * The rules of the address's domain, and whose list it is looked up in (empty: none). Returns false when it is not
 * ours.
 */
static bool rules_of(const struct recipients_request *request, const struct smtp_address *address,
                     struct recipient_lookup *ret_how, struct str *ret_list) {
    *ret_list = address->domain;
    if (request->conf == NULL) {
        *ret_how = (struct recipient_lookup){ .delimiter = request->sub_address != NULL ? request->sub_address : "+" };
        return true;
    }
    const struct conf *conf = request->conf;
    const struct conf_domain *domain = NULL;
    if (!str_is_empty(address->domain))
        domain = conf_domain_find(conf, address->domain);
    else if (conf->n_domains > 0)
        domain = &conf->domains[0]; /* it serves <postmaster> */
    if (domain == NULL)
        return false;
    const struct conf_domain_settings *set = &domain->set;
    *ret_how = (struct recipient_lookup){ .delimiter = set->delimiter, .catch_all = set->catch_all,
                                          .postmaster = set->postmaster,
                                          .is_unchecked = set->directory == CONF_DIRECTORY_NONE,
                                          .takes_routes = set->local_routes,
                                          .max_age_ms = conf->set.timeouts.directory_age };
    *ret_list = str_of(set->directory == CONF_DIRECTORY_OF ? set->directory_of : domain->name);
    return true;
}

int recipients_check(const struct recipients_request *request) {
    const char *text = request->args[0];
    char path[SMTP_PATH_MAX + 2];
    struct str rest = { path, 0 };
    struct smtp_address address;
    int len = snprintf(path, sizeof(path), text[0] == '<' ? "%s" : "<%s>", text);
    rest.len = len > 0 && (size_t)len < sizeof(path) ? (size_t)len : 0;
    if (smtp_path_parse(&rest, false, true, true, &address) != SMTP_ADDRESS_OK || rest.len > 0) {
        recipients_fail("'%s' is no address", text);
        return EXIT_USAGE;
    }
    struct recipient_lookup how;
    struct str list;
    if (!rules_of(request, &address, &how, &list)) {
        printf("%s: unknown, %.*s is not one of our domains\n", text, STR_ARG(address.domain));
        return EXIT_FAILURE;
    }
    struct directory *directory = NULL;
    int r = how.is_unchecked || str_is_empty(list) ? 0 : recipients_open(request, list, &directory);
    if (r < 0 && r != -ENOENT)
        recipients_fail("%.*s: %s", STR_ARG(list), recipients_why(r));
    enum recipient_way way;
    const char *rewrite;
    enum recipient_answer answer = recipient_find(directory, &how, &address, clock_wall_ms(), &way, &rewrite);
    directory_free(directory);
    return tell_answer(text, answer, way, rewrite);
}
