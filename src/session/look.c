/*
 * look: see the header.
 *
 * A message whose parts cannot be walked (too deep, too many, without a boundary) may hide anything, so it counts as
 * one with a banned attachment, and says why.
 */
#include "session/look.h"

#include "mime/banned.h"
#include "mime/header_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct look {
    bool checks_header;
    struct header_check header;
    struct str header_fault;
    struct walker *walker; /* NULL: no rule asks for attachments */
    struct banned_rules rules;
    char banned[BANNED_WHY_MAX]; /* the first that was found; "": none */
};

static void on_file(void *arg, const struct mime_file *file) {
    struct look *look = arg;
    if (look->banned[0] == '\0' && !banned_check(&look->rules, file, look->banned))
        look->banned[0] = '\0';
}

static struct banned_rules rules_of(const struct conf *conf) {
    return (struct banned_rules){
        .uses_defaults = conf->set.attachments.defaults,
        .ban = conf->set.attachments.ban.at, .n_ban = conf->set.attachments.ban.n,
        .allow = conf->set.attachments.allow.at, .n_allow = conf->set.attachments.allow.n,
        .looks_inside = conf->set.attachments.inside,
        .bans_encrypted = conf->set.attachments.encrypted,
    };
}

int look_new(const struct conf *conf, bool allows_utf8, struct look **ret_look) {
    const struct policy *policy = conf->policy.policy;
    bool checks_header = policy_slot(policy, F_HEADER_BAD) != NULL;
    bool walks = policy_slot(policy, F_ATTACHMENT_BANNED) != NULL;
    *ret_look = NULL;
    if (!checks_header && !walks)
        return 0;
    struct look *look = calloc(1, sizeof(*look));
    if (look == NULL)
        return -ENOMEM;
    look->checks_header = checks_header;
    look->rules = rules_of(conf);
    header_check_init(&look->header, allows_utf8);
    if (walks && (look->walker = walker_new(on_file, look)) == NULL) {
        free(look);
        return -ENOMEM;
    }
    *ret_look = look;
    return 0;
}

void look_free(struct look *look) {
    if (look == NULL)
        return;
    walker_free(look->walker);
    free(look);
}

void look_feed(struct look *look, const char *at, size_t len) {
    if (look == NULL)
        return;
    if (look->checks_header)
        header_check_feed(&look->header, at, len);
    if (look->walker != NULL && look->banned[0] == '\0')
        walker_feed(look->walker, at, len);
}

void look_end(struct look *look) {
    if (look == NULL)
        return;
    look->header_fault = header_check_end(&look->header);
    if (look->walker == NULL || look->banned[0] != '\0')
        return;
    enum mime_trouble trouble = walker_end(look->walker);
    if (look->banned[0] == '\0' && trouble != MIME_FINE)
        snprintf(look->banned, sizeof(look->banned), "cannot be looked into: %s", mime_trouble_text(trouble));
}

struct fact look_header_bad(const struct look *look) {
    if (look == NULL || !look->checks_header)
        return (struct fact){ .state = FACT_OFF };
    return fact_bool(look->header_fault.len > 0);
}

struct fact look_attachment_banned(const struct look *look) {
    if (look == NULL || look->walker == NULL)
        return (struct fact){ .state = FACT_OFF };
    return fact_bool(look->banned[0] != '\0');
}

struct str look_header_fault(const struct look *look) {
    return look == NULL || !look->checks_header ? (struct str){ 0 } : look->header_fault;
}

struct str look_banned_name(const struct look *look) {
    return look == NULL ? (struct str){ 0 } : str_of(look->banned);
}
