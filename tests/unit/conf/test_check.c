/*
 * Tests of `postern check`: what it says on which stream, and its exit codes.
 */
#include "base/file.h"
#include "cmd/cmd.h"
#include "table/directory.h"

#include "loaded.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

struct scene {
    char folder[64];
    struct arena arena;
    int code;
    const char *out, *err; /* what the last run said */
};

static const char *path_of(struct scene *scene, const char *name) {
    const char *path = arena_printf(&scene->arena, "%s/%s", scene->folder, name);
    assert_non_null(path);
    return path;
}

static void write_file(struct scene *scene, const char *name, const char *text) {
    FILE *file = fopen(path_of(scene, name), "w");
    assert_non_null(file);
    assert_int_not_equal(fputs(text, file), EOF);
    assert_int_equal(fclose(file), 0);
}

/* Sends a stream into a file; returns what it was, for put_back(). */
static int redirect(FILE *stream, const char *path) {
    fflush(stream);
    int before = dup(fileno(stream)), fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(before >= 0 && fd >= 0 && dup2(fd, fileno(stream)) >= 0);
    close(fd);
    return before;
}

static void put_back(FILE *stream, int before) {
    fflush(stream);
    assert_true(dup2(before, fileno(stream)) >= 0);
    close(before);
}

static const char *read_text(struct scene *scene, const char *name) {
    struct str text;
    assert_int_equal(file_read(path_of(scene, name), CONF_FILE_MAX, &scene->arena, &text), 0);
    return text.at;
}

static void run_check(struct scene *scene, const char *a, const char *b, const char *c) {
    char *argv[] = { "check", (char *)a, (char *)b, (char *)c, NULL };
    int argc = 1;
    while (argv[argc] != NULL)
        argc++;
    int out = redirect(stdout, path_of(scene, "out")), err = redirect(stderr, path_of(scene, "err"));
    scene->code = command_check.run(argc, argv);
    put_back(stdout, out);
    put_back(stderr, err);
    scene->out = read_text(scene, "out");
    scene->err = read_text(scene, "err");
}

static int make_scene(void **state) {
    static struct scene scene;
    scene = (struct scene){ .folder = "/tmp/postern-check-XXXXXX" };
    *state = &scene;
    return mkdtemp(scene.folder) == NULL ? -1 : 0;
}

static int remove_scene(void **state) {
    struct scene *scene = *state;
    DIR *dir = opendir(scene->folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.')
            unlink(path_of(scene, entry->d_name));
    }
    if (dir != NULL)
        closedir(dir);
    arena_reset(&scene->arena);
    return rmdir(scene->folder);
}

#define OURS MINIMAL "user root\ndirectory_path .\ndomain example.com\n"

static void assert_says(const char *text, const char *expected) {
    if (strstr(text, expected) == NULL)
        fail_msg("expected '%s', got:\n%s", expected, text);
}

static void test_good(void **state) {
    struct scene *scene = *state;
    struct directory_writer *writer;
    assert_int_equal(directory_writer_new(scene->folder, STR("example.com"), STR("test"), &writer), 0);
    assert_int_equal(directory_writer_add(writer, STR("anna"), STR("anna@example.com")), 0);
    assert_int_equal(directory_writer_commit(writer, 1), 0);
    write_file(scene, "good.conf", OURS);
    run_check(scene, "-c", path_of(scene, "good.conf"), NULL);
    assert_int_equal(scene->code, 0);
    assert_string_equal(scene->err, "");
    assert_says(scene->out, "/good.conf: ok\n");
    assert_says(scene->out, "mx.example.com: listeners 1, domains 1, directories 1 with 1 recipients, "
                "servers 1 in groups 1, certificates 0\n");
}

static void test_no_directory(void **state) {
    struct scene *scene = *state;
    write_file(scene, "new.conf", OURS "domain a.example { directory none }\n");
    run_check(scene, "-c", path_of(scene, "new.conf"), NULL);
    assert_int_equal(scene->code, 0);
    assert_says(scene->err, "warning: domain example.com has no directory yet");
    assert_says(scene->err, "postern recipients import example.com FILE");
    assert_null(strstr(scene->err, "a.example"));
}

static void test_damaged_directory(void **state) {
    struct scene *scene = *state;
    write_file(scene, "example.com.cdb", "this is no directory");
    write_file(scene, "c.conf", OURS);
    run_check(scene, "-c", path_of(scene, "c.conf"), NULL);
    assert_int_equal(scene->code, 1);
    assert_says(scene->err, "error: the directory of domain example.com cannot be used: it is damaged");
    assert_string_equal(scene->out, "");
}

static void test_wrong(void **state) {
    struct scene *scene = *state;
    write_file(scene, "wrong.conf", OURS "workers many\n");
    run_check(scene, "-c", path_of(scene, "wrong.conf"), NULL);
    assert_int_equal(scene->code, 1);
    assert_says(scene->err, "/wrong.conf:9:9: error: 'many' is not what 'workers' takes");
    assert_string_equal(scene->out, "");
    run_check(scene, "-c", path_of(scene, "missing.conf"), "--dump");
    assert_int_equal(scene->code, 1);
    assert_says(scene->err, "cannot be read: No such file");
    assert_string_equal(scene->out, "");
}

static void test_certificate(void **state) {
    struct scene *scene = *state;
    write_file(scene, "empty.pem", "");
    write_file(scene, "c.conf", OURS "tls { certificate empty.pem empty.pem }\n");
    run_check(scene, "-c", path_of(scene, "c.conf"), NULL);
    assert_int_equal(scene->code, 1);
    assert_says(scene->err, "empty.pem");
}

static void test_dump(void **state) {
    struct scene *scene = *state;
    write_file(scene, "first.conf", OURS "workers 3\n");
    run_check(scene, "--dump", "-c", path_of(scene, "first.conf"));
    assert_int_equal(scene->code, 0);
    assert_says(scene->out, "\nworkers 3\n");
    const char *first = scene->out;
    write_file(scene, "second.conf", first);
    run_check(scene, "--dump", "-c", path_of(scene, "second.conf"));
    assert_int_equal(scene->code, 0);
    assert_string_equal(scene->out, first);
}

static void test_usage(void **state) {
    struct scene *scene = *state;
    run_check(scene, "postern.conf", NULL, NULL);
    assert_int_equal(scene->code, EXIT_USAGE);
    assert_says(scene->err, "unexpected 'postern.conf'\nusage: postern check [-c FILE] [--dump | --servers]");
    run_check(scene, "--dum", "--frobnicate", NULL);
    assert_int_equal(scene->code, EXIT_USAGE);
    run_check(scene, "-c", NULL, NULL);
    assert_int_equal(scene->code, EXIT_USAGE);
    assert_string_equal(scene->out, "");
}

#define TEST(name, function) { name, function, make_scene, remove_scene, NULL }

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST("a good configuration is summed up", test_good),
        TEST("a domain without a directory is warned of, with the command that helps", test_no_directory),
        TEST("a damaged directory is an error", test_damaged_directory),
        TEST("a wrong configuration is told on standard error alone", test_wrong),
        TEST("a certificate that cannot be used is an error that names the file", test_certificate),
        TEST("the dump goes to standard output and checks to the same dump", test_dump),
        TEST("wrong use ends with the usage", test_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
