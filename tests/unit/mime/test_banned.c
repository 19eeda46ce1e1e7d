/*
 * Which files are banned, and in which words.
 */
#include "mime/banned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const more[] = { "docm", "zip" }, *const fewer[] = { "js", "exe" };
static const struct banned_rules shipped = { .uses_defaults = true, .looks_inside = true };
static const struct banned_rules nothing = { .looks_inside = true };
static const struct banned_rules own = { .uses_defaults = true, .looks_inside = true, .bans_encrypted = true,
                                         .ban = more, .n_ban = 2, .allow = fewer, .n_allow = 2 };
static const struct banned_rules outside = { .uses_defaults = true };

static const struct file {
    const struct banned_rules *rules;
    const char *name, *archive;
    enum file_kind kind;
    bool is_encrypted;
    const char *why; /* NULL: it is not banned */
} files[] = {
    { &shipped, "letter.pdf", NULL, FILE_PDF, false, NULL },
    { &shipped, "photo.jpg", NULL, FILE_JPEG, false, NULL },
    { &shipped, "archive.zip", NULL, FILE_ZIP, false, NULL },
    { &shipped, "", NULL, FILE_UNKNOWN, false, NULL },
    { &shipped, "noextension", NULL, FILE_UNKNOWN, false, NULL },
    { &shipped, "exe", NULL, FILE_UNKNOWN, false, NULL },
    { &shipped, "setup.exe", NULL, FILE_UNKNOWN, false, "setup.exe: extension exe" },
    { &shipped, "SETUP.EXE", NULL, FILE_UNKNOWN, false, "SETUP.EXE: extension EXE" },
    { &shipped, "setup.exe. ..", NULL, FILE_UNKNOWN, false, "setup.exe. ..: extension exe" },
    { &shipped, ".exe", NULL, FILE_UNKNOWN, false, ".exe: extension exe" },
    { &shipped, "invoice.pdf.exe", NULL, FILE_UNKNOWN, false, "invoice.pdf.exe: extension exe" },
    { &shipped, "invoice.exe.txt", NULL, FILE_UNKNOWN, false, "invoice.exe.txt: hidden extension exe" },
    { &shipped, "site.js.txt", NULL, FILE_UNKNOWN, false, NULL },
    { &shipped, "example.com.html", NULL, FILE_HTML, false, NULL },
    { &shipped, "letter.doc", NULL, FILE_DOS_PROGRAM, false, "letter.doc: is a Windows program" },
    { &shipped, "", NULL, FILE_SHORTCUT, false, "an attachment: is a Windows shortcut" },
    { &shipped, "a.js", "p.zip", FILE_UNKNOWN, false, "a.js in p.zip: extension js" },
    { &shipped, "a.txt", "p.zip", FILE_UNKNOWN, true, NULL },
    { &outside, "a.js", "p.zip", FILE_UNKNOWN, false, NULL },
    { &outside, "a.js", NULL, FILE_UNKNOWN, false, "a.js: extension js" },
    { &own, "a.js", NULL, FILE_UNKNOWN, false, NULL },
    { &own, "a.exe", NULL, FILE_DOS_PROGRAM, false, NULL },
    { &own, "a.txt", NULL, FILE_DOS_PROGRAM, false, "a.txt: is a Windows program" },
    { &own, "a.docm", NULL, FILE_ZIP, false, "a.docm: extension docm" },
    { &own, "a.txt", "p.rar", FILE_UNKNOWN, true, "a.txt in p.rar: encrypted" },
    { &nothing, "a.exe", NULL, FILE_DOS_PROGRAM, false, NULL },
    { &shipped, "\xc3\xa9\x01.exe", NULL, FILE_UNKNOWN, false, "???.exe: extension exe" },
    { &shipped, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.exe", NULL, FILE_UNKNOWN, false,
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.exe: extension exe" },
};

static void programs_are_banned_and_documents_are_not(void **state) {
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const struct file *f = &files[i];
        const struct mime_file file = { .name = str_of(f->name), .archive = str_of(f->archive), .kind = f->kind,
                                        .is_encrypted = f->is_encrypted };
        char why[BANNED_WHY_MAX] = "";
        bool is_banned = banned_check(f->rules, &file, why);
        if (is_banned != (f->why != NULL) || (is_banned && strcmp(why, f->why) != 0))
            fail_msg("%s: %s", f->name, is_banned ? why : "not banned");
    }
}

static void every_extension_has_a_reason(void **state) {
    assert_non_null(banned_reason(STR("exe")));
    assert_non_null(banned_reason(STR("LNK")));
    assert_null(banned_reason(STR("pdf")));
    assert_null(banned_reason(STR("")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_are_banned_and_documents_are_not),
        cmocka_unit_test(every_extension_has_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
