/*
 * The text of a message on its way out is the same wherever the spool has it, in whatever pieces it is taken, and as
 * long as was said before.
 */
#include "session/relay_text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const struct field_edit edit = { .authserv_id = STR_INIT("mx.example.com"), .subject_tag = STR_INIT("[SPAM] "),
                                        .subject = STR_INIT("Subject: [SPAM]\r\n") };

struct text {
    char *in, *out; /* what came, and what is to leave behind the head */
};

static void put(char **at, const char *text) {
    size_t len = strlen(text);
    memcpy(*at, text, len + 1);
    *at += len;
}

/* A header of `n` fields, every third of which is ours, each folded over `lines` lines; and some text. */
static struct text make(unsigned n, unsigned lines, bool has_subject) {
    struct text text = { malloc(2000000), malloc(2000000) };
    char *in = text.in, *out = text.out;
    for (unsigned i = 0; i < n; i++) {
        bool is_ours = i % 3 == 1;
        put(&in, is_ours ? "X-Spam-Report: x" : "Comment: y");
        if (!is_ours)
            put(&out, "Comment: y");
        for (unsigned line = 0; line <= lines; line++) {
            put(&in, line < lines ? "\r\n X-Spam-Flag: NO, and more" : "\r\n");
            if (!is_ours)
                put(&out, line < lines ? "\r\n X-Spam-Flag: NO, and more" : "\r\n");
        }
    }
    if (has_subject)
        put(&in, "Subject: a\r\n");
    put(&out, has_subject ? "Subject: [SPAM] a\r\n" : "Subject: [SPAM]\r\n");
    for (unsigned i = 0; i < 50; i++) {
        put(&in, "\r\nX-Spam-Flag: NO");
        put(&out, "\r\nX-Spam-Flag: NO");
    }
    return text;
}

static char window[RELAY_TEXT_WINDOW];

/* Returns how many turns it took. */
static unsigned measure(struct relay_text *text) {
    unsigned turns = 1;
    int r;
    while ((r = relay_text_measure(text)) == 1)
        turns++;
    assert_int_equal(r, 0);
    return turns;
}

/* In as many turns as it takes. */
static long next(struct relay_text *text, char *scratch, size_t len, const char **ret_at) {
    long n = relay_text_next(text, scratch, len, ret_at);
    while (n == -EAGAIN) {
        relay_text_begin_turn(text);
        n = relay_text_next(text, scratch, len, ret_at);
    }
    return n;
}

/* memory_max: past it the spool is in a file. `piece`: how much is taken at once. */
static void check(const struct text *text, size_t memory_max, size_t piece) {
    static char scratch[65536];
    struct spool spool;
    struct relay_text out;
    const char *at;
    long n;
    spool_init(&spool, "/tmp", memory_max);
    for (size_t i = 0, len = strlen(text->in); i < len;) {
        size_t some = len - i < 777 ? len - i : 777;
        memcpy(spool_room(&spool, some), text->in + i, some);
        assert_int_equal(spool_wrote(&spool, some), 0);
        i += some;
    }
    relay_text_init(&out, STR("Received: x\r\n"), &spool, &edit, window);
    measure(&out);
    char *all = malloc(out.total + 1);
    for (unsigned round = 0; round < 2; round++) {
        uint64_t len = 0, stop = round == 0 ? out.total / 2 : out.total; /* the first connection breaks */
        while (len < stop && (n = next(&out, scratch, sizeof(scratch), &at)) > 0) {
            size_t some = piece < (size_t)n ? piece : (size_t)n;
            assert_true(len + some <= out.total);
            memcpy(all + len, at, some);
            relay_text_take(&out, some);
            len += some;
        }
        if (round == 0)
            relay_text_rewind(&out);
    }
    assert_int_equal(relay_text_next(&out, scratch, sizeof(scratch), &at), 0);
    all[out.total] = '\0';
    assert_true(strncmp(all, "Received: x\r\n", 13) == 0);
    assert_string_equal(all + 13, text->out);
    free(all);
    spool_deinit(&spool);
}

static void it_is_the_same_wherever_it_is_kept(void **state) {
    static const size_t memories[] = { 1 << 20, 100, 1000, 3333 }, pieces[] = { 1 << 20, 1, 7, 1000 };
    for (unsigned n = 0; n < 40; n += 13) {
        for (unsigned has_subject = 0; has_subject < 2; has_subject++) {
            struct text text = make(n, n % 4, has_subject);
            for (size_t m = 0; m < 4; m++)
                for (size_t p = 0; p < 4; p++)
                    check(&text, memories[m], pieces[p]);
            free(text.in);
            free(text.out);
        }
    }
}

static void a_field_without_end_takes_no_memory(void **state) {
    struct text text = make(2, 20000, true); /* 500 KB each, in a file */
    check(&text, 1000, 1 << 20);
    free(text.in);
    free(text.out);
}

