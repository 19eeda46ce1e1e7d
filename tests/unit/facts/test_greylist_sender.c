/*
 * Senders as they come in the wild, and what greylisting knows them by. The forms are those that the services document
 * or that headers in public archives show, with names of examples put in.
 *
 * Each group is one sender to greylisting; no two groups are the same one.
 */
#include "facts/greylist_sender.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char RECIPIENT[] = "bert.meier@example.net";

static const char *known_as(const char *text, const char *recipient, char out[GREYLIST_TEXT_MAX + 1]) {
    struct smtp_address sender = { 0 }, to = { 0 };
    if (text[0] != '\0' && smtp_address_parse(str_of(text), true, &sender) != SMTP_ADDRESS_OK)
        fail_msg("%s is no address", text);
    assert_int_equal(smtp_address_parse(str_of(recipient), true, &to), SMTP_ADDRESS_OK);
    struct str known = greylist_sender(&sender, &to, out);
    assert_true(known.len <= GREYLIST_TEXT_MAX);
    memmove(out, known.at, known.len);
    out[known.len] = '\0';
    return out;
}

enum { SPELLINGS_MAX = 5 };

static const struct {
    const char *known_as;
    const char *senders[SPELLINGS_MAX];
} groups[] = {
    /* ---- rewritten by forwarders */
    { "anna@example.org",
      { "anna@example.org", "SRS0=9xQ4=TT=example.org=anna@forwarder.example", "SRS0+Hk3a=TU=example.org=anna@fwd.test",
        "SRS0-Zz9/=TV=example.org=anna@fwd.test", "SRS1=aB3c=fwd.test==9xQ4=TT=example.org=anna@second.example" } },
    { "anna.schmidt@example.org",
      { "bert+SRS=Hn5P8=C7=example.org=anna.schmidt@forwarder.example",
        "SRS1=aB3c=fwd.test=+9xQ4=TT=example.org=anna.schmidt@second.example",
        "SRS0=aaaa=BB=example.org=prvs=81176a5d5=anna.schmidt@forwarder.example",
        "anna.schmidt+caf_=bert.meier=example.net@example.org", "Anna.Schmidt@EXAMPLE.org" } },
    { "bounces@tenant.onmicrosoft.com",
      { "bounces+SRS=DmMzc=V3@tenant.onmicrosoft.com", "bounces+SRS=HnE87=C7@tenant.onmicrosoft.com" } },
    { "srs@example.org", { "srs@example.org", "SRS+x@example.org" } },
    { "srs0@example.org", { "SRS0@example.org" } },
    /* ---- signed: BATV by the draft, as Exim writes it, as gateways do */
    { "david@example.com",
      { "prvs=0123abcdef=david@example.com", "prvs=81176a5d5=david@example.com", "prvs=david=0123abcdef@example.com",
        "prvs=david/0123abcdef@example.com", "btv1==0629c6==david@example.com" } },
    { "0123abcde@example.com", { "prvs=4567abcdef=0123abcde@example.com" } }, /* whose name looks like a tag */
    { "bounces-#@m.example.com",
      { "msprvs1=20676xgzi92p-=bounces-250528-1322@m.example.com",
        "msprvs1=18041Gm1gtjXZ=bounces-250528-9@m.example.com" } },
    /* ---- services that send for others */
    { "#@amazonses.com",
      { "0100017fcf817777-481efc68-4a9a-4c11-ba2c-40ff0357e7b1-000000@amazonses.com",
        "010001765d1c595c-6c98f48b-faa9-4e08-9274-0d9fe7efe5cd-000000@amazonses.com",
        "0102018f0c1d2a3b-feedbeef-dead-cafe-beef-abcdefabcdef-000000@amazonses.com" } },
    { "#@eu-west-#.amazonses.com",
      { "0102018f0c1d2a3b-8d6e4a2b-1234-4c5d-9e8f-0123456789ab-000000@eu-west-1.amazonses.com" } },
    { "bounces@em#.shop.example",
      { "bounces+1234567-abcd-bert.meier=example.net@em1234.shop.example",
        "bounces+7654321-9f01-bert.meier=example.net@em12.shop.example" } },
    { "bounce-#@mail#.suw#.mcsv.net",
      { "bounce-mc.us5_9876543.1a2b3c4d5e-bert.meier=example.net@mail7.suw11.mcsv.net",
        "bounce-mc.us21_34567890.1234567-bert.meier=example.net@mail42.suw16.mcsv.net" } },
    { "bounce-#@mandrillapp.com",
      { "bounce-md_30481620.56d62bbc.v1-b1680d9a313d4549b67f7bf03b3ed6fd@mandrillapp.com",
        "bounce-md_9656353.6125275c.v1-f28f7746389e45f0bfbf9faefe9e0dc8@mandrillapp.com" } },
    { "bounce@mg.example.com",
      { "bounce+a1b2c3.d4e5f6-bert.meier=example.net@mg.example.com",
        "bounce+585af8.1a95e6-bert=old.test@mg.example.com" } },
    { "#@a-hu#amac.na#.bnc.salesforce.com",
      { "support=example.com__9m4vlv27x6v0rxwe@a-hu5amac.na63.bnc.salesforce.com",
        "support=example.com__0-1r12zvjmnf8rqu.l9azxrxo3x5g2pzm@a-hu7amac.na150.bnc.salesforce.com" } },
    { "#@bounce.e.shop.example",
      { "bounce-1234_HTML-12345678-123456-1234567-12@bounce.e.shop.example",
        "bounce-9_HTML-87654321-654321-1234567-7@bounce.e.shop.example" } },
    { "pm_bounces@pm-mx.example.com",
      { "pm_bounces@pm-mx.example.com", "pm_bounces+4ad2b4c2-0a7d-4b3e-9f5d-1c2d3e4f5a6b@pm-mx.example.com" } },
    { "#@bf#x.hubspotemail.net",
      { "1axca06p9dhadejfcj89bda3kxmimwrspi50nd@bf01x.hubspotemail.net",
        "1axb9lvdcpn34bfn6j4jfeyp2rsoz4m51ae55n@bf53x.hubspotemail.net",
        "1axc2dl8emii2ouijre1gpzzvbm9svxxudxb8u-bert.meier=example.net@bf53x.hubspotemail.net" } },
    { "#@in.constantcontact.com",
      { "AigXeKlyIRLG+DvWkRMsGUA==_1133104752381_sUQcUKVBEeynm/oWPlvDBA==@in.constantcontact.com",
        "a1vdek4eqtvi/ni3ked62sg==_1103304917473_t+iblfa0ee+fkpowpmt8pw==@in.constantcontact.com" } },
    { "#@bounce.linkedin.com",
      { "m-j7q2rwb8aca3ozj7n0uy4hluj7tlsdydo5j1tw9dvhagtr25o3b@bounce.linkedin.com",
        "mbr+vUHCrR4wQftTwqSzKtzLw35In-C5WzEIiCw1e0fHZPiazB@bounce.linkedin.com" } },
    { "#@scoutcamp.bounces.google.com",
      { "3nNcYXwMKCq0fPjTbbTYR.PbZdRZh-QRiRYabaTah.beT@scoutcamp.bounces.google.com",
        "3LvEPaAwKCpcE12985JK561E7FF7C5.3FDH5DL-45M5CEFE7EL.FI7@scoutcamp.bounces.google.com" } },
    { "notification@facebookmail.com",
      { "notification+zj4oz=zz@facebookmail.com", "notification+kr4yqsq9nnyn@facebookmail.com" } },
    { "#@bounce.twitter.com", { "n04ab12345d-0c3b5a7c9d1e-bert.meier===example.net@bounce.twitter.com" } },
    /* ---- mailing lists */
    { "python-dev@googlegroups.com",
      { "python-dev+bncBD3JNNMDTMEBBOE23WBQMGQEXVCUZ6Q@googlegroups.com",
        "python-dev+bncBCABCDEFGHIJKLMNOPQRSTUVWXYZABC@googlegroups.com" } },
    { "#@returns.groups.yahoo.com",
      { "sentto-1234567-12345-1234567890-bert.meier=example.net@returns.groups.yahoo.com",
        "sentto-1234567-12346-1234567999-bert.meier=example.net@returns.groups.yahoo.com" } },
    { "users-return-#@lists.example.org", /* ezmlm, mlmmj, Postfix with qmail's VERP */
      { "users-return-4821-bert.meier=example.net@lists.example.org",
        "users-return-7-bert.meier=example.net@lists.example.org",
        "users-return-8-old=alias.test@lists.example.org" } },
    { "list-bounces@lists.example.org", /* Mailman, with VERP and without */
      { "list-bounces@lists.example.org", "list-bounces+bert.meier=example.net@lists.example.org",
        "list-bounces+old=alias.test@lists.example.org" } },
    { "bounce@lists.sympa.example", { "bounce+6389@lists.sympa.example", "bounce+w@lists.sympa.example" } },
    { "owner-news@listserv.example.edu", /* LISTSERV's probes */
      { "owner-news@listserv.example.edu", "OWNER-NEWS*bert.meier**EXAMPLE-NET@LISTSERV.example.edu",
        "owner-news*bert**alias-test@listserv.example.edu" } },
    { "linux-kernel-owner@vger.example.org", /* Majordomo with VERP */
      { "linux-kernel-owner@vger.example.org",
        "linux-kernel-owner+BERT.MEIER=40EXAMPLE.NET-S1234567@vger.example.org" } },
    { "bounce@groups.example", { "bounce+12345+678+1234567+8765@groups.example" } },
    { "forum@discuss.example", { "forum+verp-0a1b2c3d4e5f60718293a4b5c6d7e8f9@discuss.example" } },
    /* ---- the recipient inside, in its spellings */
    { "news-#@shop.example",
      { "news-bert.meier=example.net@shop.example", "news-bert.meier-example.net@shop.example",
        "news-bert.meier.example.net@shop.example", "news-Bert-Meier_Example-Net@shop.example",
        "news-17-bert.meier=example.net@shop.example" } },
    { "#@mailer.example", { "bert.meier=example.net@mailer.example", "12-bert.meier=example.net-99@mailer.example" } },
    { "issue#@shop.example",
      { "issue12-bert.meier=example.net@shop.example", "issue7-bert.meier=example.net@shop.example" } },
    /* ---- numbers */
    { "ticket-#@desk.example", { "ticket-1234567@desk.example", "ticket-7654321-12345@desk.example" } },
    { "msg.#@desk.example", { "msg.20240115093000@desk.example", "msg.5f3e2d1c0b9a8877@desk.example" } },
    { "news-issue#@desk.example", { "news-issue20240115@desk.example", "news-issue20240122@desk.example" } },
    { "noreply-#@desk.example", { "noreply-4ad2b4c2-0a7d-4b3e-9f5d-1c2d3e4f5a6b@desk.example" } },
    { "info@mx#.mail#.shop.example", { "info@mx1.mail22.shop.example", "info@mx27.mail3.shop.example" } },
    /* ---- people, and names that only look like one of the above */
    { "+info@desk.test", { "+info@desk.test" } },
    { "prvs@example.com", { "prvs@example.com" } },
    { "john@example.com", { "john@example.com", "john+lists@example.com", "\"john\"@example.com" } },
    { "john smith@example.com", { "\"john smith\"@example.com", "\"John\\ Smith\"@example.com" } },
    { "jo\xc3\xbcrg@example.com", { "jo\xc3\xbcrg@example.com" } },
    { "postmaster@[192.0.2.1]", { "postmaster@[192.0.2.1]" } },
    { "<>", { "" } },
};

