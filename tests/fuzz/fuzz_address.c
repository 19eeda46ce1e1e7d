/*
 * fuzz_address: whatever is taken for an address is within its bounds, is taken for the same address again, and names
 * the same mailbox however it is quoted.
 *
 * Input: a byte of flags (as in "0": none; bit 0 UTF-8, bit 1 null path, bit 2 postmaster), then the text.
 */
#include "smtp/address.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct str inner, struct str outer) {
    if (inner.len > 0)
        assert(inner.at >= outer.at && inner.at + inner.len <= outer.at + outer.len);
}

static void check_bytes(struct str text) {
    for (size_t i = 0; i < text.len; i++)
        assert((unsigned char)text.at[i] >= 32 && text.at[i] != 127);
}

/* The canonical local part in quotes is the same mailbox. */
static void check_canonical(const struct smtp_address *a) {
    char canonical[SMTP_LOCAL_MAX], again[SMTP_LOCAL_MAX];
    size_t n = smtp_local_canonical(a, canonical);
    assert(n <= a->local.len);
    char quoted[2 * SMTP_LOCAL_MAX + 2];
    size_t m = 0;
    quoted[m++] = '"';
    for (size_t i = 0; i < n; i++) {
        if (canonical[i] == '"' || canonical[i] == '\\')
            quoted[m++] = '\\';
        quoted[m++] = canonical[i];
    }
    quoted[m++] = '"';
    if (m <= SMTP_LOCAL_MAX) {
        char text[2 * SMTP_LOCAL_MAX + 4];
        memcpy(text, quoted, m);
        memcpy(text + m, "@x", 2);
        struct smtp_address b;
        assert(smtp_address_parse((struct str){ text, m + 2 }, true, &b) == SMTP_ADDRESS_OK && b.is_quoted);
        assert(smtp_local_canonical(&b, again) == n && memcmp(again, canonical, n) == 0);
    }
    struct str user = smtp_local_without_detail((struct str){ canonical, n }, "+-");
    assert(user.at == canonical && user.len <= n && (user.len > 0 || n == 0));
}

static void check_address(const struct smtp_address *a, struct str text, bool allow_utf8) {
    check_within(a->text, text);
    check_within(a->local, a->text);
    check_within(a->domain, a->text);
    check_bytes(a->text);
    assert(a->local.len <= SMTP_LOCAL_MAX && a->domain.len <= SMTP_DOMAIN_MAX && a->text.len + 2 <= SMTP_PATH_MAX);
    assert(!a->is_utf8 || (allow_utf8 && smtp_utf8_is_valid(a->text)));
    if (a->domain.len > 0) {
        struct smtp_address again;
        assert(smtp_address_parse(a->text, allow_utf8, &again) == SMTP_ADDRESS_OK);
        assert(str_eq(again.local, a->local) && str_eq(again.domain, a->domain) && again.is_quoted == a->is_quoted);
        assert(smtp_domain_parse(a->domain, true, allow_utf8) == SMTP_ADDRESS_OK);
        struct ip ip;
        assert((smtp_literal_parse(a->domain, &ip) == 0) == a->is_literal);
    }
    check_canonical(a);
}

static void check_xtext(struct str text) {
    struct buf encoded, decoded;
    buf_init(&encoded, (uint32_t)(3 * text.len));
    buf_init(&decoded, (uint32_t)text.len);
    assert(xtext_encode(text, &encoded) == 0);
    assert(xtext_is_valid(buf_str(&encoded)));
    assert(xtext_decode(buf_str(&encoded), &decoded) == 0);
    assert(str_eq(buf_str(&decoded), text));
    buf_clear(&decoded);
    assert((xtext_decode(text, &decoded) == 0) == xtext_is_valid(text));
    buf_deinit(&encoded);
    buf_deinit(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    bool allow_utf8 = data[0] & 1, allow_null = data[0] & 2, allow_postmaster = data[0] & 4;
    struct str text = { (const char *)data + 1, size - 1 };
    struct smtp_address a;
    struct str rest = text;
    if (smtp_path_parse(&rest, allow_null, allow_postmaster, allow_utf8, &a) == SMTP_ADDRESS_OK) {
        assert(text.len - rest.len <= SMTP_PATH_MAX && rest.at[-1] == '>');
        assert(allow_null || a.text.len > 0);
        assert(a.domain.len > 0 || a.text.len == 0 || allow_postmaster);
        check_address(&a, text, allow_utf8);
    } else {
        assert(rest.at == text.at && rest.len == text.len);
    }
    if (smtp_address_parse(text, allow_utf8, &a) == SMTP_ADDRESS_OK) {
        assert(str_eq(a.text, text));
        check_address(&a, text, allow_utf8);
    }
    if (smtp_domain_parse(text, true, allow_utf8) == SMTP_ADDRESS_OK)
        check_bytes(text);
    if (size < 4096)
        check_xtext(text);
    return 0;
}
