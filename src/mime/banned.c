/*
 * banned: see the header.
 *
 * The last extension counts, and the one before it where Windows runs it and nobody has a reason for it:
 * "invoice.exe.txt" is text for Windows, and waits for somebody to rename it. (Not of .com: "www.example.com.html" is
 * a page that somebody saved; not of .js: "a.js.map" is what programmers send.)
 *
 * Kinds are known by their first bytes: a program is one under any name. Scripts are not, since they are text, and
 * documents with macros are the virus scanner's to judge. A kind or type stands for an extension, so that `ban` and
 * `allow` have one language.
 *
 * The declared type counts where the name says nothing: mail clients then make the extension from it. Beside a name it
 * does not, since they go by the name, and mail programs of old declare everything as a program. A type that an
 * administrator bans counts always.
 */
#include "mime/banned.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { EXTENSION_MAX = 24, BANNED_NAME_MAX = 50 };

static const struct known {
    const char *extension, *reason;
    bool counts_hidden; /* before another extension, too */
} known[] = {
    { "ace", "an archive whose unpackers have been attacked", false },
    { "ade", "Access project", false },
    { "adp", "Access project", false },
    { "apk", "Android program", false },
    { "app", "macOS program", false },
    { "appinstaller", "Windows program", false },
    { "application", "starts Windows programs", false },
    { "appref-ms", "starts Windows programs", false },
    { "appx", "Windows program", false },
    { "appxbundle", "Windows program", false },
    { "bas", "script", false },
    { "bat", "Windows commands", true },
    { "cab", "archive that Windows installs from", false },
    { "chm", "compiled help, runs scripts", false },
    { "class", "Java program", false },
    { "cmd", "Windows commands", true },
    { "com", "DOS program", false },
    { "cpl", "Windows program", true },
    { "diagcab", "Windows troubleshooter, runs scripts", false },
    { "dll", "Windows library", false },
    { "dmg", "macOS disk image", false },
    { "exe", "Windows program", true },
    { "gadget", "Windows program", false },
    { "hlp", "Windows help, runs programs", false },
    { "hta", "HTML application, runs as a program", true },
    { "img", "disk image, hides where a file is from", false },
    { "inf", "Windows set-up", false },
    { "ins", "Windows set-up", false },
    { "iqy", "Excel query, fetches what it runs", false },
    { "iso", "disk image, hides where a file is from", false },
    { "isp", "Windows set-up", false },
    { "jar", "Java program", false },
    { "jnlp", "starts Java programs", false },
    { "js", "script", false },
    { "jse", "script", true },
    { "lib", "Windows library", false },
    { "library-ms", "opens a folder of somebody else", false },
    { "lnk", "Windows shortcut, runs commands", true },
    { "mde", "Access program", false },
    { "msc", "Windows console, runs commands", false },
    { "msi", "Windows installer", true },
    { "msix", "Windows installer", false },
    { "msp", "Windows installer", false },
    { "mst", "Windows installer", false },
    { "msu", "Windows installer", false },
    { "nsh", "script", false },
    { "ocx", "Windows library", false },
    { "pif", "Windows shortcut, runs programs", true },
    { "pkg", "macOS installer", false },
    { "ps1", "PowerShell script", true },
    { "ps1xml", "PowerShell script", false },
    { "psc1", "PowerShell script", false },
    { "psd1", "PowerShell script", false },
    { "psm1", "PowerShell script", false },
    { "rdp", "opens this machine to another one", false },
    { "reg", "changes the Windows registry", false },
    { "scf", "Windows Explorer commands", false },
    { "scr", "Windows program", true },
    { "sct", "script", false },
    { "search-ms", "opens a folder of somebody else", false },
    { "searchconnector-ms", "opens a folder of somebody else", false },
    { "settingcontent-ms", "runs commands", false },
    { "shb", "Windows shortcut", false },
    { "shs", "Windows scrap, holds anything", false },
    { "sys", "Windows driver", false },
    { "theme", "Windows set-up", false },
    { "themepack", "Windows set-up", false },
    { "url", "Internet shortcut", false },
    { "vb", "script", false },
    { "vbe", "script", true },
    { "vbs", "script", true },
    { "vhd", "disk image, hides where a file is from", false },
    { "vhdx", "disk image, hides where a file is from", false },
    { "vxd", "Windows driver", false },
    { "website", "Internet shortcut", false },
    { "wim", "disk image, hides where a file is from", false },
    { "ws", "script", false },
    { "wsc", "script", false },
    { "wsf", "script", true },
    { "wsh", "script", false },
    { "xbap", "Windows program", false },
    { "xll", "Excel add-in, runs as a program", false },
    { "xnk", "Outlook shortcut", false },
};

