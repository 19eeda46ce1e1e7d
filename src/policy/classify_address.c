/*
 * Is there an address in this name? Providers write the four octets with any separator or none, in order, reversed or
 * rotated (`7.red-203-0-113`), padded to three digits or not, in decimal or hexadecimal, as one number, or only the
 * last two or three of them; IPv6 by nibbles or groups.
 *
 * With the client's address at hand the question is whether the name holds *it*, which chance hardly ever imitates.
 * So the name is taken apart once, into its numbers and its hexadecimal pieces, and compared in each of these forms.
 * Without it, or when another address is written there (a HELO name behind NAT), the shape must do: four numbers up
 * to 255 in a row.
 *
 * Regular expressions were rejected: one for each form costs more than all of this together, and none can compare
 * with the address.
 */
#include "policy/classify_address.h"

enum { HOST_MAX = 256, NUMBERS_MAX = 64, PIECES_MAX = 72 };

/* A run of decimal digits. */
struct number {
    const char *at;
    uint32_t value; /* UINT32_MAX: more than 32 bits */
    uint8_t len;
    bool is_joined; /* one separator, or an `x`, away from the number before it */
};

/* A run of letters and digits between separators that is a hexadecimal number. */
struct piece {
    uint32_t value; /* of the last 8 digits */
    uint8_t len;
    bool is_joined; /* the piece before it is hexadecimal too, and at most two separators away */
};

