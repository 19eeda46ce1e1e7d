/*
 * recipients_stats: a row for each directory: how many addresses, how old, how large, and from where.
 *
 * With a configuration a row for each of its domains, those without a list of their own included; with --dir a row for
 * each file in the folder.
 */
#include "cmd/recipients.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void format_age(uint64_t ms, char out[32]) {
    unsigned long long minutes = ms / 60000;
    if (minutes < 60)
        snprintf(out, 32, "%llu min", minutes);
    else if (minutes < 48 * 60)
        snprintf(out, 32, "%llu h %llu min", minutes / 60, minutes % 60);
    else
        snprintf(out, 32, "%llu d %llu h", minutes / 1440, minutes / 60 % 24);
}

static void format_size(const char *path, char out[32]) {
    struct stat status;
    if (stat(path, &status) < 0)
        snprintf(out, 32, "-");
    else if (status.st_size < 1024 * 1024)
        snprintf(out, 32, "%.1f KiB", (double)status.st_size / 1024);
    else
        snprintf(out, 32, "%.1f MiB", (double)status.st_size / 1024 / 1024);
}

static void print_row(const char *domain, const char *count, const char *imported, const char *age, const char *size,
                      const char *source) {
    printf("%-28s %10s  %-24s  %-14s %10s  %s\n", domain, count, imported, age, size, source);
}

static void print_stats(const char *domain, const char *path, uint64_t max_age_ms) {
    struct directory *directory;
    int r = directory_open(path, &directory);
    if (r < 0) {
        print_row(domain, "-", r == -ENOENT ? "never" : recipients_why(r), "-", "-", "-");
        return;
    }
    const struct directory_meta *meta = directory_meta(directory);
    char count[32], imported[CLOCK_RFC3339_MAX], age[32], size[32], source[1024];
    uint64_t now = clock_wall_ms(), age_ms = now > meta->imported_ms ? now - meta->imported_ms : 0;
    bool is_old = max_age_ms > 0 && age_ms > max_age_ms;
    snprintf(count, sizeof(count), "%llu", (unsigned long long)meta->count);
    snprintf(source, sizeof(source), "%.*s%s", STR_ARG(str_head(meta->source, 900)),
             is_old ? " (too old: unknown recipients get 450)" : "");
    clock_format_rfc3339(meta->imported_ms, imported);
    format_age(age_ms, age);
    format_size(path, size);
    print_row(domain, count, imported, age, size, source);
    directory_free(directory);
}

static int stats_of_conf(const struct recipients_request *request) {
    for (size_t i = 0; i < request->conf->n_domains; i++) {
        const struct conf_domain *domain = &request->conf->domains[i];
        struct buf path;
        if (domain->set.directory == CONF_DIRECTORY_OF) {
            char text[300];
            snprintf(text, sizeof(text), "uses the list of %s", domain->set.directory_of);
            print_row(domain->name, "-", "-", "-", "-", text);
            continue;
        }
        if (domain->set.directory == CONF_DIRECTORY_NONE) {
            print_row(domain->name, "-", "-", "-", "-", "not checked here ('directory none')");
            continue;
        }
        int r = recipients_path(request, str_of(domain->name), &path);
        if (r == 0)
            print_stats(domain->name, path.at, request->conf->set.timeouts.directory_age);
        buf_deinit(&path);
        if (r < 0)
            return recipients_fail("%s: %s", domain->name, strerror(-r));
    }
    return EXIT_SUCCESS;
}

static int is_directory_file(const struct dirent *entry) {
    return entry->d_name[0] != '.' && str_ends_nocase(str_of(entry->d_name), STR(".cdb"));
}

static int stats_of_dir(const struct recipients_request *request) {
    struct dirent **entries;
    int n = scandir(request->dir, &entries, is_directory_file, alphasort);
    if (n < 0)
        return recipients_fail("%s: %s", request->dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        char path[RECIPIENTS_PATH_MAX + 256], domain[256];
        struct str name = str_of(entries[i]->d_name);
        snprintf(path, sizeof(path), "%s/%s", request->dir, entries[i]->d_name);
        snprintf(domain, sizeof(domain), "%.*s", STR_ARG(str_head(name, name.len - 4)));
        print_stats(domain, path, 0);
        free(entries[i]);
    }
    free(entries);
    return EXIT_SUCCESS;
}

int recipients_stats(const struct recipients_request *request) {
    print_row("domain", "addresses", "imported", "age", "size", "source");
    return request->conf != NULL ? stats_of_conf(request) : stats_of_dir(request);
}
