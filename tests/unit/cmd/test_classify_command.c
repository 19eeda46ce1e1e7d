/* postern classify: what it prints, line by line, and how it ends. */
#include "cmd/cmd.h"

#include <fcntl.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct output {
    int code;
    char out[512], err[512];
};

static void take(FILE *file, char *ret_text, size_t size) {
    rewind(file);
    ret_text[fread(ret_text, 1, size - 1, file)] = '\0';
    fclose(file);
}

/* Points descriptor `fd` at `file` and returns where it pointed before. */
static int redirect(FILE *file, int fd) {
    int before = dup(fd);
    assert_true(before >= 0);
    assert_true(dup2(fileno(file), fd) >= 0);
    return before;
}

static void restore(int fd, int before) {
    assert_true(dup2(before, fd) >= 0);
    close(before);
}

static struct output run(char *const argv[]) {
    struct output output;
    FILE *out = tmpfile(), *err = tmpfile();
    assert_non_null(out);
    assert_non_null(err);
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    fflush(stdout);
    int stdout_before = redirect(out, STDOUT_FILENO), stderr_before = redirect(err, STDERR_FILENO);
    optind = 0; /* getopt of glibc: begin anew */
    output.code = command_classify.run(argc, (char **)argv);
    fflush(stdout);
    restore(STDOUT_FILENO, stdout_before);
    restore(STDERR_FILENO, stderr_before);
    take(out, output.out, sizeof(output.out));
    take(err, output.err, sizeof(output.err));
    return output;
}

#define RUN(...) run((char *const[]){ "classify", __VA_ARGS__, NULL })

static void a_name_gives_its_class_alone(void **state) {
    struct output o = RUN("host-203-0-113-7.dsl.example.net", "203.0.113.7");
    assert_string_equal(o.out, "access\n");
    assert_string_equal(o.err, "");
    assert_int_equal(o.code, 0);
    assert_string_equal(RUN("Mail.Example.COM.").out, "mail\n");
    assert_string_equal(RUN("static.7.113.0.203.clients.example.net", "203.0.113.7").out, "static\n");
    assert_string_equal(RUN("gw.example.org", "2001:db8::1").out, "other\n");
}

static void what_is_no_name_or_address_is_an_error(void **state) {
    char *const bad[][3] = { { "", NULL, "no name" }, { ".", NULL, "no name" }, { "a.example", "1.2.3", "address" } };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct output o = RUN(bad[i][0], bad[i][1]);
        assert_int_equal(o.code, 1);
        assert_string_equal(o.out, "");
        assert_non_null(strstr(o.err, bad[i][2]));
    }
}

static void wrong_use_is_told_from_a_wrong_name(void **state) {
    assert_int_equal(run((char *const[]){ "classify", NULL }).code, EXIT_USAGE);
    assert_int_equal(RUN("a", "1.2.3.4", "b").code, EXIT_USAGE);
    assert_int_equal(RUN("--file", "x", "b").code, EXIT_USAGE);
    assert_int_equal(RUN("--nonsense").code, EXIT_USAGE);
    assert_int_equal(RUN("--file", "/nonexistent/names").code, 1);
}

static void each_line_of_a_file_gives_one_line(void **state) {
    char path[] = "classify.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fprintf(file, "mail.example.com\nhost-203-0-113-7.example.net\t203.0.113.7\taccess\r\n\nx.example\tnonsense\n");
    fprintf(file, "%0255d\n%0256d\n%0255d.\ngw.example.org\t", 1, 1, 1);
    fclose(file);
    struct output o = RUN("--file", path);
    unlink(path);
    assert_string_equal(o.out, "mail\naccess\ninvalid\ninvalid\nother\ninvalid\nother\nother\n");
    assert_int_equal(o.code, 1);
    assert_non_null(strstr(o.err, ":3: no name"));
    assert_non_null(strstr(o.err, ":4: not an IP address"));
    assert_non_null(strstr(o.err, ":6: the name is longer than 255 bytes"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_gives_its_class_alone),
        cmocka_unit_test(what_is_no_name_or_address_is_an_error),
        cmocka_unit_test(wrong_use_is_told_from_a_wrong_name),
        cmocka_unit_test(each_line_of_a_file_gives_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