struct parts {
    struct number numbers[NUMBERS_MAX];
    struct piece pieces[PIECES_MAX];
    size_t n_numbers, n_pieces;
    char plain[HOST_MAX]; /* the host without its separators */
    size_t n_plain;
    size_t longest_hex; /* run of hexadecimal digits of both kinds, decimal and letters, with nothing between */
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool is_alnum(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

static uint32_t hex_value(char c) {
    return (uint32_t)(is_digit(c) ? c - '0' : c - 'a' + 10);
}

static void add_number(struct parts *parts, struct str host, size_t from, size_t to) {
    if (parts->n_numbers == NUMBERS_MAX)
        return;
    uint64_t value = 0;
    for (size_t i = from; i < to && value <= UINT32_MAX; i++)
        value = value * 10 + (uint64_t)(host.at[i] - '0');
    struct number *number = &parts->numbers[parts->n_numbers];
    *number = (struct number){ .at = host.at + from, .len = (uint8_t)(to - from),
        .value = value < UINT32_MAX ? (uint32_t)value : UINT32_MAX };
    if (parts->n_numbers > 0 && from >= 2) {
        const struct number *before = number - 1;
        char between = host.at[from - 1];
        number->is_joined = before->at + before->len == host.at + from - 1 && (!is_alnum(between) || between == 'x');
    }
    parts->n_numbers++;
}

static void find_numbers(struct parts *parts, struct str host) {
    for (size_t i = 0; i < host.len; i++) {
        size_t from = i;
        while (i < host.len && is_digit(host.at[i]))
            i++;
        if (i > from)
            add_number(parts, host, from, i);
    }
}

/* A hexadecimal piece may stand behind `0x`. */
static void add_piece(struct parts *parts, struct str text, bool is_joined) {
    if (text.len > 2 && text.at[0] == '0' && text.at[1] == 'x')
        text = str_from(text, 2);
    if (parts->n_pieces == PIECES_MAX)
        return;
    struct piece piece = { .len = (uint8_t)text.len, .is_joined = is_joined };
    for (size_t i = 0; i < text.len; i++) {
        if (!is_hex(text.at[i]))
            return;
        piece.value = piece.value << 4 | hex_value(text.at[i]);
    }
    parts->pieces[parts->n_pieces++] = piece;
}

static void find_pieces(struct parts *parts, struct str host) {
    size_t last_end = SIZE_MAX; /* where the last hexadecimal piece ended */
    for (size_t i = 0; i < host.len;) {
        size_t from = i;
        while (i < host.len && is_alnum(host.at[i]))
            parts->plain[parts->n_plain++] = host.at[i++];
        if (i > from) {
            size_t before = parts->n_pieces;
            bool is_joined = last_end != SIZE_MAX && from - last_end <= 2; /* two: the `--` of left out zeros */
            add_piece(parts, (struct str){ host.at + from, i - from }, is_joined);
            last_end = parts->n_pieces > before ? i : SIZE_MAX;
        } else {
            i++;
        }
    }
}

static void find_longest_hex(struct parts *parts, struct str host) {
    for (size_t i = 0; i < host.len; i++) {
        size_t from = i;
        bool has_digit = false, has_letter = false;
        for (; i < host.len && is_hex(host.at[i]); i++) {
            has_digit |= is_digit(host.at[i]);
            has_letter |= !is_digit(host.at[i]);
        }
        if (has_digit && has_letter && i - from > parts->longest_hex)
            parts->longest_hex = i - from;
    }
}

static bool has_text(const struct parts *parts, const char *text, size_t len) {
    return memmem(parts->plain, parts->n_plain, text, len) != NULL;
}

/* --- IPv4, compared with the client's */

static void count_octet(uint8_t counts[4], const uint8_t octets[4], uint32_t value) {
    for (int k = 0; k < 4; k++)
        if (octets[k] == value && counts[k] == 0) {
            counts[k] = 1;
            return;
        }
}

/* Four numbers in a row that are the octets in any order; words may stand between them. */
static bool has_octets(const struct parts *parts, const uint8_t octets[4]) {
    for (size_t i = 0; i + 4 <= parts->n_numbers; i++) {
        uint8_t counts[4] = { 0 };
        for (size_t k = 0; k < 4; k++)
            count_octet(counts, octets, parts->numbers[i + k].value);
        if (counts[0] + counts[1] + counts[2] + counts[3] == 4)
            return true;
    }
    return false;
}

/* The same for hexadecimal pieces, in order or reversed. */
static bool has_hex_octets(const struct parts *parts, const uint8_t octets[4]) {
    for (size_t i = 0; i + 4 <= parts->n_pieces; i++) {
        const struct piece *p = &parts->pieces[i];
        if (!p[1].is_joined || !p[2].is_joined || !p[3].is_joined)
            continue;
        bool forward = true, backward = true;
        for (size_t k = 0; k < 4; k++) {
            forward &= p[k].value == octets[k] && p[k].len <= 2;
            backward &= p[k].value == octets[3 - k] && p[k].len <= 2;
        }
        if (forward || backward)
            return true;
    }
    return false;
}

/* Do three numbers hold three neighbouring octets, in order or reversed? */
static bool are_three_of(const struct number n[3], const uint8_t octets[4]) {
    for (size_t k = 0; k < 2; k++) {
        const uint8_t *o = octets + k;
        if (n[1].value == o[1]
            && ((n[0].value == o[0] && n[2].value == o[2]) || (n[0].value == o[2] && n[2].value == o[0])))
            return true;
    }
    return false;
}

/* Three neighbouring octets, or the last two: few hosts show less than the part that tells them apart. */
static enum name_address find_some_octets(const struct parts *parts, const uint8_t octets[4]) {
    enum name_address best = NAME_ADDRESS_NONE;
    for (size_t i = 0; i + 2 <= parts->n_numbers; i++) {
        const struct number *n = &parts->numbers[i];
        if (i + 3 <= parts->n_numbers && are_three_of(n, octets))
            return NAME_ADDRESS_MOST;
        uint32_t first = n[0].value, second = n[1].value;
        if ((first == octets[2] && second == octets[3]) || (first == octets[3] && second == octets[2]))
            best = NAME_ADDRESS_PARTIAL;
    }
    return best;
}

/* Takes one octet, padded to three digits or not, off the front of `*digits`. */
static bool take_octet(struct str *digits, uint8_t octet, bool is_padded) {
    char text[3] = { (char)('0' + octet / 100), (char)('0' + octet / 10 % 10), (char)('0' + octet % 10) };
    size_t skip = is_padded || octet >= 100 ? 0 : octet >= 10 ? 1 : 2;
    if (digits->len < 3 - skip || memcmp(digits->at, text + skip, 3 - skip) != 0)
        return false;
    *digits = str_from(*digits, 3 - skip);
    return true;
}

/* Are these digits exactly the `n` octets, each padded or not? */
static bool is_run_of(struct str digits, const uint8_t *octets, size_t n) {
    for (unsigned padding = 0; padding < 1U << n; padding++) {
        struct str rest = digits;
        size_t taken = 0;
        while (taken < n && take_octet(&rest, octets[taken], (padding >> taken & 1) != 0))
            taken++;
        if (taken == n && rest.len == 0)
            return true;
    }
    return false;
}

/* Octets written together: `203000113007`, `2030113007`, or as the one number 3405803783. */
static enum name_address find_run(const struct parts *parts, const uint8_t octets[4]) {
    const uint8_t reversed[4] = { octets[3], octets[2], octets[1], octets[0] };
    uint32_t word = (uint32_t)octets[0] << 24 | (uint32_t)octets[1] << 16 | (uint32_t)octets[2] << 8 | octets[3];
    enum name_address best = NAME_ADDRESS_NONE;
    for (size_t i = 0; i < parts->n_numbers; i++) {
        struct str digits = { parts->numbers[i].at, parts->numbers[i].len };
        if (digits.len < 5 || digits.len > 12)
            continue;
        if (parts->numbers[i].value == word || is_run_of(digits, octets, 4) || is_run_of(digits, reversed, 4))
            return NAME_ADDRESS_FULL;
        if (is_run_of(digits, octets + 1, 3) || is_run_of(digits, octets, 3))
            return NAME_ADDRESS_MOST;
        if (is_run_of(digits, octets + 2, 2))
            best = NAME_ADDRESS_PARTIAL;
    }
    return best;
}

static void put_hex(char *out, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
}

static void put_padded(char out[12], const uint8_t octets[4]) {
    for (size_t i = 0; i < 4; i++) {
        out[3 * i] = (char)('0' + octets[i] / 100);
        out[3 * i + 1] = (char)('0' + octets[i] / 10 % 10);
        out[3 * i + 2] = (char)('0' + octets[i] % 10);
    }
}

/* The octets as text of one width each, whatever separators stand in it. */
static bool has_fixed_width(const struct parts *parts, const uint8_t octets[4]) {
    char hex[8], padded[12];
    put_hex(hex, octets, 4);
    put_padded(padded, octets);
    return has_text(parts, hex, 8) || has_text(parts, padded, 12);
}

static enum name_address match_v4(const struct parts *parts, const uint8_t octets[4]) {
    const uint8_t reversed[4] = { octets[3], octets[2], octets[1], octets[0] };
    if (has_octets(parts, octets) || has_hex_octets(parts, octets) || has_fixed_width(parts, octets)
        || has_fixed_width(parts, reversed))
        return NAME_ADDRESS_FULL;
    enum name_address run = find_run(parts, octets), some = find_some_octets(parts, octets);
    return run > some ? run : some;
}

/* --- IPv6, compared with the client's */

/* How many groups of the address stand side by side; zeros that `--` leaves out are passed over. */
static size_t common_groups(const struct parts *parts, const uint8_t bytes[16]) {
    size_t longest = 0;
    for (size_t i = 0; i < parts->n_pieces; i++)
        for (size_t from = 0; from < 8; from++) {
            size_t group = from, common = 0;
            for (size_t k = i; k < parts->n_pieces && group < 8; group++) {
                uint32_t value = (uint32_t)bytes[2 * group] << 8 | bytes[2 * group + 1];
                if (parts->pieces[k].value == value && (k == i || parts->pieces[k].is_joined))
                    common++, k++;
                else if (value != 0)
                    break;
            }
            longest = common > longest ? common : longest;
        }
    return longest;
}

static enum name_address match_v6(const struct parts *parts, const uint8_t bytes[16]) {
    char forward[32], backward[32];
    put_hex(forward, bytes, 16);
    for (size_t i = 0; i < 32; i++)
        backward[i] = forward[31 - i];
    /* Half of the address is enough: the network and the interface are each 64 bits. */
    if (parts->n_plain >= 16 && (has_text(parts, forward, 16) || has_text(parts, forward + 16, 16)
                                    || has_text(parts, backward, 16) || has_text(parts, backward + 16, 16)))
        return NAME_ADDRESS_FULL;
    size_t groups = common_groups(parts, bytes);
    return groups >= 4 ? NAME_ADDRESS_FULL : groups == 3 ? NAME_ADDRESS_PARTIAL : NAME_ADDRESS_NONE;
}

/* --- what looks like an address */

/*
 * Four joined numbers up to 255, or three and one more within the name (`7.red-203-0-113`). Two of them must have two
 * digits, as hardly any address has not: `xe-0-1-3.core2` is a port of a router.
 */
static bool looks_like_octets(const struct parts *parts) {
    size_t chain = 0, longest = 0, octets = 0, large = 0;
    for (size_t i = 0; i < parts->n_numbers; i++) {
        const struct number *number = &parts->numbers[i];
        bool is_octet = number->value <= 255 && number->len <= 3;
        octets += is_octet;
        large += is_octet && number->value >= 10;
        chain = !is_octet ? 0 : number->is_joined ? chain + 1 : 1;
        longest = chain > longest ? chain : longest;
    }
    return large >= 2 && (longest >= 4 || (longest == 3 && octets >= 4));
}

/* Twelve digits, each three an octet. */
static bool looks_padded(const struct parts *parts) {
    for (size_t i = 0; i < parts->n_numbers; i++) {
        const struct number *number = &parts->numbers[i];
        bool is_padded = number->len == 12;
        for (size_t k = 0; is_padded && k < 12; k += 3)
            is_padded = memcmp(number->at + k, "255", 3) <= 0;
        if (is_padded)
            return true;
    }
    return false;
}

/* Six joined groups, the first of a global address; or sixteen nibbles with points between. */
static bool looks_like_groups(const struct parts *parts) {
    size_t groups = 0, nibbles = 0;
    for (size_t i = 0; i < parts->n_pieces; i++) {
        const struct piece *piece = &parts->pieces[i];
        nibbles = piece->len != 1 ? 0 : piece->is_joined ? nibbles + 1 : 1;
        bool is_first = piece->value >= 0x2000 && piece->value < 0x4000 && piece->len == 4;
        groups = groups > 0 && piece->is_joined && piece->len <= 4 ? groups + 1 : is_first;
        if (nibbles >= 16 || groups >= 5)
            return true;
    }
    return false;
}

static enum name_address guess(const struct parts *parts) {
    if (looks_like_octets(parts) || looks_padded(parts) || looks_like_groups(parts) || parts->longest_hex == 32)
        return NAME_ADDRESS_SHAPE;
    if (parts->longest_hex >= 12)
        return NAME_ADDRESS_MAC;
    return parts->longest_hex == 8 ? NAME_ADDRESS_HEX : NAME_ADDRESS_NONE;
}

enum name_address name_address_find(struct str host, const struct ip *ip_or_null) {
    struct parts parts;
    parts.n_numbers = parts.n_pieces = parts.n_plain = parts.longest_hex = 0;
    host = str_head(host, HOST_MAX - 1);
    find_numbers(&parts, host);
    find_pieces(&parts, host);
    find_longest_hex(&parts, host);
    enum name_address match = NAME_ADDRESS_NONE;
    if (ip_or_null != NULL && ip_or_null->family == IP_V4)
        match = match_v4(&parts, ip_or_null->bytes);
    else if (ip_or_null != NULL && ip_or_null->family == IP_V6)
        match = match_v6(&parts, ip_or_null->bytes);
    if (match == NAME_ADDRESS_FULL)
        return match;
    enum name_address shape = guess(&parts);
    return shape > match ? shape : match;
}
