/*
 * The class of host names: each form of an address, each kind of word, and what happens where they disagree; then the
 * figures over the names in names/, with the bars that design.md sets.
 */
#include "policy/classify.h"

#include "policy/classify_address.h"
#include "policy/classify_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct sample {
    const char *name, *address;
    enum name_class class;
};

static enum name_class classify(const char *name, const char *address) {
    struct ip ip;
    if (address == NULL || *address == '\0')
        return name_classify(str_of(name), NULL);
    assert_int_equal(ip_parse(str_of(address), &ip), 0);
    return name_classify(str_of(name), &ip);
}

static void check(const struct sample *samples, size_t n) {
    for (size_t i = 0; i < n; i++) {
        enum name_class class = classify(samples[i].name, samples[i].address);
        if (class != samples[i].class)
            fail_msg("%s (%s) is %s, not %s", samples[i].name, samples[i].address ? samples[i].address : "",
                name_class_text(class), name_class_text(samples[i].class));
    }
}

#define CHECK(samples) check(samples, sizeof(samples) / sizeof((samples)[0]))

struct form {
    const char *host;
    enum name_address found;
};

static void check_forms(const char *address, const struct form *forms, size_t n) {
    struct ip ip = { 0 };
    if (address != NULL)
        assert_int_equal(ip_parse(str_of(address), &ip), 0);
    for (size_t i = 0; i < n; i++) {
        enum name_address found = name_address_find(str_of(forms[i].host), &ip);
        if (found != forms[i].found)
            fail_msg("%s: %d instead of %d", forms[i].host, (int)found, (int)forms[i].found);
    }
}

#define CHECK_FORMS(address, forms) check_forms(address, forms, sizeof(forms) / sizeof((forms)[0]))

static void the_whole_address_is_found_in_every_form_that_providers_write(void **state) {
    static const struct form forms[] = {
        { "host-203-0-113-7", NAME_ADDRESS_FULL },
        { "203.0.113.7", NAME_ADDRESS_FULL },
        { "7.113.0.203", NAME_ADDRESS_FULL },
        { "203x0x113x7", NAME_ADDRESS_FULL },
        { "c_203_0_113_7", NAME_ADDRESS_FULL },
        { "host7.113-0-203", NAME_ADDRESS_FULL },
        { "7.red-203-0-113", NAME_ADDRESS_FULL },
        { "host7-113-dynamic.0-203-r", NAME_ADDRESS_FULL },
        { "203-000-113-007", NAME_ADDRESS_FULL },
        { "softbank203000113007", NAME_ADDRESS_FULL },
        { "007113000203", NAME_ADDRESS_FULL },
        { "203-000-113007", NAME_ADDRESS_FULL },
        { "p20301137", NAME_ADDRESS_FULL },
        { "ip2030113007", NAME_ADDRESS_FULL },
        { "s3405803783", NAME_ADDRESS_FULL },
        { "ipcb007107", NAME_ADDRESS_FULL },
        { "077100cb", NAME_ADDRESS_FULL },
        { "0xcb007107", NAME_ADDRESS_FULL },
        { "cb-00-71-07", NAME_ADDRESS_FULL },
        { "7.71.0.cb", NAME_ADDRESS_FULL },
    };
    CHECK_FORMS("203.0.113.7", forms);
}

static void two_or_three_octets_side_by_side_are_part_of_the_address(void **state) {
    static const struct form forms[] = {
        { "bl12-113-7", NAME_ADDRESS_PARTIAL },
        { "7-113", NAME_ADDRESS_PARTIAL },
        { "u113007", NAME_ADDRESS_PARTIAL },
        { "0-113-7", NAME_ADDRESS_MOST },
        { "7.113.0", NAME_ADDRESS_MOST },
        { "g203000113", NAME_ADDRESS_MOST },
        { "host7", NAME_ADDRESS_NONE },
        { "host-113", NAME_ADDRESS_NONE },
        { "a113-8", NAME_ADDRESS_NONE },
    };
    CHECK_FORMS("203.0.113.7", forms);
}