/* Kinds that are banned with the extension, under any name. */
static const struct kind_rule {
    enum file_kind kind;
    const char *extension;
    bool is_default;
} kinds[] = {
    { FILE_DOS_PROGRAM, "exe", true },
    { FILE_ELF, "elf", true },
    { FILE_MACH_O, "app", true },
    { FILE_SHORTCUT, "lnk", true },
    { FILE_HELP, "chm", true },
    { FILE_ENCODED_SCRIPT, "jse", true },
    { FILE_HTML_APPLICATION, "hta", true },
    { FILE_ACE, "ace", true },
    { FILE_DISK_IMAGE, "iso", true },
    { FILE_CAB, "cab", true },
    { FILE_WIM, "wim", true },
    { FILE_SCRIPT, "sh", false },
    { FILE_HTML, "html", false },
    { FILE_ONENOTE, "one", false },
    { FILE_RTF, "rtf", false },
    { FILE_PDF, "pdf", false },
    { FILE_ZIP, "zip", false },
    { FILE_JAVA_ARCHIVE, "jar", false }, /* shipped: by name alone, nobody runs it under another one */
    { FILE_RAR, "rar", false },
    { FILE_7Z, "7z", false },
    { FILE_GZIP, "gz", false },
    { FILE_BZIP2, "bz2", false },
    { FILE_XZ, "xz", false },
    { FILE_ZSTD, "zst", false },
    { FILE_ARJ, "arj", false },
    { FILE_LZH, "lzh", false },
    { FILE_TNEF, "dat", false },
};

static const struct type_rule {
    const char *type, *extension;
} types[] = {
    { "application/hta", "hta" },
    { "application/internet-shortcut", "url" },
    { "application/java-archive", "jar" },
    { "application/vnd.android.package-archive", "apk" },
    { "application/vnd.microsoft.portable-executable", "exe" },
    { "application/vnd.ms-cab-compressed", "cab" },
    { "application/vnd.ms-htmlhelp", "chm" },
    { "application/x-apple-diskimage", "dmg" },
    { "application/x-bat", "bat" },
    { "application/x-dosexec", "exe" },
    { "application/x-iso9660-image", "iso" },
    { "application/x-java-archive", "jar" },
    { "application/x-java-jnlp-file", "jnlp" },
    { "application/x-ms-application", "application" },
    { "application/x-ms-shortcut", "lnk" },
    { "application/x-msdos-program", "exe" },
    { "application/x-msdownload", "exe" },
    { "application/x-msi", "msi" },
    { "application/x-vbs", "vbs" },
    { "text/scriptlet", "sct" },
    { "text/vbscript", "vbs" },
};

static const struct known *find_known(struct str extension) {
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (str_eq_nocase(extension, str_of(known[i].extension)))
            return &known[i];
    return NULL;
}

const char *banned_reason(struct str extension) {
    const struct known *found = find_known(extension);
    return found != NULL ? found->reason : NULL;
}

bool banned_is_word(struct str word) {
    size_t n_slashes = 0;
    for (size_t i = 0; i < word.len; i++) {
        char c = ascii_lower(word.at[i]);
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-_+~$!#", c) != NULL;
        n_slashes += c == '/';
        if (c == '\0' || (!is_letter && c != '/' && c != '.') || (c == '/' && (i == 0 || i + 1 == word.len)))
            return false;
    }
    bool is_type = n_slashes == 1 && word.len <= PART_TYPE_MAX;
    return is_type || (n_slashes == 0 && word.len > 0 && word.len <= EXTENSION_MAX && str_find(word, '.') == word.len);
}