static void every_group_is_one_sender(void **state) {
    char out[GREYLIST_TEXT_MAX + 1];
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
        for (size_t k = 0; k < SPELLINGS_MAX && groups[i].senders[k] != NULL; k++) {
            const char *sender = groups[i].senders[k];
            if (strcmp(known_as(sender, RECIPIENT, out), groups[i].known_as) != 0)
                fail_msg("%s is known as %s, not as %s", sender, out, groups[i].known_as);
        }
}

static void no_two_groups_are_one_sender(void **state) {
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(groups[i].known_as, groups[k].known_as) == 0)
                fail_msg("%s is there twice", groups[i].known_as);
}

/* What people, rooms and accounts are called. */
static const char *const strangers[][2] = {
    { "anna@example.org", "bert@example.org" },
    { "anna@example.org", "anna@example.com" },
    { "anna1985@example.org", "anna1986@example.org" },
    { "abba1974@example.org", "abba1975@example.org" },
    { "s1234567@university.example", "s1234568@university.example" },
    { "123456789@qq.com", "987654321@qq.com" },
    { "15551234567@carrier.example", "15551234568@carrier.example" },
    { "user.1@example.org", "user.2@example.org" },
    { "sales-2023@example.org", "sales-2024@example.org" },
    { "room-1204@hotel.example", "room-1205@hotel.example" },
    { "anna-lists@example.org", "anna-shop@example.org" },
    { "return-desk@example.org", "return-policy@example.org" },
    { "owner-news@example.org", "owner-sport@example.org" },
    { "info@163.com", "info@126.com" },
    { "info@shop1.co.uk", "info@shop2.co.uk" },
    { "news@bounce.com", "sport@bounce.com" },
    { "deadbeef@example.org", "feedface@example.org" },
    { "a=b@example.org", "a=c@example.org" },
    { "SRS0=aa=BB=example.org=anna@fwd.test", "SRS0=aa=BB=example.org=bert@fwd.test" },
    { "SRS0=aa=BB=example.org=anna@fwd.test", "SRS0=aa=BB=example.com=anna@fwd.test" },
    { "prvs=0123abcdef=anna@example.org", "prvs=0123abcdef=bert@example.org" },
    { "list-bounces+x=y.test@lists.example.org", "news-bounces+x=y.test@lists.example.org" },
    { "users-return-1-x=y.test@lists.example.org", "devel-return-1-x=y.test@lists.example.org" },
    { "\"anna@example\"@example.org", "anna@example.org" },
};

