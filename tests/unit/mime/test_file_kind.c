/*
 * What files are by their first bytes, and that text is not taken for a program.
 */
#include "mime/file_kind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ZIP_HEAD "PK\x03\x04\x14\0\0\0\0\0\0\0\x21\0aaaabbbbcccc\x05\0\0\0"

static const struct file {
    enum file_kind kind;
    struct str head;
} files[] = {
#define FILE(kind, head) { kind, STR_INIT(head) }
    FILE(FILE_UNKNOWN, ""),
    FILE(FILE_UNKNOWN, "text"),
    FILE(FILE_DOS_PROGRAM, "MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0"
                           "\0\0@\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xf0\0\0\0"),
    FILE(FILE_UNKNOWN, "MZ is what my initials are, and so begins this letter to somebody"),
    FILE(FILE_UNKNOWN, "MZ\r\n"),
    FILE(FILE_ELF, "\x7f" "ELF\x02"),
    FILE(FILE_MACH_O, "\xcf\xfa\xed\xfe"),
    FILE(FILE_MACH_O, "\xca\xfe\xba\xbe"),
    FILE(FILE_SHORTCUT, "L\0\0\0\x01\x14\x02\0"),
    FILE(FILE_HELP, "ITSF\x03"),
    FILE(FILE_SCRIPT, "#!/bin/sh\n"),
    FILE(FILE_ENCODED_SCRIPT, "#@~^AAAA"),
    FILE(FILE_HTML, "<html>"),
    FILE(FILE_HTML, "\xef\xbb\xbf \r\n<!DOCTYPE HTML>"),
    FILE(FILE_HTML, "<SCRIPT>"),
    FILE(FILE_UNKNOWN, "<p>"),
    FILE(FILE_HTML_APPLICATION, "<HTA:APPLICATION"),
    FILE(FILE_ONENOTE, "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d"),
    FILE(FILE_OLE, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    FILE(FILE_RTF, "{\\rtf1"),
    FILE(FILE_PDF, "%PDF-1.7"),
    FILE(FILE_ZIP, "PK\x03\x04"),
    FILE(FILE_ZIP, "PK\x05\x06"),
    FILE(FILE_ZIP, ZIP_HEAD "a.txt"),
    FILE(FILE_OFFICE, ZIP_HEAD "[Content_Types].xml"),
    FILE(FILE_OFFICE, ZIP_HEAD "_rels/.rels"),
    FILE(FILE_OFFICE, ZIP_HEAD "word/document.xml"),
    FILE(FILE_OPEN_DOCUMENT, ZIP_HEAD "mimetypeapplication/"),
    FILE(FILE_JAVA_ARCHIVE, ZIP_HEAD "META-INF/MANIFEST.MF"),
    FILE(FILE_RAR, "Rar!\x1a\x07\x01"),
    FILE(FILE_7Z, "7z\xbc\xaf\x27\x1c"),
    FILE(FILE_GZIP, "\x1f\x8b\x08"),
    FILE(FILE_BZIP2, "BZh9"),
    FILE(FILE_XZ, "\xfd" "7zXZ\0"),
    FILE(FILE_ZSTD, "\x28\xb5\x2f\xfd"),
    FILE(FILE_CAB, "MSCF\0"),
    FILE(FILE_ACE, "1234567**ACE**"),
    FILE(FILE_ARJ, "\x60\xea"),
    FILE(FILE_LZH, "12-lh5-"),
    FILE(FILE_WIM, "MSWIM\0\0\0"),
    FILE(FILE_DISK_IMAGE, "conectix"),
    FILE(FILE_DISK_IMAGE, "vhdxfile"),
    FILE(FILE_DISK_IMAGE, "QFI\xfb"),
    FILE(FILE_TNEF, "\x78\x9f\x3e\x22"),
    FILE(FILE_JPEG, "\xff\xd8\xff\xe0"),
    FILE(FILE_PNG, "\x89PNG\r\n\x1a\n"),
    FILE(FILE_GIF, "GIF89a"),
};

static void files_are_known_by_their_first_bytes(void **state) {
    bool is_met[N_FILE_KINDS] = { false };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        enum file_kind kind = file_kind_of(files[i].head.at, files[i].head.len);
        if (kind != files[i].kind)
            fail_msg("file %zu: %s", i, file_kind_name(kind));
        is_met[kind] = true;
    }
    for (size_t i = 0; i < N_FILE_KINDS; i++)
        if (!is_met[i])
            fail_msg("no file is a %s", file_kind_name((enum file_kind)i));
}

static void what_is_cut_is_survived(void **state) {
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        for (size_t len = 0; len < files[i].head.len; len++) {
            char *copy = malloc(len > 0 ? len : 1); /* of exactly its size */
            memcpy(copy, files[i].head.at, len);
            assert_true(file_kind_of(copy, len) < N_FILE_KINDS);
            free(copy);
        }
    }
}

static void every_kind_has_a_name(void **state) {
    for (size_t i = 0; i < N_FILE_KINDS; i++) {
        const char *phrase = file_kind_phrase((enum file_kind)i), *name = file_kind_name((enum file_kind)i);
        assert_true(strncmp(phrase, "a ", 2) == 0 || strncmp(phrase, "an ", 3) == 0);
        assert_string_equal(strchr(phrase, ' ') + 1, name);
        assert_true(name[0] != '\0');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_known_by_their_first_bytes),
        cmocka_unit_test(what_is_cut_is_survived),
        cmocka_unit_test(every_kind_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
