/*
 * policy_instances: see the header.
 *
 * Postfix asks once a recipient, and `instance` says which requests belong to one message. What was found for the first
 * of them is kept: a copy of that request, whose words the facts borrow, and the memory of the gathering. A later
 * request uses it only if client, names, HELO and sender are the same too: we trust `instance` to save work, not to
 * decide whose facts these are. The last few are kept: one smtpd process has one message at a time, but several may
 * share a connection by a proxy.
 */
#include "session/policy_instances.h"

#include <stdlib.h>

/* What the facts of a message depend on, its recipient apart. */
static const enum policy_attribute identity[] = {
    POLICY_INSTANCE, POLICY_CLIENT_ADDRESS, POLICY_CLIENT_NAME, POLICY_REVERSE_CLIENT_NAME, POLICY_HELO_NAME,
    POLICY_SENDER, POLICY_PROTOCOL_NAME, POLICY_ENCRYPTION_PROTOCOL, POLICY_SERVER_ADDRESS,
};

struct smtp_address policy_address_of(struct str text) {
    struct smtp_address address = { 0 };
    size_t at = str_find_last(text, '@');
    if (text.len == 0 || smtp_address_parse(text, true, &address) == SMTP_ADDRESS_OK)
        return address;
    address = (struct smtp_address){ .text = text, .local = str_head(text, at), .domain = str_from(text, at + 1),
                                     .is_utf8 = true };
    address.is_literal = address.domain.len > 0 && address.domain.at[0] == '[';
    return address;
}

static bool is_same_message(const struct policy_instance *m, const struct policy_request *request) {
    if (m->text.len == 0 || request->value[POLICY_INSTANCE].len == 0)
        return false;
    for (size_t i = 0; i < sizeof(identity) / sizeof(*identity); i++)
        if (!str_eq(m->request.value[identity[i]], request->value[identity[i]]))
            return false;
    return true;
}

bool policy_name_is_known(struct str name) {
    return name.len > 0 && !str_eq_nocase(name, STR("unknown"));
}

/* Makes views of `from` views of the same bytes at `to`. */
static void rebase(struct policy_request *request, const char *from, const char *to) {
    for (size_t i = 0; i < N_POLICY_ATTRIBUTES; i++)
        if (request->value[i].at != NULL)
            request->value[i].at = to + (request->value[i].at - from);
}

/* Begins a message in a place that another may have had, whose memory it takes over. False: no memory. */
static bool begin(struct policy_instance *m, const struct server *server, const struct policy_request *request,
                  struct str text, const struct ip *client) {
    const struct policy *policy = server->conf->policy.policy;
    m->text.max = POLICY_REQUEST_MAX;
    buf_clear(&m->text);
    if (m->memory == NULL)
        m->memory = gather_memory_new(policy);
    else
        gather_forget(m->memory, policy, SCOPE_CONNECTION);
    if (m->memory == NULL || buf_puts(&m->text, text) < 0)
        return false;
    m->request = *request;
    rebase(&m->request, text.at, m->text.at);
    m->client = *client;
    m->sender = policy_address_of(m->request.value[POLICY_SENDER]);
    if (policy_name_is_known(m->request.value[POLICY_CLIENT_NAME]))
        gather_take_name(&server->gather, &server->conf->policy, client, m->request.value[POLICY_CLIENT_NAME],
                         m->memory);
    return true;
}

struct policy_instance *policy_instance_of(struct policy_instances *instances, const struct server *server,
                                           const struct policy_request *request, struct str text,
                                           const struct ip *client) {
    struct policy_instance *oldest = &instances->at[0], *found = NULL;
    for (unsigned i = 0; i < POLICY_INSTANCES_KEPT && found == NULL; i++) {
        struct policy_instance *m = &instances->at[i];
        if (is_same_message(m, request))
            found = m;
        else if (m->used < oldest->used)
            oldest = m;
    }
    if (found != NULL)
        gather_forget(found->memory, server->conf->policy.policy, SCOPE_RECIPIENT);
    else if (begin(oldest, server, request, text, client))
        found = oldest;
    if (found != NULL)
        found->used = ++instances->n_used;
    return found;
}

void policy_instances_deinit(struct policy_instances *instances) {
    for (unsigned i = 0; i < POLICY_INSTANCES_KEPT; i++) {
        buf_deinit(&instances->at[i].text);
        free(instances->at[i].memory);
    }
}
