/*
 * file_kind: see the header. The signatures are public facts, one row each; the first that fits counts.
 *
 * "MZ" alone is also how a text may begin. Windows reads at byte 60 where its own head stands, four bytes, and of a
 * program that fits into a mail the last of them is 0, which no text has there.
 */
#include "mime/file_kind.h"

static const struct signature {
    enum file_kind kind;
    size_t at;
    struct str bytes;
} signatures[] = {
    { FILE_ELF, 0, STR_INIT("\x7f" "ELF") },
    { FILE_MACH_O, 0, STR_INIT("\xfe\xed\xfa\xce") },
    { FILE_MACH_O, 0, STR_INIT("\xfe\xed\xfa\xcf") },
    { FILE_MACH_O, 0, STR_INIT("\xce\xfa\xed\xfe") },
    { FILE_MACH_O, 0, STR_INIT("\xcf\xfa\xed\xfe") },
    { FILE_MACH_O, 0, STR_INIT("\xca\xfe\xba\xbe") },
    { FILE_SHORTCUT, 0, STR_INIT("L\0\0\0\x01\x14\x02\0") },
    { FILE_HELP, 0, STR_INIT("ITSF") },
    { FILE_SCRIPT, 0, STR_INIT("#!") },
    { FILE_ENCODED_SCRIPT, 0, STR_INIT("#@~^") },
    { FILE_ONENOTE, 0, STR_INIT("\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d") },
    { FILE_OLE, 0, STR_INIT("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") },
    { FILE_RTF, 0, STR_INIT("{\\rt") },
    { FILE_PDF, 0, STR_INIT("%PDF-") },
    { FILE_ZIP, 0, STR_INIT("PK\x03\x04") },
    { FILE_ZIP, 0, STR_INIT("PK\x05\x06") },
    { FILE_ZIP, 0, STR_INIT("PK\x07\x08") },
    { FILE_RAR, 0, STR_INIT("Rar!\x1a\x07") },
    { FILE_7Z, 0, STR_INIT("7z\xbc\xaf\x27\x1c") },
    { FILE_GZIP, 0, STR_INIT("\x1f\x8b") },
    { FILE_BZIP2, 0, STR_INIT("BZh") },
    { FILE_XZ, 0, STR_INIT("\xfd" "7zXZ\0") },
    { FILE_ZSTD, 0, STR_INIT("\x28\xb5\x2f\xfd") },
    { FILE_CAB, 0, STR_INIT("MSCF") },
    { FILE_ACE, 7, STR_INIT("**ACE**") },
    { FILE_ARJ, 0, STR_INIT("\x60\xea") },
    { FILE_LZH, 2, STR_INIT("-lh") },
    { FILE_WIM, 0, STR_INIT("MSWIM\0\0\0") },
    { FILE_DISK_IMAGE, 0, STR_INIT("conectix") },
    { FILE_DISK_IMAGE, 0, STR_INIT("vhdxfile") },
    { FILE_DISK_IMAGE, 0, STR_INIT("QFI\xfb") },
    { FILE_TNEF, 0, STR_INIT("\x78\x9f\x3e\x22") },
    { FILE_JPEG, 0, STR_INIT("\xff\xd8\xff") },
    { FILE_PNG, 0, STR_INIT("\x89PNG\r\n\x1a\n") },
    { FILE_GIF, 0, STR_INIT("GIF8") },
};

static const char *const phrases[N_FILE_KINDS] = {
    [FILE_UNKNOWN] = "an unknown",
    [FILE_DOS_PROGRAM] = "a Windows program",
    [FILE_ELF] = "a Linux program",
    [FILE_MACH_O] = "a macOS program or Java class",
    [FILE_SHORTCUT] = "a Windows shortcut",
    [FILE_HELP] = "a compiled help",
    [FILE_SCRIPT] = "a script",
    [FILE_ENCODED_SCRIPT] = "an encoded script",
    [FILE_HTML] = "an HTML",
    [FILE_HTML_APPLICATION] = "an HTML application",
    [FILE_ONENOTE] = "a OneNote section",
    [FILE_OLE] = "an OLE document",
    [FILE_RTF] = "an RTF",
    [FILE_PDF] = "a PDF",
    [FILE_ZIP] = "a ZIP",
    [FILE_OFFICE] = "an Office document",
    [FILE_OPEN_DOCUMENT] = "an OpenDocument",
    [FILE_JAVA_ARCHIVE] = "a Java archive",
    [FILE_RAR] = "a RAR",
    [FILE_7Z] = "a 7z",
    [FILE_GZIP] = "a gzip",
    [FILE_BZIP2] = "a bzip2",
    [FILE_XZ] = "an xz",
    [FILE_ZSTD] = "a zstd",
    [FILE_CAB] = "a CAB",
    [FILE_ACE] = "an ACE",
    [FILE_ARJ] = "an ARJ",
    [FILE_LZH] = "an LZH",
    [FILE_WIM] = "a WIM",
    [FILE_DISK_IMAGE] = "a disk image",
    [FILE_TNEF] = "a TNEF",
    [FILE_JPEG] = "a JPEG",
    [FILE_PNG] = "a PNG",
    [FILE_GIF] = "a GIF",
};

/* Text may have a byte order mark and blanks in front. */
static enum file_kind text_kind(struct str head) {
    if (str_starts_nocase(head, STR("\xef\xbb\xbf")))
        head = str_from(head, 3);
    head = str_trim(head);
    if (str_starts_nocase(head, STR("<hta:")))
        return FILE_HTML_APPLICATION;
    if (str_starts_nocase(head, STR("<!doctype html")) || str_starts_nocase(head, STR("<html")) ||
        str_starts_nocase(head, STR("<script")))
        return FILE_HTML;
    return FILE_UNKNOWN;
}

/* By the name of the first file in it, which those who write such documents keep to. */
static enum file_kind zip_kind(struct str head) {
    static const struct {
        enum file_kind kind;
        struct str name;
    } firsts[] = {
        { FILE_OFFICE, STR_INIT("[Content_Types].xml") }, { FILE_OFFICE, STR_INIT("_rels/") },
        { FILE_OFFICE, STR_INIT("docProps/") }, { FILE_OFFICE, STR_INIT("word/") }, { FILE_OFFICE, STR_INIT("xl/") },
        { FILE_OFFICE, STR_INIT("ppt/") }, { FILE_OPEN_DOCUMENT, STR_INIT("mimetype") },
        { FILE_JAVA_ARCHIVE, STR_INIT("META-INF/") },
    };
    struct str name = str_from(head, 30);
    for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++)
        if (str_starts_nocase(name, firsts[i].name))
            return firsts[i].kind;
    return FILE_ZIP;
}

enum file_kind file_kind_of(const char *at, size_t len) {
    const struct str head = { at, len < FILE_HEAD ? len : FILE_HEAD };
    if (head.len == FILE_HEAD && at[0] == 'M' && at[1] == 'Z' && at[63] == 0)
        return FILE_DOS_PROGRAM;
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        const struct signature *s = &signatures[i];
        if (head.len >= s->at + s->bytes.len && memcmp(head.at + s->at, s->bytes.at, s->bytes.len) == 0)
            return s->kind == FILE_ZIP ? zip_kind(head) : s->kind;
    }
    return text_kind(head);
}

const char *file_kind_phrase(enum file_kind kind) {
    return phrases[kind];
}

const char *file_kind_name(enum file_kind kind) {
    return strchr(phrases[kind], ' ') + 1;
}
