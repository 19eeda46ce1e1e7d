/*
 * mime_bench: how fast is a message looked at while it comes in?
 *
 *     mime_bench [ROUNDS]        20
 *
 * Four messages in memory, fed in pieces of 16 KiB as the intake does: 10 MB of plain text, 10 MB of a file in base64,
 * of a ZIP in base64 (which is decoded to its end), and 10 KB as people write them (text and HTML, quoted-printable),
 * over and over. Prints MB/s of header check and walker together, the best of ROUNDS; exits non-zero below the aims:
 * 300 for plain text, 150 for base64. Nothing else is done with the text, so this is what looking costs alone.
 */
#include "base/clock.h"
#include "mime/banned.h"
#include "mime/header_check.h"

#include <stdio.h>
#include <stdlib.h>

enum { BIG = 10 * 1000 * 1000, PIECE = 16384, MAIL_BYTES = 10 * 1000 };

#define HEADER \
    "Received: from mail.example.net (mail.example.net [192.0.2.1])\r\n" \
    "\tby mx.example.com with ESMTPS id 1234567890\r\n" \
    "\tfor <user@example.com>; Fri, 27 Nov 2026 10:00:00 +0000\r\n" \
    "DKIM-Signature: v=1; a=rsa-sha256; d=example.net;\r\n" \
    "\ts=key; h=from:to:subject:date:message-id; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n" \
    "\tb=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR\r\n" \
    "From: Sender <sender@example.net>\r\nTo: User <user@example.com>\r\nSubject: The report of this week\r\n" \
    "Date: Fri, 27 Nov 2026 10:00:00 +0000\r\nMessage-ID: <20261127100000.1234@example.net>\r\n" \
    "MIME-Version: 1.0\r\n"

struct text {
    char *at;
    size_t len;
};

static void put(struct text *text, const char *line) {
    size_t len = strlen(line);
    memcpy(text->at + text->len, line, len);
    text->len += len;
}

static struct text begin(const char *header) {
    struct text text = { malloc(BIG + 8192), 0 };
    if (text.at == NULL)
        exit(2);
    put(&text, HEADER);
    put(&text, header);
    return text;
}

static struct text plain(void) {
    struct text text = begin("Content-Type: text/plain\r\n\r\n");
    while (text.len < BIG)
        put(&text, "The quick brown fox jumps over the lazy dog, again and again, and again.\r\n");
    return text;
}

/* A file that begins with `head` and goes on with noise. */
static struct text attachment(const char *name, const char *head, size_t head_len) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char header[512];
    uint64_t noise = 88172645463325252U;
    size_t n = 0;
    snprintf(header, sizeof(header),
             "Content-Type: multipart/mixed; boundary=\"=_part\"\r\n\r\n--=_part\r\n\r\nHello.\r\n"
             "--=_part\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
             "Content-Disposition: attachment; filename=%s\r\n\r\n", name);
    struct text text = begin(header);
    while (text.len < BIG) {
        uint32_t group = 0;
        for (int i = 0; i < 3; i++, n++) {
            noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
            group = group << 8 | (n < head_len ? (unsigned char)head[n] : noise >> 56);
        }
        for (int shift = 18; shift >= 0; shift -= 6)
            text.at[text.len++] = digits[group >> shift & 63];
        if (n % 57 == 0)
            put(&text, "\r\n");
    }
    put(&text, "\r\n--=_part--\r\n");
    return text;
}

static struct text mail(void) {
    struct text text = begin("Content-Type: multipart/alternative; boundary=\"=_part\"\r\n\r\n--=_part\r\n"
                             "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    while (text.len < MAIL_BYTES / 4)
        put(&text, "Dear all, this is what became of it, and what is still to be done, by whom and when.\r\n");
    put(&text, "--=_part\r\nContent-Type: text/html; charset=utf-8\r\n"
               "Content-Transfer-Encoding: quoted-printable\r\n\r\n<html><body>\r\n");
    while (text.len < MAIL_BYTES)
        put(&text, "<p style=3D\"margin:0\">Dear all, caf=C3=A9 is what became of it, and what is s=\r\n");
    put(&text, "\r\n--=_part--\r\n");
    return text;
}

static void on_file(void *arg, const struct mime_file *file) {
    static const struct banned_rules rules = { .uses_defaults = true, .looks_inside = true };
    char why[BANNED_WHY_MAX];
    *(unsigned *)arg += banned_check(&rules, file, why);
}

static void look(const struct text *text, unsigned *n_banned) {
    struct header_check check;
    struct walker *walker = walker_new(on_file, n_banned);
    if (walker == NULL)
        exit(2);
    header_check_init(&check, false);
    for (size_t at = 0; at < text->len; at += PIECE) {
        size_t len = text->len - at < PIECE ? text->len - at : PIECE;
        header_check_feed(&check, text->at + at, len);
        walker_feed(walker, text->at + at, len);
    }
    if (header_check_end(&check).len > 0 || walker_end(walker) != MIME_FINE)
        exit(3);
    walker_free(walker);
}

/* Whether the aim (MB/s) was met. */
static bool measure(const char *what, struct text text, double aim, unsigned rounds) {
    unsigned n_banned = 0, times = (unsigned)((BIG + text.len - 1) / text.len);
    uint64_t best = UINT64_MAX;
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t from = clock_us();
        for (unsigned i = 0; i < times; i++)
            look(&text, &n_banned);
        uint64_t took = clock_us() - from;
        best = took < best ? took : best;
    }
    double rate = (double)times * (double)text.len / (double)best;
    printf("%-32s %7.0f MB/s  >= %.0f  %6.1f us a message%s\n", what, rate, aim, (double)best / times,
           n_banned > 0 ? "  (banned?)" : "");
    free(text.at);
    return rate >= aim && n_banned == 0;
}

int main(int argc, char **argv) {
    static const char zip[] = "PK\x03\x04\x14\0\0\0\x08\0\0\0\x21\0abcd\0\0\x10\0\0\0\x10\0\x05\0\0\0a.txt";
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20;
    bool is_met = measure("10 MB plain text", plain(), 300, rounds);
    is_met &= measure("10 MB file in base64", attachment("a.bin", "", 0), 150, rounds);
    is_met &= measure("10 MB ZIP in base64", attachment("a.zip", zip, sizeof(zip) - 1), 150, rounds);
    is_met &= measure("10 KB mail, two parts", mail(), 150, rounds);
    return is_met ? 0 : 1;
}
