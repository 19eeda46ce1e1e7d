/*
 * file_kind: what a file is by its first bytes, whatever its name says.
 */
#pragma once

#include "base/str.h"

enum file_kind {
    FILE_UNKNOWN,
    FILE_DOS_PROGRAM, /* MZ, as Windows runs it: exe, dll, scr, cpl, ... */
    FILE_ELF,
    FILE_MACH_O, /* and Java classes, which begin alike */
    FILE_SHORTCUT,
    FILE_HELP, /* chm */
    FILE_SCRIPT, /* #! */
    FILE_ENCODED_SCRIPT,
    FILE_HTML,
    FILE_HTML_APPLICATION,
    FILE_ONENOTE,
    FILE_OLE, /* Office until 2003, msi */
    FILE_RTF,
    FILE_PDF,
    FILE_ZIP,
    FILE_OFFICE,        /* a ZIP: Office since 2007 */
    FILE_OPEN_DOCUMENT, /* a ZIP: OpenDocument, EPUB */
    FILE_JAVA_ARCHIVE,  /* a ZIP: jar, and what is made like one */
    FILE_RAR,
    FILE_7Z,
    FILE_GZIP,
    FILE_BZIP2,
    FILE_XZ,
    FILE_ZSTD,
    FILE_CAB,
    FILE_ACE,
    FILE_ARJ,
    FILE_LZH,
    FILE_WIM,
    FILE_DISK_IMAGE, /* vhd, vhdx, qcow2; and ISO, which only leaf.h can see */
    FILE_TNEF,
    FILE_JPEG,
    FILE_PNG,
    FILE_GIF,
    N_FILE_KINDS,
};

enum { FILE_HEAD = 64 }; /* bytes that file_kind_of() wants to see */

enum file_kind file_kind_of(const char *head, size_t len);

static inline bool is_zip(enum file_kind kind) {
    return kind >= FILE_ZIP && kind <= FILE_JAVA_ARCHIVE;
}

/* "Windows program", "a Windows program": for people. */
const char *file_kind_name(enum file_kind kind);
const char *file_kind_phrase(enum file_kind kind);
