/*
 * banned: see the header.
 *
 * The last extension counts, and the one before it where nobody has a reason for it: "invoice.exe.txt" is text for
 * Windows, and waits for somebody to rename it. (Not of .com: "www.example.com.html" is a page that somebody saved.)
 *
 * Kinds are known by their first bytes: a program is one under any name. Scripts are not, since they are text, and
 * documents with macros are the virus scanner's to judge.
 */
#include "mime/banned.h"

#include <stdarg.h>
#include <stdio.h>

enum { EXTENSION_MAX = 16 };

static const struct known {
    const char *extension, *reason;
} known[] = {
    { "ace", "an archive whose unpackers have been attacked" },
    { "ade", "Access project" },
    { "adp", "Access project" },
    { "apk", "Android program" },
    { "app", "macOS program" },
    { "appx", "Windows program" },
    { "appxbundle", "Windows program" },
    { "bat", "Windows commands" },
    { "cab", "archive that Windows installs from" },
    { "chm", "compiled help, runs scripts" },
    { "cmd", "Windows commands" },
    { "com", "DOS program" },
    { "cpl", "Windows program" },
    { "dll", "Windows library" },
    { "dmg", "macOS disk image" },
    { "exe", "Windows program" },
    { "gadget", "Windows program" },
    { "hta", "HTML application, runs as a program" },
    { "img", "disk image, hides where a file is from" },
    { "inf", "Windows set-up" },
    { "ins", "Windows set-up" },
    { "iso", "disk image, hides where a file is from" },
    { "isp", "Windows set-up" },
    { "jar", "Java program" },
    { "jnlp", "starts Java programs" },
    { "js", "script" },
    { "jse", "script" },
    { "lib", "Windows library" },
    { "lnk", "Windows shortcut, runs commands" },
    { "mde", "Access program" },
    { "msc", "Windows console, runs commands" },
    { "msi", "Windows installer" },
    { "msix", "Windows installer" },
    { "msp", "Windows installer" },
    { "mst", "Windows installer" },
    { "nsh", "script" },
    { "pif", "Windows shortcut, runs programs" },
    { "pkg", "macOS installer" },
    { "ps1", "PowerShell script" },
    { "ps1xml", "PowerShell script" },
    { "psc1", "PowerShell script" },
    { "reg", "changes the Windows registry" },
    { "scf", "Windows Explorer commands" },
    { "scr", "Windows program" },
    { "sct", "script" },
    { "search-ms", "opens a folder of somebody else" },
    { "settingcontent-ms", "runs commands" },
    { "shb", "Windows shortcut" },
    { "sys", "Windows driver" },
    { "url", "Internet shortcut" },
    { "vb", "script" },
    { "vbe", "script" },
    { "vbs", "script" },
    { "vhd", "disk image, hides where a file is from" },
    { "vhdx", "disk image, hides where a file is from" },
    { "vxd", "Windows driver" },
    { "wsc", "script" },
    { "wsf", "script" },
    { "wsh", "script" },
    { "xll", "Excel add-in, runs as a program" },
};

static bool is_banned_kind(enum file_kind kind) {
    return kind == FILE_DOS_PROGRAM || kind == FILE_ELF || kind == FILE_MACH_O || kind == FILE_SHORTCUT ||
           kind == FILE_HELP || kind == FILE_ENCODED_SCRIPT || kind == FILE_HTML_APPLICATION || kind == FILE_ACE ||
           kind == FILE_DISK_IMAGE || kind == FILE_CAB;
}

const char *banned_reason(struct str extension) {
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (str_eq_nocase(extension, str_of(known[i].extension)))
            return known[i].reason;
    return NULL;
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

/* Cuts the last extension off *name; blanks and dots behind it do not count (Windows drops them). */
static struct str take_extension(struct str *name) {
    while (name->len > 0 && (name->at[name->len - 1] == '.' || name->at[name->len - 1] == ' '))
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
    if (is_banned(rules, last)) {
        *ret_extension = last;
        return "extension";
    }
    bool is_program = str_eq_nocase(before, STR("exe")) || str_eq_nocase(before, STR("scr")) ||
                      str_eq_nocase(before, STR("pif"));
    if (!is_program || !is_banned(rules, before))
        return NULL;
    *ret_extension = before;
    return "hidden extension";
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

bool banned_check(const struct banned_rules *rules, const struct mime_file *file, char why[BANNED_WHY_MAX]) {
    enum { SHOWN = 50 };
    bool is_inside = file->archive.at != NULL;
    struct str name = file->name.len > SHOWN ? str_from(file->name, file->name.len - SHOWN) : file->name;
    struct str archive = str_head(file->archive, SHOWN), extension;
    if (name.len == 0)
        name = STR("an attachment");
    if (is_inside && !rules->looks_inside)
        return false;
    const char *what = of_name(rules, file->name, &extension);
    if (what != NULL)
        return because(why, "%.*s%s%.*s: %s %.*s", STR_ARG(name), is_inside ? " in " : "", STR_ARG(archive), what,
                       STR_ARG(extension));
    if (is_inside && file->is_encrypted && rules->bans_encrypted)
        return because(why, "%.*s in %.*s: encrypted", STR_ARG(name), STR_ARG(archive));
    struct str rest = file->name;
    bool is_allowed = is_in(take_extension(&rest), rules->allow, rules->n_allow);
    if (rules->uses_defaults && is_banned_kind(file->kind) && !is_allowed)
        return because(why, "%.*s: is a %s", STR_ARG(name), file_kind_name(file->kind));
    return false;
}
