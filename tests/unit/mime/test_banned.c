/*
 * Which files are banned, and in which words.
 */
#include "mime/banned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const more[] = { "docm", "zip", "rar", "text/calendar" };
static const char *const fewer[] = { "js", "exe", "application/hta" };
static const struct banned_rules shipped = { .uses_defaults = true, .looks_inside = true };
static const struct banned_rules nothing = { .looks_inside = true };
static const struct banned_rules own = { .uses_defaults = true, .looks_inside = true, .bans_encrypted = true,
                                         .ban = more, .n_ban = 4, .allow = fewer, .n_allow = 3 };
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
    { &own, "a.docm", NULL, FILE_OFFICE, false, "a.docm: extension docm" },
    { &own, "a.txt", NULL, FILE_RAR, false, "a.txt: is a RAR" },
    { &own, "a.txt", NULL, FILE_ZIP, false, "a.txt: is a ZIP" },
    { &own, "a.docx", NULL, FILE_OFFICE, false, NULL },
    { &shipped, "a.txt", NULL, FILE_RAR, false, NULL },
    { &shipped, "a.txt", NULL, FILE_ENCODED_SCRIPT, false, "a.txt: is an encoded script" },
    { &shipped, "a.txt", NULL, FILE_JAVA_ARCHIVE, false, NULL },
    { &shipped, "invoice.vbs.txt", NULL, FILE_UNKNOWN, false, "invoice.vbs.txt: hidden extension vbs" },
    { &own, "invoice.exe.txt", NULL, FILE_UNKNOWN, false, NULL },
    { &shipped, "evil.app/", "p.zip", FILE_UNKNOWN, false, "evil.app/ in p.zip: extension app" },
    { &shipped, "v1.2/readme", "p.zip", FILE_UNKNOWN, false, NULL },
    { &shipped, "a.settingcontent-ms", NULL, FILE_UNKNOWN, false, "a.settingcontent-ms: extension settingcontent-ms" },
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

static void types_count_where_no_name_does(void **state) {
    static const struct {
        const struct banned_rules *rules;
        const char *name, *type, *why;
    } typed[] = {
        { &shipped, "", "application/x-msdownload", "an attachment: type application/x-msdownload" },
        { &shipped, "invoice", "application/x-msdownload", "invoice: type application/x-msdownload" },
        { &shipped, "invoice.pdf", "application/x-msdownload", NULL }, /* as mail programs of old write it */
        { &shipped, "", "application/pdf", NULL },
        { &shipped, "", "", NULL },
        { &own, "", "application/x-msdownload", NULL }, /* exe is allowed */
        { &own, "", "application/hta", NULL },
        { &shipped, "", "application/hta", "an attachment: type application/hta" },
        { &own, "x.ics", "text/calendar", "x.ics: type text/calendar" },
        { &shipped, "x.ics", "text/calendar", NULL },
        { &nothing, "", "application/x-msdownload", NULL },
    };
    for (size_t i = 0; i < sizeof(typed) / sizeof(typed[0]); i++) {
        const struct mime_file file = { .name = str_of(typed[i].name), .type = str_of(typed[i].type) };
        char why[BANNED_WHY_MAX] = "";
        bool is_banned = banned_check(typed[i].rules, &file, why);
        if (is_banned != (typed[i].why != NULL) || (is_banned && strcmp(why, typed[i].why) != 0))
            fail_msg("%s, %s: %s", typed[i].name, typed[i].type, is_banned ? why : "not banned");
    }
}

static void words_that_can_match_nothing_are_known(void **state) {
    static const char *const good[] = { "exe", "7z", "settingcontent-ms", "C++", "text/calendar",
                                        "application/x-a.b+c" };
    static const char *const bad[] = { "", ".exe", "*.exe", "a.b", "exe,js", "exe js", "/", "text/", "/x", "a/b/c",
                                       "caf\xe9", "extension-longer-than-any-is" };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!banned_is_word(str_of(good[i])))
            fail_msg("%s is taken for none", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (banned_is_word(str_of(bad[i])))
            fail_msg("%s is taken for one", bad[i]);
    assert_false(banned_is_word(STR("a\0b")));
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
        cmocka_unit_test(types_count_where_no_name_does),
        cmocka_unit_test(words_that_can_match_nothing_are_known),
        cmocka_unit_test(every_extension_has_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
