/*
 * helo: the grammar of RFC 5321, with underscores, since too many working hosts have one.
 *
 * The organisation comes from libpsl's built-in list: reading one from the disk would be a reason to fail.
 */
#include "facts/helo.h"

#include "smtp/address.h"

#include <libpsl.h>

struct helo_shape helo_look(struct str helo, struct ip *ret_ip) {
    struct helo_shape shape = { 0 };
    *ret_ip = (struct ip){ 0 };
    if (helo.len > 0 && helo.at[helo.len - 1] == '.')
        helo.len--;
    shape.is_address = ip_parse(helo, ret_ip) == 0 || smtp_literal_parse(helo, ret_ip) == 0;
    shape.is_invalid = !shape.is_address && smtp_domain_parse(helo, false, false) != SMTP_ADDRESS_OK;
    shape.is_unqualified = !shape.is_address && !shape.is_invalid && str_find(helo, '.') == helo.len;
    return shape;
}

struct str helo_organisation(struct str name) {
    char text[SMTP_DOMAIN_MAX + 1];
    const psl_ctx_t *list = psl_builtin();
    if (name.len > 0 && name.at[name.len - 1] == '.')
        name.len--;
    if (list == NULL || name.len == 0 || name.len > SMTP_DOMAIN_MAX)
        return (struct str){ 0 };
    for (size_t i = 0; i < name.len; i++)
        text[i] = ascii_lower(name.at[i]);
    text[name.len] = '\0';
    const char *registered = psl_registrable_domain(list, text);
    return registered != NULL ? str_from(name, (size_t)(registered - text)) : (struct str){ 0 };
}