static void without_the_client_s_address_its_shape_is_found(void **state) {
    static const struct form forms[] = {
        { "host-203-0-113-7", NAME_ADDRESS_SHAPE },
        { "7.red-203-0-113", NAME_ADDRESS_SHAPE },
        { "kd203000113007", NAME_ADDRESS_SHAPE },
        { "kx203000256007", NAME_ADDRESS_NONE },
        { "ool-cb007107", NAME_ADDRESS_HEX },
        { "s01060011aabbccdd", NAME_ADDRESS_MAC },
        { "host-203-0-113-256", NAME_ADDRESS_NONE },
        { "v1-2-3", NAME_ADDRESS_NONE },
        { "rack-1-2-3-4", NAME_ADDRESS_NONE },
        { "xe-0-1-3.core12", NAME_ADDRESS_NONE },
        { "2001-db8-0-1-0-0-0-7", NAME_ADDRESS_SHAPE },
        { "20010db800000001000000000000000a", NAME_ADDRESS_SHAPE },
        { "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0", NAME_ADDRESS_SHAPE },
        { "", NAME_ADDRESS_NONE },
    };
    CHECK_FORMS(NULL, forms);
}

static void ipv6_is_found_by_nibbles_groups_and_halves(void **state) {
    static const struct form forms[] = {
        { "20010db80002000100a400b5000c0def", NAME_ADDRESS_FULL },
        { "f.e.d.0.c.0.0.0.5.b.0.0.4.a.0.0.1.0.0.0.2.0.0.0.8.b.d.0.1.0.0.2.ip6", NAME_ADDRESS_FULL },
        { "dyn-2001-db8-2-1-a4-b5-c-def", NAME_ADDRESS_FULL },
        { "dyn-2001-0db8-0002-0001-00a4-00b5-000c-0def", NAME_ADDRESS_FULL },
        { "host-a4-b5-c-def", NAME_ADDRESS_FULL },
        { "2001-db8-2-1", NAME_ADDRESS_FULL },
        { "p00a400b5000c0def", NAME_ADDRESS_FULL },
        { "b5-c-def", NAME_ADDRESS_PARTIAL },
        { "c-def", NAME_ADDRESS_NONE },
    };
    CHECK_FORMS("2001:db8:2:1:a4:b5:c:def", forms);
    static const struct form short_forms[] = {
        { "2001-db8--a-b-7", NAME_ADDRESS_FULL },
        { "2001-db8-0-0-0-a-b-7", NAME_ADDRESS_FULL },
    };
    CHECK_FORMS("2001:db8::a:b:7", short_forms);
}

static void words_of_lines_beside_a_number_make_an_access_name(void **state) {
    static const struct sample samples[] = {
        { "host-203-0-113-7.dsl.example.net", "203.0.113.7", NAME_ACCESS },
        { "203-0-113-7.dynamic.example.net", "203.0.113.7", NAME_ACCESS },
        { "bl12-113-7.ftth.example.net", "203.0.113.7", NAME_ACCESS },
        { "user-1234.dialup.example.net", NULL, NAME_ACCESS },
        { "4g-123456.mobile.example.net", NULL, NAME_ACCESS },
        { "abonne-113-7.fibre.example.net", "203.0.113.7", NAME_ACCESS },
        { "din-203-0-113-7.ipcom.example.net", "203.0.113.7", NAME_ACCESS },
        { "usuario-113-7.telefonia.example.net", "203.0.113.7", NAME_ACCESS },
        { "cpc1-brmb8-2-0-cust123.cable.example.net", "203.0.113.7", NAME_ACCESS },
        { "dynamic.example.net", NULL, NAME_ACCESS },
        { "adsl-lon-191.example.net", NULL, NAME_ACCESS },
    };
    CHECK(samples);
}

static void a_whole_address_alone_makes_an_access_name(void **state) {
    static const struct sample samples[] = {
        { "203-0-113-7.example.net", "203.0.113.7", NAME_ACCESS },
        { "host-203-0-113-7.example.net", NULL, NAME_ACCESS },
        { "7.113.0.203.example.net", "203.0.113.7", NAME_ACCESS },
        { "2001-db8-2-1-a4-b5-c-def.example.net", "2001:db8:2:1:a4:b5:c:def", NAME_ACCESS },
    };
    CHECK(samples);
}