static void strangers_stay_strangers(void **state) {
    char one[GREYLIST_TEXT_MAX + 1], other[GREYLIST_TEXT_MAX + 1];
    for (size_t i = 0; i < sizeof(strangers) / sizeof(*strangers); i++)
        if (strcmp(known_as(strangers[i][0], RECIPIENT, one), known_as(strangers[i][1], RECIPIENT, other)) == 0)
            fail_msg("%s and %s are both %s", strangers[i][0], strangers[i][1], one);
}

static void the_recipient_is_taken_out_as_a_whole_word_only(void **state) {
    char out[GREYLIST_TEXT_MAX + 1];
    assert_string_equal(known_as("news-dilbert=example.net@shop.test", "bert@example.net", out), "news-#@shop.test");
    assert_string_equal(known_as("news-bert-example.network@shop.test", "bert@example.net", out),
                        "news-bert-example.network@shop.test");
    assert_string_equal(known_as("newsbert-example.net@shop.test", "bert@example.net", out),
                        "newsbert-example.net@shop.test");
    assert_string_equal(known_as("news-bert-example.net@shop.test", "bert@example.net", out), "news-#@shop.test");
}

/* A local part of 64 and a domain of 255 bytes, and one more of each. */
static void an_address_at_the_bounds_is_kept_whole(void **state) {
    char out[GREYLIST_TEXT_MAX], local[SMTP_LOCAL_MAX + 2], domain[SMTP_DOMAIN_MAX + 2];
    memset(local, 'x', sizeof(local));
    memset(domain, 'y', sizeof(domain));
    struct smtp_address long_one = { .text = { local, 1 }, .local = { local, SMTP_LOCAL_MAX },
                                     .domain = { domain, SMTP_DOMAIN_MAX } };
    assert_int_equal(greylist_sender(&long_one, &long_one, out).len, SMTP_LOCAL_MAX + 1 + SMTP_DOMAIN_MAX);
    long_one.local.len++; /* as the Postfix door may bring it */
    long_one.domain.len++;
    assert_int_equal(greylist_sender(&long_one, &long_one, out).len, SMTP_LOCAL_MAX + 1 + SMTP_DOMAIN_MAX);
}

