/*
 * Which of a mailbox server's answers a client reads: every row of the table in relay_replies.c, and what must not fit
 * one.
 */
#include "session/relay_replies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* A letter for each way: passed on, ours, next server, without; a column for each step, in the order of the enum. */
static const char letters[] = {
    [RELAY_REPLY_PASSED] = 'p', [RELAY_REPLY_OURS] = 'o', [RELAY_REPLY_NEXT] = 'n', [RELAY_REPLY_WITHOUT] = 'w',
};

struct row {
    const char *line;
    const char *ways; /* to XFORWARD, XCLIENT, MAIL, RCPT, DATA, BDAT, the message */
};

static const struct row rows[] = {
    /* about the dialogue */
    { "500 5.5.2 Unknown command", "nnooowo" },
    { "500 what?", "nnooowo" },
    { "501 5.5.4 Bad ADDR syntax", "wwooooo" },
    { "501 Syntax", "wwooooo" },
    { "502 5.5.1 Not implemented", "nnooowo" },
    { "503 5.5.1 Bad sequence", "nnooooo" },
    { "504 5.5.4 Parameter", "nnooooo" },
    { "555 5.5.4 Unknown parameter", "nnooooo" },
    { "554 5.5.1 No valid recipients", "nnooooo" },
    { "554 5.5.0 Something", "nnoooop" },
    /* about login and TLS */
    { "521 No mail here", "nnooooo" },
    { "523 5.7.10 Encryption needed", "nnooooo" },
    { "525 5.7.13 Account disabled", "nnooooo" },
    { "530 5.7.0 Must issue STARTTLS", "nnooooo" },
    { "530 5.7.57 Not authenticated", "nnooooo" },
    { "534 5.7.9 Mechanism", "nnooooo" },
    { "535 5.7.8 Login", "nnooooo" },
    { "538 5.7.11 Encryption", "nnooooo" },
    { "550 5.7.57 Not authenticated", "nnooooo" },
    { "550 5.7.54 Unable to relay", "nnooooo" },
    { "550 5.7.8 Login", "nnooooo" },
    { "554 5.7.9 Mechanism", "nnooooo" },
    { "554 5.7.10 Encryption", "nnooooo" },
    { "554 5.7.11 Encryption", "nnooooo" },
    { "432 4.7.12 Password", "nnooooo" },
    { "454 4.7.0 TLS not available", "nnooooo" },
    /* about the server */
    { "554 5.3.2 No mail here", "nnooooo" },
    { "550 5.3.3 Feature", "nnooooo" },
    { "553 5.3.5 Local configuration error", "nnooooo" },
    { "451 4.3.5 Configuration", "nnooooo" },
    { "550 5.4.3 Directory", "nnooooo" },
    /* about a sender, a recipient or a message */
    { "501 5.1.3 Bad recipient address syntax", "wwppooo" },
    { "501 5.1.7 Bad sender address syntax", "wwppooo" },
    { "550 5.1.1 Unknown", "nnppppp" },
    { "550 Unknown", "nnppppp" },
    { "550 5.4.1 Recipient address rejected", "nnppppp" },
    { "550 5.5.0 Mailbox unavailable", "nnppppp" },
    { "550 5.7.1 Refused", "nnppppp" },
    { "551 5.7.1 Moved", "nnppppp" },
    { "552 5.3.4 Too large", "nnppppp" },
    { "552 5.2.2 Full", "nnppppp" },
    { "553 5.1.8 Sender", "nnppppp" },
    { "554 5.7.1 Spam", "nnppppp" },
    { "554 5.3.0 Refused by a filter", "nnppppp" },
    { "554 5.6.0 Content", "nnppppp" },
    { "556 5.1.10 Takes no mail", "nnppppp" },
    { "450 4.2.1 Later", "nnppppp" },
    { "451 4.7.1 Greylisted", "nnppppp" },
    { "452 4.2.2 Full", "nnppppp" },
    { "452 4.5.3 Too many recipients", "nnppppp" },
};

static struct smtp_answer answer_of(const char *line) {
    struct smtp_answer answer = { .code = 0 };
    assert_true(smtp_answer_end(&answer, str_of(line)));
    return answer;
}

static void an_answer_is_passed_on_when_it_is_about_the_mail(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct smtp_answer answer = answer_of(rows[i].line);
        for (unsigned step = 0; step < RELAY_REPLY_STEPS; step++)
            if (letters[relay_reply_way(step, &answer)] != rows[i].ways[step])
                fail_msg("%s to %s", rows[i].line, relay_reply_step_name(step));
    }
}

/* Whatever its enhanced code says, only 550 to 559 (and 501 about an address) may be a sender's 5xx. */
static void no_other_code_becomes_a_senders_5xx(void **state) {
    (void)state;
    static const char *const enhanced[] = {
        "", "5.0.0", "5.1.1", "5.2.1", "5.3.0", "5.4.1", "5.5.1", "5.6.0", "5.7.1",
    };
    for (unsigned code = 500; code < 540; code++)
        for (size_t i = 0; i < sizeof(enhanced) / sizeof(enhanced[0]); i++)
            for (unsigned step = RELAY_REPLY_MAIL; step < RELAY_REPLY_STEPS; step++) {
                struct smtp_answer answer = { .code = code };
                strcpy(answer.enhanced, enhanced[i]);
                bool is_address = code == 501 && strcmp(enhanced[i], "5.1.1") == 0 && step <= RELAY_REPLY_RCPT;
                bool is_unassigned = (code >= 505 && code < 520);
                if (!is_address && !is_unassigned && relay_reply_way(step, &answer) == RELAY_REPLY_PASSED)
                    fail_msg("%u %s to %s", code, enhanced[i], relay_reply_step_name(step));
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_passed_on_when_it_is_about_the_mail),
        cmocka_unit_test(no_other_code_becomes_a_senders_5xx),
    };
    return cmocka_run_group_tests_name("relay_replies", tests, NULL, NULL);
}
