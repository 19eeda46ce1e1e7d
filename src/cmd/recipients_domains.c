/*
 * recipients_domains: whose list is meant, and which file is it in?
 *
 * With a configuration only its domains have lists, and a name that is none of them is most likely a slip: the one that
 * may have been meant is named. With --dir any domain may have one.
 */
#include "cmd/recipients.h"

#include "smtp/address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Returns the domain, or NULL and says so, with the one that may have been meant. */
static const struct conf_domain *find_domain(const struct conf *conf, struct str name) {
    const struct conf_domain *domain = conf_domain_find(conf, name);
    if (domain != NULL)
        return domain;
    const char **names = calloc(conf->n_domains + 1, sizeof(*names));
    for (size_t i = 0; names != NULL && i < conf->n_domains; i++)
        names[i] = conf->domains[i].name;
    const char *meant = names != NULL ? diag_did_you_mean(name, names, conf->n_domains) : NULL;
    if (meant != NULL)
        recipients_fail("%.*s is no domain of %s; did you mean %s?", STR_ARG(name), conf->path, meant);
    else
        recipients_fail("%.*s is no domain of %s", STR_ARG(name), conf->path);
    free(names);
    return NULL;
}

bool recipients_own_domain(const struct recipients_request *request, const char *text, struct str *ret_domain) {
    *ret_domain = str_of(text);
    if (request->conf == NULL) {
        if (smtp_domain_parse(*ret_domain, false, true) == SMTP_ADDRESS_OK)
            return true;
        recipients_fail("'%s' is no domain name", text);
        return false;
    }
    const struct conf_domain *domain = find_domain(request->conf, *ret_domain);
    if (domain == NULL)
        return false;
    if (domain->set.directory == CONF_DIRECTORY_OF) {
        recipients_fail("%s has no list of its own, it uses that of %s", domain->name, domain->set.directory_of);
        return false;
    }
    if (domain->set.directory == CONF_DIRECTORY_NONE)
        fprintf(stderr, "postern recipients: warning: %s has 'directory none': its list is not asked\n", domain->name);
    *ret_domain = str_of(domain->name);
    return true;
}

int recipients_path(const struct recipients_request *request, struct str domain, struct buf *out) {
    buf_init(out, RECIPIENTS_PATH_MAX);
    int r = directory_path(request->dir, domain, out);
    return r == 0 ? buf_putc(out, '\0') : r;
}

int recipients_open(const struct recipients_request *request, struct str domain, struct directory **ret_directory) {
    struct buf path;
    int r = recipients_path(request, domain, &path);
    if (r == 0)
        r = directory_open(path.at, ret_directory);
    buf_deinit(&path);
    return r;
}

const char *recipients_why(int r) {
    return r == -EBADMSG ? "the file is damaged or no directory" : strerror(-r);
}
