/*
 * policy_request: what does Postfix ask?
 *
 * The sender of these bytes is a Postfix of ours, so what does not fit the protocol is not repaired: whoever speaks
 * something else is closed, and Postfix then does what its smtpd_policy_service_default_action says. Values, however,
 * are what an SMTP client said. They may hold any byte that Postfix lets through (8-bit ones included), but no control
 * byte, which Postfix has replaced: one that comes anyway is a sign that the lines are not where we think.
 *
 * Later versions of Postfix add attributes, so unknown ones are no error. A known one that comes twice is: two readers
 * might take different ones. Lines are parsed as they become complete, so a wrong one is refused without waiting for
 * the request's end, and once BAD, more bytes make nothing good.
 *
 * Rejected: taking CRLF for a line end (nobody writes it), and a value that overrides an earlier one.
 */
#include "smtp/policy_request.h"

#include <stdint.h>

static const struct str names[N_POLICY_ATTRIBUTES] = {
    [POLICY_REQUEST] = STR_INIT("request"),
    [POLICY_PROTOCOL_STATE] = STR_INIT("protocol_state"),
    [POLICY_PROTOCOL_NAME] = STR_INIT("protocol_name"),
    [POLICY_CLIENT_ADDRESS] = STR_INIT("client_address"),
    [POLICY_CLIENT_NAME] = STR_INIT("client_name"),
    [POLICY_CLIENT_PORT] = STR_INIT("client_port"),
    [POLICY_REVERSE_CLIENT_NAME] = STR_INIT("reverse_client_name"),
    [POLICY_SERVER_ADDRESS] = STR_INIT("server_address"),
    [POLICY_SERVER_PORT] = STR_INIT("server_port"),
    [POLICY_HELO_NAME] = STR_INIT("helo_name"),
    [POLICY_SENDER] = STR_INIT("sender"),
    [POLICY_RECIPIENT] = STR_INIT("recipient"),
    [POLICY_RECIPIENT_COUNT] = STR_INIT("recipient_count"),
    [POLICY_QUEUE_ID] = STR_INIT("queue_id"),
    [POLICY_INSTANCE] = STR_INIT("instance"),
    [POLICY_SIZE] = STR_INIT("size"),
    [POLICY_ETRN_DOMAIN] = STR_INIT("etrn_domain"),
    [POLICY_STRESS] = STR_INIT("stress"),
    [POLICY_SASL_METHOD] = STR_INIT("sasl_method"),
    [POLICY_SASL_USERNAME] = STR_INIT("sasl_username"),
    [POLICY_SASL_SENDER] = STR_INIT("sasl_sender"),
    [POLICY_CCERT_SUBJECT] = STR_INIT("ccert_subject"),
    [POLICY_CCERT_ISSUER] = STR_INIT("ccert_issuer"),
    [POLICY_CCERT_FINGERPRINT] = STR_INIT("ccert_fingerprint"),
    [POLICY_CCERT_PUBKEY_FINGERPRINT] = STR_INIT("ccert_pubkey_fingerprint"),
    [POLICY_ENCRYPTION_PROTOCOL] = STR_INIT("encryption_protocol"),
    [POLICY_ENCRYPTION_CIPHER] = STR_INIT("encryption_cipher"),
    [POLICY_ENCRYPTION_KEYSIZE] = STR_INIT("encryption_keysize"),
    [POLICY_POLICY_CONTEXT] = STR_INIT("policy_context"),
    [POLICY_COMPATIBILITY_LEVEL] = STR_INIT("compatibility_level"),
    [POLICY_MAIL_VERSION] = STR_INIT("mail_version"),
};
_Static_assert(N_POLICY_ATTRIBUTES <= 32, "`seen` has a bit each");

/* Looks behind the one that was found last first, since that is what comes next. */
static enum policy_attribute attribute_find(struct str name, unsigned last) {
    for (unsigned i = 1; i <= N_POLICY_ATTRIBUTES; i++) {
        unsigned at = (last + i) % N_POLICY_ATTRIBUTES;
        if (str_eq(names[at], name))
            return (enum policy_attribute)at;
    }
    return N_POLICY_ATTRIBUTES;
}

static bool is_clean(struct str line) {
    for (size_t i = str_plain_len(line); i < line.len; i += 1 + str_plain_len(str_from(line, i + 1)))
        if ((unsigned char)line.at[i] < 0x20 || line.at[i] == 0x7f)
            return false;
    return true;
}

/* One line without its LF. False: it is wrong. */
static bool line_parse(struct str line, struct policy_request *request, uint32_t *seen, unsigned *last) {
    size_t name_len = str_find(line, '=');
    if (name_len == 0 || name_len == line.len || !is_clean(line))
        return false;
    enum policy_attribute attribute = attribute_find(str_head(line, name_len), *last);
    if (attribute == N_POLICY_ATTRIBUTES)
        return true;
    uint32_t bit = UINT32_C(1) << attribute;
    if (*seen & bit)
        return false;
    *seen |= bit;
    *last = attribute;
    request->value[attribute] = str_from(line, name_len + 1);
    return attribute != POLICY_REQUEST || str_eq(request->value[attribute], STR("smtpd_access_policy"));
}

enum policy_request_result policy_request_parse(const char *at, size_t len, size_t *ret_consumed,
                                                struct policy_request *ret_request) {
    struct policy_request request = { 0 };
    uint32_t seen = 0;
    unsigned last = N_POLICY_ATTRIBUTES - 1;
    size_t from = 0;
    *ret_consumed = 0;
    for (unsigned n = 0; n <= POLICY_LINES_MAX; n++) {
        struct str rest = { at + from, len - from };
        size_t line_len = str_find(rest, '\n');
        bool is_whole = line_len < rest.len;
        if (line_len >= POLICY_LINE_MAX || from + line_len >= POLICY_REQUEST_MAX)
            return POLICY_REQUEST_BAD;
        if (!is_whole)
            return n < POLICY_LINES_MAX || line_len == 0 ? POLICY_REQUEST_MORE : POLICY_REQUEST_BAD;
        from += line_len + 1;
        if (line_len == 0) {
            if ((seen & UINT32_C(1) << POLICY_REQUEST) == 0)
                return POLICY_REQUEST_BAD;
            *ret_consumed = from;
            *ret_request = request;
            return POLICY_REQUEST_READY;
        }
        if (n == POLICY_LINES_MAX || !line_parse(str_head(rest, line_len), &request, &seen, &last))
            return POLICY_REQUEST_BAD;
    }
    return POLICY_REQUEST_BAD;
}