static void spool_fill(struct spool *spool, size_t memory_max, const char *field, unsigned n) {
    size_t len = strlen(field);
    spool_init(spool, "/tmp", memory_max);
    for (unsigned i = 0; i < n; i++) {
        memcpy(spool_room(spool, len), field, len);
        assert_int_equal(spool_wrote(spool, len), 0);
    }
}

/* What one turn looks at, and what is read of a file, when a header is nothing but the smallest fields. */
static void assert_sliced(size_t memory_max, const char *field, unsigned n) {
    static char scratch[65536];
    struct spool spool;
    struct relay_text out;
    const char *at;
    unsigned turns = 1;
    long got;
    spool_fill(&spool, memory_max, field, n);
    relay_text_init(&out, STR(""), &spool, &edit, window);
    assert_in_range(measure(&out), n / RELAY_TEXT_STEPS, 2 * n / RELAY_TEXT_STEPS + 2);
    assert_in_range(out.reads, 0, spool.file_size / (RELAY_TEXT_WINDOW - FIELD_PEEK) + 2);
    relay_text_begin_turn(&out);
    while ((got = relay_text_next(&out, scratch, sizeof(scratch), &at)) != 0) {
        assert_true(out.steps <= RELAY_TEXT_STEPS);
        if (got > 0) {
            relay_text_take(&out, (size_t)got);
            continue;
        }
        assert_int_equal(got, -EAGAIN);
        relay_text_begin_turn(&out);
        turns++;
    }
    assert_in_range(turns, n / RELAY_TEXT_STEPS, 2 * n / RELAY_TEXT_STEPS + 2);
    assert_in_range(out.reads, 0, 2 * (spool.file_size / (RELAY_TEXT_WINDOW - FIELD_PEEK) + 2));
    spool_deinit(&spool);
}

static void many_small_fields_are_walked_in_slices_and_read_in_large_pieces(void **state) {
    assert_sliced(1 << 20, "a:\r\n", 100000);
    assert_sliced(1000, "a:\r\n", 100000);
    assert_sliced(1000, "X-Spam-A:\r\n", 50000); /* dropped: nothing is sent meanwhile */
    assert_sliced(1000, "Subject:\r\n", 50000);  /* with something to insert each */
}

static void a_field_of_many_small_lines_is_walked_in_slices(void **state) {
    struct spool spool;
    struct relay_text out;
    spool_fill(&spool, 1000, " \r\n", 1000000);
    relay_text_init(&out, STR(""), &spool, &edit, window);
    assert_true(measure(&out) >= 3000000 / 2048 / RELAY_TEXT_STEPS);
    assert_int_equal(out.total, 3000000 + edit.subject.len);
    spool_deinit(&spool);
}

static void unedited_it_goes_on_as_it_came(void **state) {
    struct spool spool;
    struct relay_text text;
    const char *at;
    spool_init(&spool, "/tmp", 1000);
    memcpy(spool_room(&spool, 18), "X-Spam-Flag: NO\r\n.", 18);
    assert_int_equal(spool_wrote(&spool, 18), 0);
    relay_text_init(&text, STR(""), &spool, NULL, NULL);
    assert_int_equal(relay_text_measure(&text), 0);
    assert_int_equal(text.total, 18);
    assert_int_equal(relay_text_next(&text, NULL, 0, &at), 18);
    assert_memory_equal(at, "X-Spam-Flag: NO\r\n.", 18);
    spool_deinit(&spool);
}

/* Somebody has cut the file. */
static void a_spool_that_cannot_be_read_is_an_error(void **state) {
    static char scratch[65536];
    struct text text = make(10, 3, true);
    struct spool spool;
    struct relay_text out;
    const char *at;
    spool_init(&spool, "/tmp", 100);
    size_t len = strlen(text.in);
    memcpy(spool_room(&spool, len), text.in, len);
    assert_int_equal(spool_wrote(&spool, len), 0);
    assert_int_equal(ftruncate(spool.fd, 50), 0);
    relay_text_init(&out, STR(""), &spool, &edit, window);
    assert_true(relay_text_measure(&out) < 0);
    relay_text_init(&out, STR(""), &spool, NULL, NULL);
    assert_int_equal(relay_text_measure(&out), 0);
    while (relay_text_next(&out, scratch, sizeof(scratch), &at) > 0)
        relay_text_take(&out, 10);
    assert_true(relay_text_next(&out, scratch, sizeof(scratch), &at) < 0);
    spool_deinit(&spool);
    free(text.in);
    free(text.out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_same_wherever_it_is_kept),
        cmocka_unit_test(a_field_without_end_takes_no_memory),
        cmocka_unit_test(many_small_fields_are_walked_in_slices_and_read_in_large_pieces),
        cmocka_unit_test(a_field_of_many_small_lines_is_walked_in_slices),
        cmocka_unit_test(unedited_it_goes_on_as_it_came),
        cmocka_unit_test(a_spool_that_cannot_be_read_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