static void a_word_of_lines_without_a_number_is_none(void **state) {
    static const struct sample samples[] = {
        { "dsl.example.com", "203.0.113.7", NAME_OTHER },
        { "cable.example.com", NULL, NAME_OTHER },
        { "dhcp1.example.edu", NULL, NAME_OTHER },
        { "home.example.com", NULL, NAME_OTHER },
        { "wifi.example.com", NULL, NAME_OTHER },
        { "user3.example.com", NULL, NAME_OTHER },
    };
    CHECK(samples);
}

static void static_and_business_lines_are_static_dynamic_is_stronger(void **state) {
    static const struct sample samples[] = {
        { "static.7-113-0-203.clients.example.net", "203.0.113.7", NAME_STATIC },
        { "static-203-0-113-7.dsl.example.net", "203.0.113.7", NAME_STATIC },
        { "203-0-113-7.business.cable.example.net", "203.0.113.7", NAME_STATIC },
        { "rrcs-203-0-113-7.nyc.biz.example.com", "203.0.113.7", NAME_STATIC },
        { "business-203-0-113-7.dynamic.example.net", "203.0.113.7", NAME_ACCESS },
        { "static.example.com", NULL, NAME_OTHER },
    };
    CHECK(samples);
}

static void hosting_and_cloud_are_static_words_of_lines_are_stronger(void **state) {
    static const struct sample samples[] = {
        { "ec2-203-0-113-7.compute-1.amazonaws.com", "203.0.113.7", NAME_STATIC },
        { "7.113.0.203.bc.googleusercontent.com", "203.0.113.7", NAME_STATIC },
        { "vps-0a1b2c3d.vps.ovh.net", "203.0.113.7", NAME_STATIC },
        { "vps-203-0-113-7.example.com", "203.0.113.7", NAME_STATIC },
        { "203-0-113-7.greatservers.example", "203.0.113.7", NAME_STATIC },
        { "ns3012345.ip-203-0-113.eu", "203.0.113.7", NAME_STATIC },
        { "fixed-203-0-113-7.adsl.example.net", "203.0.113.7", NAME_ACCESS },
        { "server.example.com", "203.0.113.7", NAME_OTHER },
        { "srv12.example.com", "203.0.113.7", NAME_OTHER },
        { "vpn-203-0-113-7.example.com", "203.0.113.7", NAME_STATIC },
    };
    CHECK(samples);
}

static void mail_words_win_over_everything(void **state) {
    static const struct sample samples[] = {
        { "mail.example.com", NULL, NAME_MAIL },
        { "mx1.dsl.example.net", NULL, NAME_MAIL },
        { "mailgw2.example.com", NULL, NAME_MAIL },
        { "correo.example.es", NULL, NAME_MAIL },
        { "out-203-0-113-7.example.com", "203.0.113.7", NAME_MAIL },
        { "smtp-203-0-113-7.dynamic.example.com", "203.0.113.7", NAME_MAIL },
        { "203-0-113-7.outmail.example.com", "203.0.113.7", NAME_MAIL },
        { "203-0-113-7.bulkmailer.example", "203.0.113.7", NAME_MAIL },
        { "resqmta-c1p-023456.sys.comcast.net", "203.0.113.7", NAME_MAIL },
        { "vmta-203-0-113-7.example.com", "203.0.113.7", NAME_MAIL },
        { "vps-mail-203-0-113-7.example.net", "203.0.113.7", NAME_MAIL },
        { "cable-mx1.example.nl", "203.0.113.7", NAME_MAIL },
        { "pppoe-relay.example.cz", "203.0.113.7", NAME_MAIL },
        { "elasmtp-kukur.atl.sa.earthlink.net", "203.0.113.7", NAME_MAIL },
        { "m13-124.163.com", "203.0.13.124", NAME_MAIL },
    };
    CHECK(samples);
}

static void mx_and_out_give_way_to_an_address_beside_dynamic_or_static(void **state) {
    static const struct sample samples[] = {
        { "mx-ll-203.0.113-7.dynamic.example.net", "203.0.113.7", NAME_ACCESS },
        { "em203-0-113-7.pool.example.net", "203.0.113.7", NAME_ACCESS },
        { "em1234.example.com", "203.0.113.7", NAME_MAIL },
        { "mx-ll-203.0.113-7.static.example.net", "203.0.113.7", NAME_STATIC },
        { "mx-203-0-113-7.example.net", "203.0.113.7", NAME_MAIL },
    };
    CHECK(samples);
}

