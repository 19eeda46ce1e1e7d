/*
 * dump: which configuration is in force, every default included?
 *
 * Walks the option table, so that no option can be missing, and writes the syntax of the file, so that the answer
 * to "what would this be without the defaults of your version" is a file that can be kept and loaded. Groups come
 * before what uses them for the reader's sake. Domains show what differs from domain_defaults only: with 100,000 of
 * them the differences are what someone looks for.
 */
#include "conf/listeners.h"
#include "conf/options.h"
#include "conf/values.h"

static int dump_block(enum option_block block, const void *base, const char *indent, struct buf *out) {
    int r = 0;
    for (size_t i = 0; i < option_count && r == 0; i++) {
        if (option_table[i].block == block && option_table[i].type != OPTION_BLOCK)
            r = value_dump(&option_table[i], base, indent, out);
    }
    return r;
}

static int dump_group(const struct conf_group *group, struct buf *out) {
    int r = buf_putf(out, "\nservers %s {\n", group->name);
    if (r == 0)
        r = dump_block(OPTION_IN_SERVERS, group, "    ", out);
    return r < 0 ? r : buf_puts(out, STR("}\n"));
}

static int dump_listener(const struct conf_listener *listener, struct buf *out) {
    char text[CONF_LISTENER_TEXT_MAX];
    enum option_block block = listener_block(listener);
    int r = buf_putf(out, "\n%s ", listener->door == CONF_DOOR_POLICY ? "policy_listen" : "listen");
    if (r == 0)
        r = value_put_word(str_of(conf_listener_format(listener, text)), out);
    if (r < 0 || block == OPTION_BLOCKS)
        return r < 0 ? r : buf_putc(out, '\n');
    r = buf_puts(out, STR(" {\n"));
    if (r == 0)
        r = dump_block(block, listener, "    ", out);
    return r < 0 ? r : buf_puts(out, STR("}\n"));
}

static int dump_table(const struct conf_table *table, struct buf *out) {
    int r = buf_putf(out, "\ntable %s %s {\n", table->name, table_type_names[table->type]);
    if (r == 0)
        r = dump_block(OPTION_IN_TABLE, table, "    ", out);
    return r < 0 ? r : buf_puts(out, STR("}\n"));
}

static int dump_block_list(const struct conf_block_list *list, struct buf *out) {
    int r = buf_putf(out, "\nblock_list %s {\n", list->zone);
    if (r == 0)
        r = dump_block(OPTION_IN_BLOCK_LIST, list, "    ", out);
    return r < 0 ? r : buf_puts(out, STR("}\n"));
}

static int dump_sections(const struct conf *conf, struct buf *out) {
    static const struct {
        const char *name;
        enum option_block block;
    } sections[] = {
        { "tls", OPTION_IN_TLS },           { "limits", OPTION_IN_LIMITS }, { "timeouts", OPTION_IN_TIMEOUTS },
        { "log", OPTION_IN_LOG },           { "journal", OPTION_IN_JOURNAL }, { "dns", OPTION_IN_DNS },
        { "greylist", OPTION_IN_GREYLIST }, { "store", OPTION_IN_STORE }, { "clamav", OPTION_IN_CLAMAV },
        { "spamassassin", OPTION_IN_SPAMASSASSIN }, { "attachments", OPTION_IN_ATTACHMENTS },
        { "quarantine", OPTION_IN_QUARANTINE }, { "on_failure", OPTION_IN_ON_FAILURE },
    };
    int r = 0;
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]) && r == 0; i++) {
        r = buf_putf(out, "\n%s {\n", sections[i].name);
        if (r == 0)
            r = dump_block(sections[i].block, &conf->set, "    ", out);
        if (r == 0)
            r = buf_puts(out, STR("}\n"));
    }
    return r;
}

static int dump_domain_defaults(const struct conf *conf, struct buf *out) {
    const struct conf_domain_settings *set = &conf->domain_defaults;
    int r = buf_puts(out, STR("\ndomain_defaults {\n"));
    for (size_t i = 0; i < option_count && r == 0; i++) {
        const struct option *option = &option_table[i];
        if (option->block != OPTION_IN_DOMAIN)
            continue;
        if (option->type == OPTION_GROUP && set->servers == NULL)
            r = buf_puts(out, STR("    # servers: none; each domain names its own  # default\n"));
        else
            r = value_dump(option, set, "    ", out);
    }
    return r < 0 ? r : buf_puts(out, STR("}\n\n"));
}

static int dump_domain(const struct conf *conf, const struct conf_domain *domain, struct buf *out) {
    bool has_block = false;
    int r = buf_putf(out, "domain %s", domain->name);
    for (size_t i = 0; i < option_count && r == 0; i++) {
        const struct option *option = &option_table[i];
        if (option->block != OPTION_IN_DOMAIN || value_eq(option, &domain->set, &conf->domain_defaults))
            continue;
        if (!has_block)
            r = buf_puts(out, STR(" {\n"));
        has_block = true;
        if (r == 0)
            r = value_dump(option, &domain->set, "    ", out);
    }
    return r < 0 ? r : buf_puts(out, has_block ? STR("}\n") : STR("\n"));
}

int conf_dump(const struct conf *conf, struct buf *out) {
    int r = dump_block(OPTION_IN_MAIN, &conf->set, "", out);
    for (size_t i = 0; i < conf->n_listeners && r == 0; i++)
        r = dump_listener(&conf->listeners[i], out);
    for (size_t i = 0; i < conf->n_groups && r == 0; i++)
        r = dump_group(&conf->groups[i], out);
    for (size_t i = 0; i < conf->n_tables && r == 0; i++)
        r = dump_table(&conf->tables[i], out);
    for (size_t i = 0; i < conf->n_block_lists && r == 0; i++)
        r = dump_block_list(&conf->block_lists[i], out);
    if (r == 0)
        r = dump_sections(conf, out);
    if (r == 0)
        r = dump_domain_defaults(conf, out);
    for (size_t i = 0; i < conf->n_domains && r == 0; i++)
        r = dump_domain(conf, &conf->domains[i], out);
    return r;
}