static void broken_wrappings_are_left_as_they_are(void **state) {
    static const char *const texts[] = {
        "srs0=@fwd.test", "srs0=hash@fwd.test", "srs0=hash=tt@fwd.test", "srs1=hash=fwd.test@fwd.test",
        "srs0=hash=tt=example.org=@fwd.test", "prvs=@fwd.test", "prvs=tag@fwd.test", "prvs=tag=@fwd.test",
        "btv1==@fwd.test", "msprvs1=@fwd.test", "x+srs=@fwd.test", "prvs=/@fwd.test",
    };
    char out[GREYLIST_TEXT_MAX + 1];
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (strstr(known_as(texts[i], RECIPIENT, out), "@fwd.test") == NULL)
            fail_msg("%s is known as %s", texts[i], out);
}

static void addresses_are_compared_without_case_and_quotes(void **state) {
    char out[GREYLIST_TEXT_MAX];
    struct smtp_address address = { 0 };
    assert_int_equal(smtp_address_parse(STR("\"Anna\\ B\"@Example.ORG"), false, &address), SMTP_ADDRESS_OK);
    assert_true(str_eq(greylist_address(&address, out), STR("anna b@example.org")));
    address = (struct smtp_address){ .text = STR_INIT("Postmaster"), .local = STR_INIT("Postmaster") };
    assert_true(str_eq(greylist_address(&address, out), STR("postmaster")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_group_is_one_sender),
        cmocka_unit_test(no_two_groups_are_one_sender),
        cmocka_unit_test(strangers_stay_strangers),
        cmocka_unit_test(the_recipient_is_taken_out_as_a_whole_word_only),
        cmocka_unit_test(an_address_at_the_bounds_is_kept_whole),
        cmocka_unit_test(broken_wrappings_are_left_as_they_are),
        cmocka_unit_test(addresses_are_compared_without_case_and_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
