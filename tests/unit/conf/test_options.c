/*
 * Tests of conf/options: the table agrees with itself and with postern.conf(5).
 */
#include "base/file.h"
#include "conf/options.h"
#include "conf/values.h"

#include "loaded.h"

static void test_table(void **state) {
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        bool is_number = option->type == OPTION_NUMBER || option->type == OPTION_SIZE || option->type == OPTION_TIME;
        assert_ptr_equal(option_find(option->block, str_of(option->name)), option);
        assert_non_null(option->help);
        assert_int_equal(option->unit != NULL, option->type == OPTION_NUMBER);
        assert_int_equal(option->words != NULL, option->type == OPTION_CHOICE);
        if (is_number && (option->number < option->min || option->number > option->max))
            fail_msg("the default of %s is out of its bounds", option->name);
    }
}

static void test_unknown(void **state) {
    assert_null(option_find(OPTION_IN_MAIN, STR("message_size")));
    assert_null(option_find(OPTION_IN_LIMITS, STR("message_siz")));
    assert_null(option_find(OPTION_IN_LIMITS, STR("")));
}

/* Defaults as the manual writes them. */
static void default_text(const struct option *option, struct buf *out) {
    char text[VALUE_TEXT_MAX];
    if (option->type == OPTION_CHOICE)
        buf_puts(out, str_of(option->words[option->number]));
    else if (option->type == OPTION_FLAG)
        buf_puts(out, option->number != 0 ? STR("yes") : STR("no"));
    else
        buf_puts(out, str_of(value_format(option->type, option->number, text)));
}

/* The text of `.It Ic NAME …` up to the next item or section, in the section of the block. */
static struct str paragraph(struct str manual, const struct option *option) {
    char section[64], item[64];
    static const char *const sections[OPTION_BLOCKS] = {
        [OPTION_IN_MAIN] = "GENERAL OPTIONS", [OPTION_IN_TLS] = "THE TLS BLOCK",
        [OPTION_IN_LIMITS] = "THE LIMITS BLOCK",
        [OPTION_IN_TIMEOUTS] = "THE TIMEOUTS BLOCK", [OPTION_IN_LOG] = "THE LOG BLOCK",
        [OPTION_IN_JOURNAL] = "THE JOURNAL BLOCK", [OPTION_IN_DNS] = "THE DNS BLOCK",
        [OPTION_IN_GREYLIST] = "THE GREYLIST BLOCK", [OPTION_IN_STORE] = "THE STORE BLOCK",
        [OPTION_IN_CLAMAV] = "THE CLAMAV BLOCK", [OPTION_IN_SPAMASSASSIN] = "THE SPAMASSASSIN BLOCK",
        [OPTION_IN_ATTACHMENTS] = "THE ATTACHMENTS BLOCK",
        [OPTION_IN_QUARANTINE] = "THE QUARANTINE BLOCK",
        [OPTION_IN_ON_FAILURE] = "THE ON_FAILURE BLOCK", [OPTION_IN_TABLE] = "TABLE BLOCKS",
        [OPTION_IN_BLOCK_LIST] = "BLOCK LISTS",
        [OPTION_IN_LISTEN] = "LISTEN BLOCKS", [OPTION_IN_POLICY_LISTEN] = "POLICY_LISTEN BLOCKS",
        [OPTION_IN_SERVERS] = "SERVERS BLOCKS", [OPTION_IN_DOMAIN] = "DOMAIN BLOCKS",
    };
    snprintf(section, sizeof(section), "\n.Sh %s\n", sections[option->block]);
    snprintf(item, sizeof(item), "\n.It Ic %s", option->name);
    const char *from = memmem(manual.at, manual.len, section, strlen(section));
    assert_non_null(from);
    size_t left = manual.len - (size_t)(from - manual.at);
    const char *end = memmem(from + 4, left - 4, "\n.Sh ", 5);
    assert_non_null(end);
    for (const char *at = from; (at = memmem(at, (size_t)(end - at), item, strlen(item))) != NULL; at++) {
        char behind = at[strlen(item)];
        if (behind != ' ' && behind != '\n')
            continue;
        const char *next = strstr(at + 1, "\n.It Ic ");
        return (struct str){ at, (size_t)((next != NULL && next < end ? next : end) - at) };
    }
    fail_msg("the manual does not explain '%s' %s", option->name, option_block_title(option->block));
    return STR("");
}

static void test_manual(void **state) {
    struct arena arena = { 0 };
    struct str manual;
    assert_int_equal(file_read(MAN_PATH "/postern.conf.5", CONF_FILE_MAX, &arena, &manual), 0);
    char *one_line = arena_strdup(&arena, manual); /* a sentence may be broken anywhere */
    assert_non_null(one_line);
    for (char *c = one_line; (c = strchr(c, '\n')) != NULL;)
        *c = ' ';
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        struct str text = paragraph(manual, option);
        bool is_number = option->type == OPTION_NUMBER || option->type == OPTION_SIZE || option->type == OPTION_TIME;
        if (!is_number && option->type != OPTION_CHOICE && option->type != OPTION_FLAG)
            continue;
        struct buf expected;
        char low[VALUE_TEXT_MAX], high[VALUE_TEXT_MAX];
        buf_init(&expected, 256);
        buf_puts(&expected, STR("default "));
        default_text(option, &expected);
        if (is_number)
            buf_putf(&expected, ", from %s to %s.", value_format(option->type, option->min, low),
                     value_format(option->type, option->max, high));
        else
            buf_putc(&expected, '.');
        if (memmem(one_line + (text.at - manual.at), text.len, expected.at, expected.len) == NULL)
            fail_msg("the manual should say '%.*s' of '%s'", STR_ARG(buf_str(&expected)), option->name);
        buf_deinit(&expected);
    }
    arena_reset(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        { "every row has a help, a unit or words, and a default within its bounds", test_table, NULL, NULL, NULL },
        { "an option is found in its own block only", test_unknown, NULL, NULL, NULL },
        { "the manual explains every option, with its default and bounds", test_manual, NULL, NULL, NULL },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
