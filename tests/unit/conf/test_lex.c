/*
 * Tests of conf/lex and conf/parse: which words and blocks a text has, and where it is wrong.
 */
#include "conf/lex.h"
#include "conf/parse.h"

#include "loaded.h"

/* The tree as text again: words in brackets, blocks in braces. */
static void show(const struct statement *statement, struct buf *out) {
    for (; statement != NULL; statement = statement->next) {
        for (size_t i = 0; i < statement->n_words; i++)
            buf_putf(out, "[%.*s]", STR_ARG(statement->words[i].text));
        if (statement->has_block) {
            buf_putc(out, '{');
            show(statement->children, out);
            buf_putc(out, '}');
        }
        buf_putc(out, ';');
    }
}

/* Parses and compares the tree, and the first message (NULL: there must be none). */
static void assert_tree(const char *text, const char *tree, const char *message) {
    const struct diag_source source = { .path = "f", .text = str_of(text) };
    struct arena arena = { 0 };
    struct diag_list diag;
    struct statement *first = NULL;
    struct buf out;
    buf_init(&out, 4096);
    diag_init(&diag);
    assert_int_equal(parse_statements(&source, &arena, &diag, &first), 0);
    show(first, &out);
    buf_putc(&out, '\0');
    buf_putc(&diag.text, '\0');
    assert_string_equal(out.at, tree);
    if (message == NULL)
        assert_int_equal(diag.errors, 0);
    else if (strstr(diag.text.at, message) == NULL)
        fail_msg("expected '%s', got:\n%s", message, diag.text.at);
    buf_deinit(&out);
    diag_deinit(&diag);
    arena_reset(&arena);
}

static void test_words(void **state) {
    assert_tree("", "", NULL);
    assert_tree("a b\tc\n\nd", "[a][b][c];[d];", NULL);
    assert_tree("a b\r\nc\r\n", "[a][b];[c];", NULL);
    assert_tree("\xEF\xBB\xBF" "a", "[a];", NULL);
    assert_tree("a \"b c\" \"\" \"\\\"\\\\\"", "[a][b c][][\"\\];", NULL);
    assert_tree("a b#c # d \"e\n# f {\ng", "[a][b#c];[g];", NULL);
    assert_tree("d\xC3\xBC \xE2\x82\xAC \xF0\x9F\x93\xA7", "[d\xC3\xBC][\xE2\x82\xAC][\xF0\x9F\x93\xA7];", NULL);
}

static void test_blocks(void **state) {
    assert_tree("a {\n b\n c {\n }\n}\nd", "[a]{[b];[c]{};};[d];", NULL);
    assert_tree("a { b c }\nd", "[a]{[b][c];};[d];", NULL);
    assert_tree("a{b{c}}", "[a]{[b]{[c];};};", NULL);
    assert_tree("a {b} # comment\n", "[a]{[b];};", NULL);
    assert_tree("\"{\" }x", "[{];[x];", "f:1:5: error: this '}' closes no block");
}

static void test_wrong_words(void **state) {
    assert_tree("a \"b\nc", "[c];", "f:1:3: error: this quote is never closed");
    assert_tree("a \"b\\n\"\nc", "[c];", "f:1:5: error: expected \\\" or \\\\ behind the backslash");
    assert_tree("a \"b\\", "", "f:1:5: error: expected \\\" or \\\\ behind the backslash");
    assert_tree("a \"b\"c\nd", "[d];", "f:1:6: error: expected a blank behind the closing quote");
    assert_tree("a b\"c\nd", "[d];", "f:1:4: error: quote inside a word");
    assert_tree("a b;\nd", "[d];", "f:1:4: error: a statement ends with its line");
}

static void test_wrong_blocks(void **state) {
    assert_tree("a {\nb", "[a]{[b];};", "f:1:3: error: this block is never closed");
    assert_tree("a {\nb {", "[a]{[b]{};};", "f:2:3: error: this block is never closed");
    assert_tree("a\n}\nb", "[a];[b];", "f:2:1: error: this '}' closes no block");
    assert_tree("{\na\n}\nb", "[b];", "f:1:1: error: expected the name of an option");
    assert_tree("a { b } c\nd", "[a]{[b];};[d];", "f:1:9: error: expected the end of the line behind '}'");
    assert_tree("a \"x {\n b\n}\nc", "[c];", "f:1:3: error: this quote is never closed");
}

static void test_depth(void **state) {
    assert_tree("a{a{a{a{b}}}}", "[a]{[a]{[a]{[a]{[b];};};};};", NULL);
    assert_tree("a{a{a{a{a{b}}}}}", "[a]{[a]{[a]{[a]{[a]{};};};};};", "blocks stand more than 4 deep");
}

static void test_many_words(void **state) {
    struct arena arena = { 0 };
    for (size_t n = PARSE_WORDS_MAX; n <= PARSE_WORDS_MAX + 1; n++) {
        char *text = malloc(2 * n + 1);
        assert_non_null(text);
        for (size_t i = 0; i < n; i++)
            memcpy(text + 2 * i, "a ", 2);
        const struct diag_source source = { .path = "f", .text = { text, 2 * n } };
        struct diag_list diag;
        struct statement *first = NULL;
        diag_init(&diag);
        assert_int_equal(parse_statements(&source, &arena, &diag, &first), 0);
        assert_int_equal(diag.errors, n > PARSE_WORDS_MAX);
        assert_int_equal(first != NULL, n <= PARSE_WORDS_MAX);
        diag_deinit(&diag);
        free(text);
    }
    arena_reset(&arena);
}

static void assert_bad_byte(struct str text, size_t where) {
    const char *problem = NULL, *at = lex_find_bad_byte(text, &problem);
    assert_ptr_equal(at, text.at + where);
    assert_non_null(problem);
}

static void test_bytes(void **state) {
    const char *problem;
    assert_bad_byte(STR("ab\0c"), 2);
    assert_bad_byte(STR("a\x7F"), 1);
    assert_bad_byte(STR("a\x1B[2J"), 1);
    assert_bad_byte(STR("a\rb"), 1);
    assert_bad_byte(STR("a\r"), 1);
    assert_bad_byte(STR("a\xFC"), 1);             /* Latin-1 */
    assert_bad_byte(STR("\xC0\xAF"), 0);          /* overlong */
    assert_bad_byte(STR("\xED\xA0\x80"), 0);      /* a surrogate */
    assert_bad_byte(STR("\xF4\x90\x80\x80"), 0);  /* past U+10FFFF */
    assert_bad_byte(STR("\xE2\x82"), 0);          /* cut off */
    assert_bad_byte(STR("# \xE2\x28\xA1"), 2);    /* in a comment too */
    assert_null(lex_find_bad_byte(STR("a\t\xC2\x80\xED\x9F\xBF\xF4\x8F\xBF\xBF\r\n"), &problem));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        { "words stand between blanks, in quotes with two escapes, and before comments", test_words, NULL, NULL, NULL },
        { "a block may stand on one line or on many", test_blocks, NULL, NULL, NULL },
        { "a wrong word costs its statement and names its column", test_wrong_words, NULL, NULL, NULL },
        { "a wrong brace is told once and reading goes on", test_wrong_blocks, NULL, NULL, NULL },
        { "blocks stand four deep at most", test_depth, NULL, NULL, NULL },
        { "a statement has 65,536 words at most", test_many_words, NULL, NULL, NULL },
        { "control bytes and what is not UTF-8 are found wherever they stand", test_bytes, NULL, NULL, NULL },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