static void hosts_of_large_senders_are_mail(void **state) {
    static const struct sample samples[] = {
        { "mail-yw1-f202.google.com", "209.85.128.202", NAME_MAIL },
        { "mail-dm6nam10on2061.outbound.protection.outlook.com", "40.107.93.61", NAME_MAIL },
        { "a8-31.smtp-out.amazonses.com", "54.240.8.31", NAME_MAIL },
        { "o1.ptr1234.sendgrid.net", NULL, NAME_MAIL },
        { "203-0-113-7.mail-mail.facebook.com", "203.0.113.7", NAME_MAIL },
        { "sonic310-11.consmr.mail.ne1.yahoo.com", NULL, NAME_MAIL },
        { "198-2-128-7.mcsv.net", "198.2.128.7", NAME_MAIL },
    };
    CHECK(samples);
}

static void what_a_provider_is_called_does_not_make_its_hosts_lines(void **state) {
    static const struct sample samples[] = {
        { "mail.dslnet.example", "203.0.113.7", NAME_MAIL },
        { "gw.dslnet.example", "203.0.113.7", NAME_OTHER },
        { "dslnet.example", "203.0.113.7", NAME_OTHER },
        { "zeus.cable-isp.co.uk", "203.0.113.7", NAME_OTHER },
        { "relay.dynamic.co.uk", NULL, NAME_MAIL },
        { "www.dynamic.co.uk", NULL, NAME_OTHER },
        { "dialog7.example.com", NULL, NAME_OTHER },
        { "host-203-0-113-7.colorado.example", "203.0.113.7", NAME_ACCESS },
    };
    CHECK(samples);
}

static void final_dot_case_and_underscores_make_no_difference(void **state) {
    static const struct sample samples[] = {
        { "HOST-203-0-113-7.DSL.EXAMPLE.NET.", "203.0.113.7", NAME_ACCESS },
        { "user_203_0_113_7.example.net", "203.0.113.7", NAME_ACCESS },
        { "Mail_1.Example.COM.", NULL, NAME_MAIL },
        { "dsl-203-0-113-7", "203.0.113.7", NAME_ACCESS },
        { "localhost", "127.0.0.1", NAME_OTHER },
        { ".", NULL, NAME_OTHER },
        { "..", NULL, NAME_OTHER },
        { "", NULL, NAME_OTHER },
    };
    CHECK(samples);
}