static bool is_in(struct str word, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(word, str_of(list[i])))
            return true;
    return false;
}

static bool is_banned(const struct banned_rules *rules, struct str extension) {
    if (extension.len == 0 || extension.len > EXTENSION_MAX || is_in(extension, rules->allow, rules->n_allow))
        return false;
    return is_in(extension, rules->ban, rules->n_ban) || (rules->uses_defaults && banned_reason(extension) != NULL);
}

/* Cuts the last extension off *name; blanks, dots and slashes behind it do not count (Windows drops them). */
static struct str take_extension(struct str *name) {
    while (name->len > 0 && strchr(". /", name->at[name->len - 1]) != NULL)
        name->len--;
    size_t dot = str_find_last(*name, '.');
    if (dot == name->len)
        return (struct str){ 0 };
    struct str extension = str_trim(str_from(*name, dot + 1));
    *name = str_head(*name, dot);
    return extension;
}

static const char *of_name(const struct banned_rules *rules, struct str name, struct str *ret_extension) {
    struct str last = take_extension(&name), before = take_extension(&name);
    const struct known *hidden = find_known(before);
    *ret_extension = last;
    if (is_banned(rules, last))
        return "extension";
    *ret_extension = before;
    return hidden != NULL && hidden->counts_hidden && is_banned(rules, before) ? "hidden extension" : NULL;
}

/* `extension` is that of the name. */
static bool is_banned_type(const struct banned_rules *rules, struct str type, struct str extension) {
    if (type.len == 0 || is_in(type, rules->allow, rules->n_allow))
        return false;
    if (is_in(type, rules->ban, rules->n_ban))
        return true;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (extension.len == 0 && str_eq_nocase(type, str_of(types[i].type)))
            return is_banned(rules, str_of(types[i].extension));
    return false;
}

static bool is_banned_kind(const struct banned_rules *rules, enum file_kind kind, struct str extension) {
    if (is_in(extension, rules->allow, rules->n_allow)) /* who allows exe means programs that are called so */
        return false;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].kind == kind)
            return (rules->uses_defaults && kinds[i].is_default) ||
                   is_in(str_of(kinds[i].extension), rules->ban, rules->n_ban);
    return false;
}

__attribute__((format(printf, 2, 3)))
static bool because(char why[BANNED_WHY_MAX], const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(why, BANNED_WHY_MAX, format, args);
    va_end(args);
    for (char *c = why; *c != '\0'; c++)
        if (*c < ' ' || *c > 126)
            *c = '?';
    return true;
}

static bool check_inside(const struct banned_rules *rules, const struct mime_file *file, struct str name,
                         char why[BANNED_WHY_MAX]) {
    struct str archive = str_head(file->archive, BANNED_NAME_MAX), extension;
    if (!rules->looks_inside)
        return false;
    const char *what = of_name(rules, file->name, &extension);
    if (what != NULL)
        return because(why, "%.*s in %.*s: %s %.*s", STR_ARG(name), STR_ARG(archive), what, STR_ARG(extension));
    if (file->is_encrypted && rules->bans_encrypted)
        return because(why, "%.*s in %.*s: encrypted", STR_ARG(name), STR_ARG(archive));
    return false;
}

bool banned_check(const struct banned_rules *rules, const struct mime_file *file, char why[BANNED_WHY_MAX]) {
    struct str name = file->name, rest = file->name, extension;
    if (name.len > BANNED_NAME_MAX)
        name = str_from(name, name.len - BANNED_NAME_MAX);
    if (name.len == 0)
        name = STR("an attachment");
    if (file->archive.at != NULL)
        return check_inside(rules, file, name, why);
    const char *what = of_name(rules, file->name, &extension);
    if (what != NULL)
        return because(why, "%.*s: %s %.*s", STR_ARG(name), what, STR_ARG(extension));
    extension = take_extension(&rest);
    if (is_banned_kind(rules, file->kind, extension))
        return because(why, "%.*s: is %s", STR_ARG(name), file_kind_phrase(file->kind));
    if (is_banned_type(rules, file->type, extension))
        return because(why, "%.*s: type %.*s", STR_ARG(name), STR_ARG(file->type));
    return false;
}