static void a_name_of_255_bytes_is_read_a_longer_one_is_other(void **state) {
    static const char tail[] = ".dsl-203-0-113-7.dyn.example.net.";
    char name[NAME_CLASSIFY_MAX + 2];
    memset(name, 'a', sizeof(name));
    memcpy(name + NAME_CLASSIFY_MAX + 1 - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
    assert_int_equal(name_classify((struct str){ name, NAME_CLASSIFY_MAX + 1 }, NULL), NAME_ACCESS);
    memcpy(name + NAME_CLASSIFY_MAX + 2 - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
    assert_int_equal(name_classify((struct str){ name, NAME_CLASSIFY_MAX + 2 }, NULL), NAME_OTHER);
}

static void the_tables_of_words_are_sorted_words_are_found_inside_others(void **state) {
    assert_true(word_tables_are_sound());
    assert_int_equal(word_kind(STR("adsl")), WORD_LINE);
    assert_int_equal(word_kind(STR("netdsl")), WORD_LINE);
    assert_int_equal(word_kind(STR("dynamicip")), WORD_DYNAMIC);
    assert_int_equal(word_kind(STR("mailgw")), WORD_MAIL);
    assert_int_equal(word_kind(STR("plsmtpa")), WORD_MAIL);
    assert_int_equal(word_kind(STR("smtq")), WORD_NONE);
    assert_int_equal(word_kind(STR("dialog")), WORD_NEUTRAL);
    assert_int_equal(word_kind(STR("zoo")), WORD_NONE);
    assert_int_equal(word_kind(STR("")), WORD_NONE);
    assert_int_equal(provider_kind(STR("amazonses.com")), PROVIDER_MAIL);
    assert_int_equal(provider_kind(STR("amazonses.co")), PROVIDER_UNKNOWN);
    assert_int_equal(provider_kind(STR("amazonses.com\0.")), PROVIDER_UNKNOWN);
}

/* --- figures over the sets */

struct figures {
    unsigned n[4][4]; /* as it is, as it was found */
};

static enum name_class class_of(const char *text) {
    for (int class = NAME_ACCESS; class <= NAME_OTHER; class++)
        if (strcmp(text, name_class_text((enum name_class)class)) == 0)
            return (enum name_class)class;
    fail_msg("no class: %s", text);
    return NAME_OTHER;
}

static struct figures read_set(const char *path) {
    struct figures figures = { 0 };
    char line[512];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *address = strchr(line, '\t');
        assert_non_null(address);
        *address++ = '\0';
        char *class = strchr(address, '\t');
        assert_non_null(class);
        *class++ = '\0';
        figures.n[class_of(class)][classify(line, address)]++;
    }
    fclose(file);
    return figures;
}

static double percent(const unsigned n[4], enum name_class class) {
    return 100.0 * n[class] / (n[0] + n[1] + n[2] + n[3]);
}

static void check_set(const char *path) {
    struct figures f = read_set(path);
    for (int is = NAME_ACCESS; is <= NAME_OTHER; is++)
        print_message("# %-6s: access %5.1f %%, static %5.1f %%, mail %5.1f %%, other %5.1f %% of %u\n",
            name_class_text((enum name_class)is), percent(f.n[is], NAME_ACCESS), percent(f.n[is], NAME_STATIC),
            percent(f.n[is], NAME_MAIL), percent(f.n[is], NAME_OTHER),
            f.n[is][0] + f.n[is][1] + f.n[is][2] + f.n[is][3]);
    assert_true(percent(f.n[NAME_ACCESS], NAME_ACCESS) > 85.0);
    assert_true(percent(f.n[NAME_MAIL], NAME_ACCESS) < 0.5);
    assert_true(percent(f.n[NAME_OTHER], NAME_ACCESS) < 5.0);
    assert_true(percent(f.n[NAME_STATIC], NAME_ACCESS) < 10.0);
}

static void the_development_set_keeps_the_bar(void **state) {
    check_set(NAMES_DIR "/development.tsv");
}

static void the_held_out_set_keeps_the_bar(void **state) {
    check_set(NAMES_DIR "/held-out.tsv");
}

/* As they are written, by providers of many countries; numbers are made up. */
static void the_names_that_people_know_keep_the_bar(void **state) {
    check_set(NAMES_DIR "/known.tsv");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_address_is_found_in_every_form_that_providers_write),
        cmocka_unit_test(two_or_three_octets_side_by_side_are_part_of_the_address),
        cmocka_unit_test(without_the_client_s_address_its_shape_is_found),
        cmocka_unit_test(ipv6_is_found_by_nibbles_groups_and_halves),
        cmocka_unit_test(words_of_lines_beside_a_number_make_an_access_name),
        cmocka_unit_test(a_whole_address_alone_makes_an_access_name),
        cmocka_unit_test(a_word_of_lines_without_a_number_is_none),
        cmocka_unit_test(static_and_business_lines_are_static_dynamic_is_stronger),
        cmocka_unit_test(hosting_and_cloud_are_static_words_of_lines_are_stronger),
        cmocka_unit_test(mail_words_win_over_everything),
        cmocka_unit_test(mx_and_out_give_way_to_an_address_beside_dynamic_or_static),
        cmocka_unit_test(hosts_of_large_senders_are_mail),
        cmocka_unit_test(what_a_provider_is_called_does_not_make_its_hosts_lines),
        cmocka_unit_test(final_dot_case_and_underscores_make_no_difference),
        cmocka_unit_test(a_name_of_255_bytes_is_read_a_longer_one_is_other),
        cmocka_unit_test(the_tables_of_words_are_sorted_words_are_found_inside_others),
        cmocka_unit_test(the_development_set_keeps_the_bar),
        cmocka_unit_test(the_held_out_set_keeps_the_bar),
        cmocka_unit_test(the_names_that_people_know_keep_the_bar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
