/*
 * Which words do providers, hosters and senders use in host names?
 *
 * Three tables, sorted by strcmp() and searched by bisection, a handful of comparisons of few bytes. The words of
 * `parts` are also looked for at either end of a longer run of letters (`dyndsl`, `mailgw`), and `smtp` anywhere in it;
 * only words that nothing else begins or ends with stand there, and what turned out to mean something else (`dialog`)
 * is a row of `words`.
 *
 * The providers are those whose names alone do not tell enough: lines with a serial number, servers named by a
 * customer number, senders whose hosts carry their address. A list of all providers was rejected: it would be out of
 * date, and most name their lines by words that stand above.
 */
#include "policy/classify_words.h"

struct row {
    const char *text;
    unsigned kind; /* enum word_kind or enum provider_kind; never 0 */
};

/* Found as whole runs of letters only. */
static const struct row words[] = {
    { "abhsia", WORD_CUSTOMER }, { "abo", WORD_CUSTOMER }, { "abon", WORD_CUSTOMER }, { "abonents", WORD_CUSTOMER },
    { "abos", WORD_CUSTOMER }, { "abts", WORD_CUSTOMER }, { "acceso", WORD_CUSTOMER }, { "access", WORD_CUSTOMER },
    { "addr", WORD_CUSTOMER }, { "adsldyn", WORD_DYNAMIC }, { "ae", WORD_INFRA }, { "aftr", WORD_LINE },
    { "amazonaws", WORD_HOSTING }, { "antispam", WORD_MAIL }, { "aol", WORD_CUSTOMER }, { "api", WORD_INFRA },
    { "apn", WORD_LINE }, { "app", WORD_INFRA }, { "apps", WORD_INFRA }, { "area", WORD_CUSTOMER },
    { "as", WORD_CUSTOMER }, { "asr", WORD_INFRA }, { "assinante", WORD_CUSTOMER }, { "assinantes", WORD_CUSTOMER },
    { "aws", WORD_HOSTING }, { "azure", WORD_HOSTING }, { "backup", WORD_INFRA }, { "baf", WORD_CUSTOMER },
    { "barracuda", WORD_MAIL }, { "bastion", WORD_INFRA }, { "bb", WORD_LINE }, { "bba", WORD_CUSTOMER },
    { "bband", WORD_LINE }, { "bbcust", WORD_LINE }, { "bbtec", WORD_LINE },
    { "bdsl", WORD_STATIC }, { "bedrijf", WORD_STATIC }, { "biz", WORD_STATIC }, { "bl", WORD_CUSTOMER },
    { "block", WORD_CUSTOMER }, { "bng", WORD_LINE }, { "bounces", WORD_MAIL }, { "bras", WORD_LINE },
    { "broad", WORD_CUSTOMER }, { "broadcast", WORD_NEUTRAL }, { "bulk", WORD_MAIL }, { "bullet", WORD_MAIL },
    { "bus", WORD_STATIC }, { "bzq", WORD_CUSTOMER }, { "cab", WORD_CUSTOMER }, { "cablevision", WORD_NEUTRAL },
    { "campaign", WORD_MAIL }, { "campaigns", WORD_MAIL }, { "cbl", WORD_LINE }, { "cdma", WORD_LINE },
    { "cdn", WORD_HOSTING }, { "cgn", WORD_LINE }, { "cgnat", WORD_LINE }, { "chello", WORD_CUSTOMER },
    { "citrix", WORD_INFRA }, { "client", WORD_CUSTOMER }, { "cliente", WORD_CUSTOMER }, { "clients", WORD_CUSTOMER },
    { "cluster", WORD_HOSTING }, { "cm", WORD_CUSTOMER }, { "cmail", WORD_MAIL }, { "cmts", WORD_LINE },
    { "colo", WORD_HOSTING }, { "colos", WORD_HOSTING }, { "comercial", WORD_STATIC }, { "commercial", WORD_STATIC },
    { "conserver", WORD_NEUTRAL }, { "consumer", WORD_CUSTOMER }, { "contabo", WORD_HOSTING }, { "core", WORD_INFRA },
    { "corp", WORD_STATIC }, { "cp", WORD_CUSTOMER }, { "cpanel", WORD_HOSTING }, { "cpc", WORD_CUSTOMER },
    { "cpe", WORD_LINE }, { "crm", WORD_INFRA }, { "cust", WORD_CUSTOMER }, { "customeraccess", WORD_CUSTOMER },
    { "custs", WORD_CUSTOMER }, { "ddns", WORD_CUSTOMER }, { "ded", WORD_HOSTING }, { "dedi", WORD_HOSTING },
    { "delivery", WORD_MAIL }, { "deploy", WORD_HOSTING }, { "dev", WORD_INFRA }, { "dia", WORD_STATIC },
    { "dial", WORD_DYNAMIC }, { "dialer", WORD_DYNAMIC }, { "dialog", WORD_NEUTRAL }, { "dialogue", WORD_NEUTRAL },
    { "din", WORD_DYNAMIC }, { "dip", WORD_DYNAMIC }, { "dispatch", WORD_MAIL }, { "dispatcher", WORD_MAIL_WEAK },
    { "dk", WORD_CUSTOMER }, { "dkim", WORD_MAIL }, { "dmarc", WORD_MAIL }, { "dns", WORD_INFRA },
    { "docsis", WORD_LINE }, { "dom", WORD_CUSTOMER }, { "domestic", WORD_CUSTOMER }, { "dorm", WORD_CUSTOMER },
    { "droplet", WORD_HOSTING }, { "dslaccess", WORD_LINE }, { "dslb", WORD_LINE }, { "dslc", WORD_LINE },
    { "dslgw", WORD_LINE }, { "dyn", WORD_DYNAMIC }, { "dyna", WORD_DYNAMIC }, { "dynamical", WORD_DYNAMIC },
    { "dynamics", WORD_DYNAMIC }, { "dyncust", WORD_DYNAMIC }, { "dyndns", WORD_NEUTRAL },
    { "dynpool", WORD_DYNAMIC }, { "ecs", WORD_HOSTING }, { "edge", WORD_CUSTOMER }, { "em", WORD_MAIL_WEAK },
    { "email", WORD_MAIL }, { "emails", WORD_MAIL }, { "emailsrvr", WORD_MAIL }, { "empresa", WORD_STATIC },
    { "enterprise", WORD_STATIC }, { "entreprise", WORD_STATIC }, { "epon", WORD_LINE }, { "erp", WORD_INFRA },
    { "esa", WORD_MAIL }, { "esmtp", WORD_MAIL }, { "ess", WORD_MAIL }, { "esx", WORD_INFRA }, { "esxi", WORD_INFRA },
    { "eth", WORD_INFRA }, { "evdo", WORD_LINE }, { "exacttarget", WORD_MAIL }, { "exch", WORD_MAIL },
    { "exchange", WORD_MAIL }, { "exim", WORD_MAIL }, { "extranet", WORD_INFRA }, { "fallback", WORD_MAIL },
    { "family", WORD_CUSTOMER }, { "fbx", WORD_CUSTOMER }, { "fija", WORD_HOSTING }, { "fijo", WORD_HOSTING },
    { "fios", WORD_LINE }, { "firewall", WORD_INFRA }, { "fix", WORD_HOSTING }, { "fixe", WORD_HOSTING },
    { "fixed", WORD_HOSTING }, { "fixedip", WORD_STATIC }, { "fixip", WORD_STATIC }, { "fixo", WORD_HOSTING },
    { "flat", WORD_CUSTOMER }, { "foretag", WORD_STATIC }, { "forward", WORD_MAIL }, { "forwarder", WORD_MAIL },
    { "forwarding", WORD_MAIL }, { "forwards", WORD_MAIL }, { "ftp", WORD_INFRA }, { "fw", WORD_INFRA },
    { "fwa", WORD_LINE }, { "fwd", WORD_MAIL }, { "gate", WORD_MAIL_WEAK }, { "gateway", WORD_INFRA },
    { "ge", WORD_INFRA }, { "generaldynamics", WORD_NEUTRAL }, { "generic", WORD_CUSTOMER },
    { "genericrev", WORD_CUSTOMER }, { "gi", WORD_INFRA }, { "git", WORD_INFRA }, { "gitlab", WORD_INFRA },
    { "googleusercontent", WORD_HOSTING }, { "gpon", WORD_LINE }, { "groupware", WORD_MAIL },
    { "gsm", WORD_CUSTOMER }, { "guest", WORD_CUSTOMER }, { "gw", WORD_INFRA }, { "hetzner", WORD_HOSTING },
    { "hfc", WORD_LINE }, { "hinet", WORD_STATIC }, { "hiper", WORD_CUSTOMER }, { "hispeed", WORD_CUSTOMER },
    { "hn", WORD_CUSTOMER }, { "hogar", WORD_CUSTOMER }, { "hogares", WORD_CUSTOMER }, { "home", WORD_CUSTOMER },
    { "homepage", WORD_NEUTRAL }, { "homes", WORD_CUSTOMER }, { "host", WORD_CUSTOMER }, { "hostedby", WORD_HOSTING },
    { "hostel", WORD_CUSTOMER }, { "hosts", WORD_CUSTOMER }, { "hotel", WORD_CUSTOMER }, { "hotspot", WORD_LINE },
    { "house", WORD_CUSTOMER }, { "hsd", WORD_LINE }, { "hsi", WORD_LINE }, { "hsia", WORD_LINE },
    { "hwsrv", WORD_HOSTING }, { "idc", WORD_HOSTING }, { "igld", WORD_CUSTOMER }, { "imap", WORD_MAIL },
    { "imaps", WORD_MAIL }, { "inaddr", WORD_CUSTOMER }, { "inet", WORD_CUSTOMER }, { "instance", WORD_HOSTING },
    { "interbusiness", WORD_CUSTOMER }, { "internet", WORD_CUSTOMER }, { "intranet", WORD_INFRA },
    { "ip", WORD_CUSTOMER }, { "ipad", WORD_LINE }, { "ipbf", WORD_LINE }, { "ipbffx", WORD_LINE },
    { "ipfija", WORD_STATIC }, { "ipfix", WORD_STATIC }, { "ipfixe", WORD_STATIC }, { "ipfp", WORD_LINE },
    { "iphmx", WORD_MAIL }, { "ipngn", WORD_LINE }, { "ipoe", WORD_LINE }, { "ipool", WORD_DYNAMIC },
    { "ips", WORD_CUSTOMER }, { "ipservice", WORD_LINE }, { "ironport", WORD_MAIL }, { "isdn", WORD_LINE },
    { "isp", WORD_CUSTOMER }, { "jumphost", WORD_INFRA }, { "kd", WORD_LINE }, { "klant", WORD_CUSTOMER },
    { "klanten", WORD_CUSTOMER }, { "kn", WORD_CUSTOMER }, { "kube", WORD_HOSTING }, { "kunde", WORD_CUSTOMER },
    { "kvm", WORD_HOSTING }, { "lan", WORD_CUSTOMER }, { "larga", WORD_CUSTOMER }, { "ldap", WORD_INFRA },
    { "leased", WORD_STATIC }, { "leasedline", WORD_STATIC }, { "lfbn", WORD_LINE }, { "li", WORD_HOSTING },
    { "lightspeed", WORD_LINE }, { "line", WORD_CUSTOMER }, { "lines", WORD_CUSTOMER }, { "linode", WORD_HOSTING },
    { "lists", WORD_MAIL }, { "listserv", WORD_MAIL }, { "live", WORD_CUSTOMER }, { "lns", WORD_LINE },
    { "localdomain", WORD_INFRA }, { "localhost", WORD_INFRA }, { "log", WORD_INFRA }, { "logs", WORD_INFRA },
    { "loopback", WORD_INFRA }, { "lte", WORD_LINE }, { "lxc", WORD_HOSTING }, { "mailbox", WORD_MAIL },
    { "mailchimp", WORD_MAIL }, { "mailcluster", WORD_MAIL }, { "mailfilter", WORD_MAIL }, { "mailgate", WORD_MAIL },
    { "mailgateway", WORD_MAIL }, { "mailgun", WORD_MAIL }, { "mailgw", WORD_MAIL }, { "mailhost", WORD_MAIL },
    { "mailhub", WORD_MAIL }, { "mailin", WORD_MAIL }, { "mailjet", WORD_MAIL }, { "maillist", WORD_MAIL },
    { "mailman", WORD_MAIL }, { "mailout", WORD_MAIL }, { "mailproxy", WORD_MAIL }, { "mails", WORD_MAIL },
    { "mailscanner", WORD_MAIL }, { "mailserver", WORD_MAIL }, { "mailsrv", WORD_MAIL }, { "majordomo", WORD_MAIL },
    { "mandrill", WORD_MAIL }, { "mbkd", WORD_MAIL }, { "mbox", WORD_MAIL }, { "mdaemon", WORD_MAIL },
    { "messagelabs", WORD_MAIL }, { "messaging", WORD_MAIL }, { "mgw", WORD_MAIL }, { "mimecast", WORD_MAIL },
    { "mkt", WORD_MAIL }, { "mm", WORD_CUSTOMER }, { "mobiles", WORD_LINE }, { "modems", WORD_NEUTRAL },
    { "monitor", WORD_INFRA }, { "monitoring", WORD_INFRA }, { "mout", WORD_MAIL }, { "mtas", WORD_MAIL },
    { "mx", WORD_MAIL_WEAK }, { "mxbackup", WORD_MAIL }, { "mxd", WORD_MAIL }, { "mxfront", WORD_MAIL },
    { "mxgw", WORD_MAIL }, { "mxhost", WORD_MAIL }, { "mxin", WORD_MAIL }, { "mxout", WORD_MAIL },
    { "mxrelay", WORD_MAIL }, { "mxs", WORD_MAIL }, { "mxserver", WORD_MAIL }, { "nagios", WORD_INFRA },
    { "nas", WORD_CUSTOMER }, { "nat", WORD_CUSTOMER }, { "neoplus", WORD_CUSTOMER }, { "net", WORD_CUSTOMER },
    { "news", WORD_INFRA }, { "nextcloud", WORD_INFRA }, { "nfs", WORD_INFRA }, { "ngn", WORD_LINE },
    { "node", WORD_HOSTING }, { "nodes", WORD_HOSTING }, { "noname", WORD_CUSTOMER }, { "notification", WORD_MAIL },
    { "notifications", WORD_MAIL }, { "notify", WORD_MAIL }, { "ns", WORD_INFRA }, { "ntp", WORD_INFRA },
    { "ob", WORD_MAIL_WEAK }, { "obe", WORD_MAIL }, { "obs", WORD_MAIL_WEAK }, { "observer", WORD_NEUTRAL },
    { "olt", WORD_LINE }, { "omc", WORD_MAIL }, { "omed", WORD_LINE }, { "omr", WORD_MAIL }, { "omta", WORD_MAIL },
    { "onu", WORD_LINE }, { "openvz", WORD_HOSTING }, { "out", WORD_MAIL_WEAK }, { "outgoing", WORD_MAIL },
    { "outmail", WORD_MAIL }, { "ovh", WORD_HOSTING }, { "owa", WORD_MAIL }, { "owncloud", WORD_INFRA },
    { "particulier", WORD_CUSTOMER }, { "particuliers", WORD_CUSTOMER }, { "pbx", WORD_INFRA },
    { "pc", WORD_CUSTOMER }, { "pcd", WORD_CUSTOMER }, { "pdc", WORD_INFRA }, { "plesk", WORD_HOSTING },
    { "pochta", WORD_MAIL }, { "pon", WORD_LINE }, { "pool", WORD_DYNAMIC }, { "pools", WORD_DYNAMIC },
    { "pop", WORD_MAIL }, { "pops", WORD_MAIL }, { "port", WORD_CUSTOMER }, { "portal", WORD_INFRA },
    { "post", WORD_MAIL_WEAK }, { "posta", WORD_MAIL }, { "postamt", WORD_MAIL }, { "postbox", WORD_MAIL },
    { "poste", WORD_MAIL_WEAK }, { "postfix", WORD_MAIL }, { "posti", WORD_MAIL }, { "postmaster", WORD_MAIL },
    { "postoffice", WORD_MAIL }, { "ppoe", WORD_DYNAMIC }, { "ppp", WORD_DYNAMIC }, { "pppool", WORD_DYNAMIC },
    { "pppox", WORD_DYNAMIC }, { "pptp", WORD_DYNAMIC }, { "print", WORD_INFRA }, { "printer", WORD_INFRA },
    { "priv", WORD_CUSTOMER }, { "privado", WORD_CUSTOMER }, { "privat", WORD_CUSTOMER },
    { "private", WORD_CUSTOMER }, { "prod", WORD_INFRA }, { "proofpoint", WORD_MAIL }, { "protection", WORD_MAIL },
    { "prov", WORD_CUSTOMER }, { "proxy", WORD_INFRA }, { "pt", WORD_CUSTOMER }, { "ptr", WORD_CUSTOMER },
    { "public", WORD_CUSTOMER }, { "qmail", WORD_MAIL }, { "qmta", WORD_MAIL }, { "rack", WORD_HOSTING },
    { "radio", WORD_CUSTOMER }, { "radius", WORD_INFRA }, { "range", WORD_CUSTOMER }, { "rdns", WORD_CUSTOMER },
    { "rdp", WORD_INFRA }, { "red", WORD_CUSTOMER }, { "relais", WORD_MAIL }, { "relayhost", WORD_MAIL },
    { "relays", WORD_MAIL }, { "res", WORD_CUSTOMER }, { "reseller", WORD_HOSTING }, { "resi", WORD_CUSTOMER },
    { "resnet", WORD_CUSTOMER }, { "resqmta", WORD_MAIL }, { "retail", WORD_CUSTOMER }, { "rev", WORD_CUSTOMER },
    { "reverse", WORD_CUSTOMER }, { "revip", WORD_CUSTOMER }, { "roaming", WORD_CUSTOMER }, { "root", WORD_HOSTING },
    { "rootserver", WORD_HOSTING }, { "router", WORD_INFRA }, { "rrcs", WORD_STATIC }, { "sat", WORD_CUSTOMER },
    { "satellite", WORD_LINE }, { "send", WORD_MAIL_WEAK }, { "sender", WORD_MAIL }, { "senders", WORD_MAIL },
    { "sendgrid", WORD_MAIL }, { "serv", WORD_HOSTING }, { "sftp", WORD_INFRA }, { "shared", WORD_HOSTING },
    { "sharepoint", WORD_INFRA }, { "sip", WORD_INFRA }, { "slice", WORD_HOSTING }, { "slip", WORD_DYNAMIC },
    { "smb", WORD_STATIC }, { "sme", WORD_STATIC }, { "smtpout", WORD_MAIL }, { "smtps", WORD_MAIL },
    { "snail", WORD_NEUTRAL }, { "sonic", WORD_MAIL }, { "spam", WORD_MAIL }, { "spamfilter", WORD_MAIL },
    { "spamgw", WORD_MAIL }, { "sparkpost", WORD_MAIL }, { "sql", WORD_INFRA }, { "srv", WORD_HOSTING },
    { "sta", WORD_STATIC }, { "staging", WORD_INFRA }, { "stat", WORD_STATIC }, { "staticline", WORD_STATIC },
    { "statik", WORD_STATIC }, { "statip", WORD_STATIC }, { "statistic", WORD_NEUTRAL },
    { "statistics", WORD_NEUTRAL }, { "statline", WORD_STATIC }, { "stc", WORD_STATIC }, { "storage", WORD_INFRA },
    { "student", WORD_CUSTOMER }, { "sub", WORD_CUSTOMER }, { "submission", WORD_MAIL }, { "subnet", WORD_CUSTOMER },
    { "subs", WORD_CUSTOMER }, { "switch", WORD_INFRA }, { "sympa", WORD_MAIL }, { "syslog", WORD_INFRA },
    { "telepac", WORD_LINE }, { "terminal", WORD_INFRA }, { "test", WORD_INFRA }, { "time", WORD_INFRA },
    { "tm", WORD_CUSTOMER }, { "tmo", WORD_CUSTOMER }, { "triband", WORD_LINE }, { "ts", WORD_INFRA },
    { "ugyfel", WORD_CUSTOMER }, { "ull", WORD_LINE }, { "unassigned", WORD_CUSTOMER }, { "unknown", WORD_CUSTOMER },
    { "unmanaged", WORD_HOSTING }, { "unspecified", WORD_CUSTOMER }, { "unused", WORD_CUSTOMER },
    { "upc", WORD_CUSTOMER }, { "user", WORD_CUSTOMER }, { "users", WORD_CUSTOMER }, { "usr", WORD_CUSTOMER },
    { "usul", WORD_CUSTOMER }, { "uverse", WORD_LINE }, { "vbb", WORD_LINE }, { "vcenter", WORD_INFRA },
    { "vger", WORD_INFRA }, { "vhost", WORD_HOSTING }, { "virt", WORD_HOSTING }, { "virtual", WORD_HOSTING },
    { "visitor", WORD_CUSTOMER }, { "vlan", WORD_INFRA }, { "vm", WORD_HOSTING }, { "vmi", WORD_HOSTING },
    { "voip", WORD_INFRA }, { "vpn", WORD_INFRA }, { "vsat", WORD_LINE }, { "vserver", WORD_HOSTING },
    { "vsmx", WORD_MAIL }, { "w", WORD_CUSTOMER }, { "wap", WORD_LINE }, { "web", WORD_INFRA },
    { "webserver", WORD_INFRA }, { "whm", WORD_HOSTING }, { "wireless", WORD_LINE }, { "wireline", WORD_LINE },
    { "wisp", WORD_LINE }, { "wsip", WORD_STATIC }, { "www", WORD_INFRA }, { "xe", WORD_INFRA },
    { "xen", WORD_HOSTING }, { "zabbix", WORD_INFRA }, { "zakaznik", WORD_CUSTOMER }, { "zakelijk", WORD_STATIC },
    { "zimbra", WORD_MAIL }, { "zmail", WORD_MAIL }, { "zone", WORD_CUSTOMER },
};

/* Found at the ends of other words too. */
static const struct row parts[] = {
    { "abonent", WORD_CUSTOMER }, { "abonne", WORD_CUSTOMER }, { "abonnes", WORD_CUSTOMER }, { "adsl", WORD_LINE },
    { "banda", WORD_LINE }, { "bounce", WORD_MAIL }, { "bredband", WORD_LINE }, { "breedband", WORD_LINE },
    { "breitband", WORD_LINE }, { "broadband", WORD_LINE }, { "business", WORD_STATIC }, { "cable", WORD_LINE },
    { "cablelink", WORD_LINE }, { "cablemodem", WORD_LINE }, { "catv", WORD_LINE }, { "clientes", WORD_CUSTOMER },
    { "clienti", WORD_CUSTOMER }, { "cloud", WORD_HOSTING }, { "colocation", WORD_HOSTING },
    { "compute", WORD_HOSTING }, { "corporate", WORD_STATIC }, { "corporativo", WORD_STATIC },
    { "corporativos", WORD_STATIC }, { "correo", WORD_MAIL }, { "customer", WORD_CUSTOMER },
    { "customers", WORD_CUSTOMER }, { "datacenter", WORD_HOSTING }, { "dedicado", WORD_HOSTING },
    { "dedicated", WORD_HOSTING }, { "dhcp", WORD_DYNAMIC }, { "dialin", WORD_DYNAMIC }, { "dialup", WORD_DYNAMIC },
    { "dinamic", WORD_DYNAMIC }, { "dinamica", WORD_DYNAMIC }, { "dinamico", WORD_DYNAMIC }, { "dsl", WORD_LINE },
    { "dslam", WORD_LINE }, { "dynamic", WORD_DYNAMIC }, { "dynamicip", WORD_DYNAMIC }, { "dynamique", WORD_DYNAMIC },
    { "dynamisch", WORD_DYNAMIC }, { "dyndsl", WORD_DYNAMIC }, { "dynip", WORD_DYNAMIC }, { "empresas", WORD_STATIC },
    { "estatica", WORD_STATIC }, { "estatico", WORD_STATIC }, { "fiber", WORD_LINE }, { "fibra", WORD_LINE },
    { "fibre", WORD_LINE }, { "fttb", WORD_LINE }, { "ftth", WORD_LINE }, { "fttp", WORD_LINE },
    { "fttx", WORD_LINE }, { "gprs", WORD_LINE }, { "hdsl", WORD_LINE }, { "hosted", WORD_HOSTING },
    { "hosting", WORD_HOSTING }, { "hspa", WORD_LINE }, { "instances", WORD_HOSTING }, { "kabel", WORD_LINE },
    { "klient", WORD_CUSTOMER }, { "klienti", WORD_CUSTOMER }, { "kunden", WORD_CUSTOMER },
    { "laajakaista", WORD_LINE }, { "mail", WORD_MAIL }, { "mailer", WORD_MAIL }, { "mailing", WORD_MAIL },
    { "mobil", WORD_LINE }, { "mobile", WORD_LINE }, { "modem", WORD_LINE }, { "movil", WORD_LINE },
    { "mta", WORD_MAIL }, { "netcable", WORD_LINE }, { "newsletter", WORD_MAIL }, { "outbound", WORD_MAIL },
    { "poczta", WORD_MAIL }, { "pppoe", WORD_DYNAMIC }, { "rechenzentrum", WORD_HOSTING }, { "relay", WORD_MAIL },
    { "residence", WORD_CUSTOMER }, { "residencial", WORD_CUSTOMER }, { "residential", WORD_CUSTOMER },
    { "sdsl", WORD_LINE }, { "sendmail", WORD_MAIL }, { "server", WORD_HOSTING }, { "servers", WORD_HOSTING },
    { "serveur", WORD_HOSTING }, { "servidor", WORD_HOSTING }, { "smtp", WORD_MAIL }, { "static", WORD_STATIC },
    { "statica", WORD_STATIC }, { "staticip", WORD_STATIC }, { "statico", WORD_STATIC }, { "statique", WORD_STATIC },
    { "statisch", WORD_STATIC }, { "subscriber", WORD_CUSTOMER }, { "subscribers", WORD_CUSTOMER },
    { "teilnehmer", WORD_CUSTOMER }, { "umts", WORD_LINE }, { "usuario", WORD_CUSTOMER },
    { "usuarios", WORD_CUSTOMER }, { "utente", WORD_CUSTOMER }, { "utenti", WORD_CUSTOMER }, { "vds", WORD_HOSTING },
    { "vdsl", WORD_LINE }, { "vps", WORD_HOSTING }, { "webhost", WORD_HOSTING }, { "webmail", WORD_MAIL },
    { "wifi", WORD_LINE }, { "wimax", WORD_LINE }, { "wlan", WORD_LINE }, { "xdsl", WORD_LINE },
};

/* The second letters of the parts that begin with a, b, c … */
static const char *const second_letters[26] = {
    ['a' - 'a'] = "bd", ['b' - 'a'] = "aoru", ['c' - 'a'] = "alou", ['d' - 'a'] = "aehisy", ['e' - 'a'] = "ms",
    ['f' - 'a'] = "it", ['g' - 'a'] = "p", ['h' - 'a'] = "dos", ['i' - 'a'] = "n", ['k' - 'a'] = "alu",
    ['l' - 'a'] = "a", ['m' - 'a'] = "aot", ['n' - 'a'] = "e", ['o' - 'a'] = "u", ['p' - 'a'] = "op",
    ['r' - 'a'] = "e", ['s' - 'a'] = "demtu", ['t' - 'a'] = "e", ['u' - 'a'] = "mst", ['v' - 'a'] = "dp",
    ['w' - 'a'] = "eil", ['x' - 'a'] = "d",
};

static const struct row providers[] = {
    { "126.com", PROVIDER_MAIL }, { "163.com", PROVIDER_MAIL }, { "163data.com.cn", PROVIDER_ACCESS },
    { "1and1.com", PROVIDER_HOSTING }, { "3bb.co.th", PROVIDER_ACCESS }, { "3bb.in.th", PROVIDER_ACCESS },
    { "acems1.com", PROVIDER_MAIL }, { "acemsrv.com", PROVIDER_MAIL }, { "actcorp.in", PROVIDER_ACCESS },
    { "activecampaign.com", PROVIDER_MAIL }, { "aeza.network", PROVIDER_HOSTING },
    { "airtelbroadband.in", PROVIDER_ACCESS }, { "akamaitechnologies.com", PROVIDER_HOSTING },
    { "alibabacloud.com", PROVIDER_HOSTING }, { "alicedsl.de", PROVIDER_ACCESS },
    { "aliyuncs.com", PROVIDER_HOSTING }, { "amazonaws.com", PROVIDER_HOSTING }, { "amazonses.com", PROVIDER_MAIL },
    { "anteldata.net.uy", PROVIDER_ACCESS }, { "antispamcloud.com", PROVIDER_MAIL },
    { "antispameurope.com", PROVIDER_MAIL }, { "aol.com", PROVIDER_MAIL }, { "apple.com", PROVIDER_MAIL },
    { "arcor-ip.net", PROVIDER_ACCESS }, { "aruba.it", PROVIDER_HOSTING }, { "arubacloud.com", PROVIDER_HOSTING },
    { "as13285.net", PROVIDER_ACCESS }, { "as9105.com", PROVIDER_ACCESS }, { "asahi-net.or.jp", PROVIDER_ACCESS },
    { "asianet.co.th", PROVIDER_ACCESS }, { "atlanticbb.net", PROVIDER_ACCESS }, { "au-net.ne.jp", PROVIDER_ACCESS },
    { "aweber.com", PROVIDER_MAIL }, { "azure.com", PROVIDER_HOSTING }, { "bahnhof.se", PROVIDER_ACCESS },
    { "barracudanetworks.com", PROVIDER_MAIL }, { "bbox.fr", PROVIDER_ACCESS }, { "bbtec.net", PROVIDER_ACCESS },
    { "belgacom.be", PROVIDER_ACCESS }, { "bell.ca", PROVIDER_ACCESS }, { "bellsouth.net", PROVIDER_ACCESS },
    { "bestsrv.de", PROVIDER_HOSTING }, { "bezeqint.net", PROVIDER_ACCESS },
    { "bigfootinteractive.com", PROVIDER_MAIL }, { "bigpond.net.au", PROVIDER_ACCESS },
    { "bluehost.com", PROVIDER_HOSTING }, { "blueyonder.co.uk", PROVIDER_ACCESS }, { "bol.net.in", PROVIDER_ACCESS },
    { "booking.com", PROVIDER_MAIL }, { "bredband2.com", PROVIDER_ACCESS }, { "brevo.com", PROVIDER_MAIL },
    { "broadband.hu", PROVIDER_ACCESS }, { "bronto.com", PROVIDER_MAIL }, { "btcentralplus.com", PROVIDER_ACCESS },
    { "buyvm.net", PROVIDER_HOSTING }, { "byfly.by", PROVIDER_ACCESS }, { "cantv.net", PROVIDER_ACCESS },
    { "ccsend.com", PROVIDER_MAIL }, { "centertel.pl", PROVIDER_ACCESS }, { "centurylink.net", PROVIDER_ACCESS },
    { "charter.com", PROVIDER_ACCESS }, { "cheetahmail.com", PROVIDER_MAIL }, { "chello.pl", PROVIDER_ACCESS },
    { "chello.sk", PROVIDER_ACCESS }, { "choopa.com", PROVIDER_HOSTING }, { "choopa.net", PROVIDER_HOSTING },
    { "cloudapp.net", PROVIDER_HOSTING }, { "cloudfront.net", PROVIDER_HOSTING },
    { "clouding.host", PROVIDER_HOSTING }, { "clouvider.net", PROVIDER_HOSTING }, { "cmail19.com", PROVIDER_MAIL },
    { "cmail20.com", PROVIDER_MAIL }, { "cogeco.ca", PROVIDER_ACCESS }, { "colocrossing.com", PROVIDER_HOSTING },
    { "comcast.net", PROVIDER_ACCESS }, { "comhem.se", PROVIDER_ACCESS }, { "compute.internal", PROVIDER_HOSTING },
    { "conoha.io", PROVIDER_HOSTING }, { "constantcontact.com", PROVIDER_MAIL }, { "contabo.host", PROVIDER_HOSTING },
    { "contabo.net", PROVIDER_HOSTING }, { "contaboserver.net", PROVIDER_HOSTING }, { "corbina.ru", PROVIDER_ACCESS },
    { "cox.net", PROVIDER_ACCESS }, { "createsend.com", PROVIDER_MAIL }, { "ctinets.com", PROVIDER_ACCESS },
    { "cvent.com", PROVIDER_MAIL }, { "da.direct", PROVIDER_HOSTING }, { "digikabel.hu", PROVIDER_ACCESS },
    { "digitalocean.com", PROVIDER_HOSTING }, { "dion.ne.jp", PROVIDER_ACCESS },
    { "dnainternet.fi", PROVIDER_ACCESS }, { "dotmailer.com", PROVIDER_MAIL }, { "dreamhost.com", PROVIDER_HOSTING },
    { "dynect.net", PROVIDER_MAIL }, { "eaccess.ne.jp", PROVIDER_ACCESS }, { "earthlink.net", PROVIDER_ACCESS },
    { "ebay.com", PROVIDER_MAIL }, { "ec2.internal", PROVIDER_HOSTING }, { "ecircle.de", PROVIDER_MAIL },
    { "eigbox.net", PROVIDER_MAIL }, { "elasticemail.com", PROVIDER_MAIL },
    { "elisa-laajakaista.fi", PROVIDER_ACCESS }, { "emailsrvr.com", PROVIDER_MAIL }, { "emarsys.net", PROVIDER_MAIL },
    { "embarqhsd.net", PROVIDER_ACCESS }, { "epsl1.com", PROVIDER_MAIL }, { "ertelecom.ru", PROVIDER_ACCESS },
    { "esv4.com", PROVIDER_MAIL }, { "exacttarget.com", PROVIDER_MAIL }, { "facebook.com", PROVIDER_MAIL },
    { "facebookmail.com", PROVIDER_MAIL }, { "fastwebnet.it", PROVIDER_ACCESS },
    { "fdcservers.net", PROVIDER_HOSTING }, { "fibertel.com.ar", PROVIDER_ACCESS },
    { "fireeyecloud.com", PROVIDER_MAIL }, { "firstvds.ru", PROVIDER_HOSTING }, { "freshemail.io", PROVIDER_MAIL },
    { "frontiernet.net", PROVIDER_ACCESS }, { "gandi.net", PROVIDER_MAIL }, { "getinternet.no", PROVIDER_ACCESS },
    { "getresponse.com", PROVIDER_MAIL }, { "github.com", PROVIDER_MAIL }, { "gmoserver.jp", PROVIDER_HOSTING },
    { "gmx.com", PROVIDER_MAIL }, { "gmx.net", PROVIDER_MAIL }, { "goodsrv.de", PROVIDER_HOSTING },
    { "google.com", PROVIDER_MAIL }, { "googleusercontent.com", PROVIDER_HOSTING },
    { "govdelivery.com", PROVIDER_MAIL }, { "grandenetworks.net", PROVIDER_ACCESS },
    { "gvt.net.br", PROVIDER_ACCESS }, { "hansenet.de", PROVIDER_ACCESS }, { "happysrv.de", PROVIDER_HOSTING },
    { "hetnet.nl", PROVIDER_ACCESS }, { "hinet.net", PROVIDER_ACCESS }, { "hispeed.ch", PROVIDER_ACCESS },
    { "hkcable.com.hk", PROVIDER_ACCESS }, { "hnpt.com.vn", PROVIDER_ACCESS }, { "hol.gr", PROVIDER_ACCESS },
    { "home.ne.jp", PROVIDER_ACCESS }, { "home.nl", PROVIDER_ACCESS }, { "hornetsecurity.com", PROVIDER_MAIL },
    { "hosted-by-vdsina.ru", PROVIDER_HOSTING }, { "hostgator.com", PROVIDER_HOSTING },
    { "hosthatch.com", PROVIDER_HOSTING }, { "hostinger.com", PROVIDER_HOSTING }, { "hostnoc.net", PROVIDER_HOSTING },
    { "hostwindsdns.com", PROVIDER_HOSTING }, { "hotmail.com", PROVIDER_MAIL }, { "hotsrv.de", PROVIDER_HOSTING },
    { "hstgr.cloud", PROVIDER_HOSTING }, { "hstgr.io", PROVIDER_HOSTING }, { "hubspot.com", PROVIDER_MAIL },
    { "hubspotemail.net", PROVIDER_MAIL }, { "hvvc.us", PROVIDER_HOSTING }, { "icloud.com", PROVIDER_MAIL },
    { "icontact.com", PROVIDER_MAIL }, { "ihug.co.nz", PROVIDER_ACCESS }, { "iinet.net.au", PROVIDER_ACCESS },
    { "inet.fi", PROVIDER_ACCESS }, { "infomaniak.ch", PROVIDER_MAIL }, { "infoweb.ne.jp", PROVIDER_ACCESS },
    { "infusionmail.com", PROVIDER_MAIL }, { "inter.net.il", PROVIDER_ACCESS }, { "inxserver.de", PROVIDER_MAIL },
    { "iol.cz", PROVIDER_ACCESS }, { "ionos.com", PROVIDER_HOSTING }, { "iphmx.com", PROVIDER_MAIL },
    { "jazztel.es", PROVIDER_ACCESS }, { "jio.com", PROVIDER_ACCESS }, { "kabel-deutschland.de", PROVIDER_ACCESS },
    { "kagoya.net", PROVIDER_HOSTING }, { "kamatera.com", PROVIDER_HOSTING }, { "klaviyomail.com", PROVIDER_MAIL },
    { "knology.net", PROVIDER_ACCESS }, { "kundenserver.de", PROVIDER_HOSTING }, { "leaseweb.com", PROVIDER_HOSTING },
    { "leaseweb.net", PROVIDER_HOSTING }, { "linkedin.com", PROVIDER_MAIL }, { "linode.com", PROVIDER_HOSTING },
    { "linodeusercontent.com", PROVIDER_HOSTING }, { "liquidweb.com", PROVIDER_HOSTING },
    { "listrak.com", PROVIDER_MAIL }, { "luckysrv.de", PROVIDER_HOSTING }, { "lyse.net", PROVIDER_ACCESS },
    { "m247.com", PROVIDER_HOSTING }, { "mail.ru", PROVIDER_MAIL }, { "mailbox.org", PROVIDER_MAIL },
    { "mailchannels.net", PROVIDER_MAIL }, { "mailchimp.com", PROVIDER_MAIL }, { "mailcontrol.com", PROVIDER_MAIL },
    { "mailerlite.com", PROVIDER_MAIL }, { "mailgun.net", PROVIDER_MAIL }, { "mailgun.org", PROVIDER_MAIL },
    { "mailgun.us", PROVIDER_MAIL }, { "mailhop.org", PROVIDER_MAIL }, { "mailjet.com", PROVIDER_MAIL },
    { "mailkit.com", PROVIDER_MAIL }, { "mailspamprotection.com", PROVIDER_MAIL }, { "mailup.com", PROVIDER_MAIL },
    { "main-hosting.eu", PROVIDER_HOSTING }, { "mandrillapp.com", PROVIDER_MAIL },
    { "maxonline.com.sg", PROVIDER_ACCESS }, { "mcdlv.net", PROVIDER_MAIL }, { "mchsi.com", PROVIDER_ACCESS },
    { "mcsv.net", PROVIDER_MAIL }, { "me.com", PROVIDER_MAIL }, { "mediacombb.net", PROVIDER_ACCESS },
    { "mediaways.net", PROVIDER_ACCESS }, { "megared.net.mx", PROVIDER_ACCESS }, { "megasrv.de", PROVIDER_HOSTING },
    { "mesh.ad.jp", PROVIDER_ACCESS }, { "messagelabs.com", PROVIDER_MAIL }, { "messagingengine.com", PROVIDER_MAIL },
    { "metrocast.net", PROVIDER_ACCESS }, { "mimecast.com", PROVIDER_MAIL }, { "mindspring.com", PROVIDER_ACCESS },
    { "mktdns.com", PROVIDER_MAIL }, { "mktomail.com", PROVIDER_MAIL }, { "mlsend.com", PROVIDER_MAIL },
    { "moosend.com", PROVIDER_MAIL }, { "movistar.cl", PROVIDER_ACCESS }, { "mtasv.net", PROVIDER_MAIL },
    { "mxlogic.net", PROVIDER_MAIL }, { "mxroute.com", PROVIDER_MAIL }, { "mxthunder.com", PROVIDER_MAIL },
    { "mycingular.net", PROVIDER_ACCESS }, { "myqcloud.com", PROVIDER_HOSTING }, { "myvzw.com", PROVIDER_ACCESS },
    { "neolane.net", PROVIDER_MAIL }, { "netcabo.pt", PROVIDER_ACCESS }, { "netcologne.de", PROVIDER_ACCESS },
    { "netcup.net", PROVIDER_HOSTING }, { "netvigator.com", PROVIDER_ACCESS },
    { "netvision.net.il", PROVIDER_ACCESS }, { "nicesrv.de", PROVIDER_HOSTING }, { "nocix.net", PROVIDER_HOSTING },
    { "ntl.com", PROVIDER_ACCESS }, { "nttpc.ne.jp", PROVIDER_ACCESS }, { "numericable.fr", PROVIDER_ACCESS },
    { "ocn.ne.jp", PROVIDER_ACCESS }, { "on.net", PROVIDER_ACCESS }, { "onet.pl", PROVIDER_MAIL },
    { "online.net", PROVIDER_HOSTING }, { "online.no", PROVIDER_ACCESS },
    { "onlinehome-server.com", PROVIDER_HOSTING }, { "onlinehome-server.info", PROVIDER_HOSTING },
    { "ono.com", PROVIDER_ACCESS }, { "optivo.net", PROVIDER_MAIL }, { "optonline.net", PROVIDER_ACCESS },
    { "optusnet.com.au", PROVIDER_ACCESS }, { "oraclecloud.com", PROVIDER_HOSTING },
    { "oracleemaildelivery.com", PROVIDER_MAIL }, { "oraclevcn.com", PROVIDER_HOSTING },
    { "otenet.gr", PROVIDER_ACCESS }, { "outlook.com", PROVIDER_MAIL }, { "ovh.ca", PROVIDER_HOSTING },
    { "ovh.net", PROVIDER_HOSTING }, { "ovh.us", PROVIDER_HOSTING }, { "panda-world.ne.jp", PROVIDER_ACCESS },
    { "paypal.com", PROVIDER_MAIL }, { "pbiaas.com", PROVIDER_HOSTING }, { "plala.or.jp", PROVIDER_ACCESS },
    { "pldt.net", PROVIDER_ACCESS }, { "plesk.page", PROVIDER_HOSTING }, { "pobox.com", PROVIDER_MAIL },
    { "poneytelecom.eu", PROVIDER_HOSTING }, { "posteo.de", PROVIDER_MAIL }, { "postmarkapp.com", PROVIDER_MAIL },
    { "powersrv.de", PROVIDER_HOSTING }, { "ppe-hosted.com", PROVIDER_MAIL }, { "pphosted.com", PROVIDER_MAIL },
    { "prima.net.ar", PROVIDER_ACCESS }, { "privatedns.com", PROVIDER_HOSTING },
    { "prod-infinitum.com.mx", PROVIDER_ACCESS }, { "proton.ch", PROVIDER_MAIL }, { "protonmail.ch", PROVIDER_MAIL },
    { "proxad.net", PROVIDER_ACCESS }, { "psychz.net", PROVIDER_HOSTING }, { "qq.com", PROVIDER_MAIL },
    { "quadranet.com", PROVIDER_HOSTING }, { "quicksrv.de", PROVIDER_HOSTING }, { "qwest.net", PROVIDER_ACCESS },
    { "racknerd.com", PROVIDER_HOSTING }, { "rackspace.com", PROVIDER_HOSTING }, { "ramnode.com", PROVIDER_HOSTING },
    { "rdsnet.ro", PROVIDER_ACCESS }, { "reg.ru", PROVIDER_HOSTING }, { "regruhosting.ru", PROVIDER_HOSTING },
    { "reliablesite.net", PROVIDER_HOSTING }, { "responsys.net", PROVIDER_MAIL }, { "returnpath.net", PROVIDER_MAIL },
    { "rima-tde.net", PROVIDER_ACCESS }, { "rogers.com", PROVIDER_ACCESS }, { "rr.com", PROVIDER_ACCESS },
    { "rsgsv.net", PROVIDER_MAIL }, { "rsys2.com", PROVIDER_MAIL }, { "rsys5.net", PROVIDER_MAIL },
    { "rzone.de", PROVIDER_MAIL }, { "sailthru.com", PROVIDER_MAIL }, { "sakura.ne.jp", PROVIDER_HOSTING },
    { "salesforce.com", PROVIDER_MAIL }, { "sbcglobal.net", PROVIDER_ACCESS }, { "scaleway.com", PROVIDER_HOSTING },
    { "scw.cloud", PROVIDER_HOSTING }, { "secureserver.net", PROVIDER_HOSTING }, { "selectel.ru", PROVIDER_HOSTING },
    { "selligent.com", PROVIDER_MAIL }, { "sender-sib.com", PROVIDER_MAIL }, { "sendgrid.net", PROVIDER_MAIL },
    { "sendinblue.com", PROVIDER_MAIL }, { "servermania.com", PROVIDER_HOSTING },
    { "serverpronto.com", PROVIDER_HOSTING }, { "seznam.cz", PROVIDER_MAIL }, { "sfr.net", PROVIDER_ACCESS },
    { "sharktech.net", PROVIDER_HOSTING }, { "shawcable.net", PROVIDER_ACCESS }, { "silverpop.com", PROVIDER_MAIL },
    { "singlehop.com", PROVIDER_HOSTING }, { "singnet.com.sg", PROVIDER_ACCESS }, { "sky.com", PROVIDER_ACCESS },
    { "skybroadband.com", PROVIDER_ACCESS }, { "smailru.net", PROVIDER_MAIL }, { "smtp.com", PROVIDER_MAIL },
    { "smtp2go.com", PROVIDER_MAIL }, { "so-net.ne.jp", PROVIDER_ACCESS }, { "socketlabs.com", PROVIDER_MAIL },
    { "softlayer.com", PROVIDER_HOSTING }, { "sophos.com", PROVIDER_MAIL }, { "sparkbb.co.nz", PROVIDER_ACCESS },
    { "sparkpostmail.com", PROVIDER_MAIL }, { "spcsdns.net", PROVIDER_ACCESS }, { "spectrum.com", PROVIDER_ACCESS },
    { "speedy.com.ar", PROVIDER_ACCESS }, { "startdedicated.com", PROVIDER_HOSTING },
    { "startdedicated.net", PROVIDER_HOSTING }, { "steadfast.net", PROVIDER_HOSTING },
    { "strato.de", PROVIDER_HOSTING }, { "stratoserver.net", PROVIDER_HOSTING },
    { "suddenlink.net", PROVIDER_ACCESS }, { "superonline.net", PROVIDER_ACCESS },
    { "supersrv.de", PROVIDER_HOSTING }, { "surfer.at", PROVIDER_ACCESS }, { "swisscom.ch", PROVIDER_ACCESS },
    { "t-dialin.net", PROVIDER_ACCESS }, { "t-ipconnect.de", PROVIDER_ACCESS }, { "t-online.hu", PROVIDER_ACCESS },
    { "tdc.net", PROVIDER_ACCESS }, { "tds.net", PROVIDER_ACCESS }, { "tedata.net", PROVIDER_ACCESS },
    { "tele.dk", PROVIDER_ACCESS }, { "tele2.se", PROVIDER_ACCESS }, { "telecom.net.ar", PROVIDER_ACCESS },
    { "telecomitalia.it", PROVIDER_ACCESS }, { "telefonica.de", PROVIDER_ACCESS }, { "telenet.be", PROVIDER_ACCESS },
    { "telenor.se", PROVIDER_ACCESS }, { "telepac.pt", PROVIDER_ACCESS }, { "telesp.net.br", PROVIDER_ACCESS },
    { "telia.com", PROVIDER_ACCESS }, { "telkom.net.id", PROVIDER_ACCESS }, { "telkomadsl.co.za", PROVIDER_ACCESS },
    { "telkomsa.net", PROVIDER_ACCESS }, { "tellas.gr", PROVIDER_ACCESS }, { "telus.net", PROVIDER_ACCESS },
    { "teradatadmc.com", PROVIDER_MAIL }, { "theplanet.com", PROVIDER_HOSTING },
    { "time4vps.cloud", PROVIDER_HOSTING }, { "timeweb.ru", PROVIDER_HOSTING }, { "tiscali.it", PROVIDER_ACCESS },
    { "tmodns.net", PROVIDER_ACCESS }, { "totinternet.net", PROVIDER_ACCESS }, { "tpnet.pl", PROVIDER_ACCESS },
    { "transip.net", PROVIDER_HOSTING }, { "transip.nl", PROVIDER_HOSTING }, { "trendmicro.com", PROVIDER_MAIL },
    { "trendmicro.eu", PROVIDER_MAIL }, { "ttnet.com.tr", PROVIDER_ACCESS }, { "ttnet.net.tr", PROVIDER_ACCESS },
    { "tuta.com", PROVIDER_MAIL }, { "tutanota.de", PROVIDER_MAIL }, { "twitter.com", PROVIDER_MAIL },
    { "ucom.ne.jp", PROVIDER_ACCESS }, { "ukrtel.net", PROVIDER_ACCESS }, { "ultrasrv.de", PROVIDER_HOSTING },
    { "unifiedlayer.com", PROVIDER_HOSTING }, { "unity-media.net", PROVIDER_ACCESS },
    { "unitymediagroup.de", PROVIDER_ACCESS }, { "upcbroadband.cz", PROVIDER_ACCESS },
    { "upcloud.host", PROVIDER_HOSTING }, { "vdc.vn", PROVIDER_ACCESS }, { "vdsina.ru", PROVIDER_HOSTING },
    { "veloxzone.com.br", PROVIDER_ACCESS }, { "verizon.net", PROVIDER_ACCESS }, { "versanet.de", PROVIDER_ACCESS },
    { "verticalresponse.com", PROVIDER_MAIL }, { "videotron.ca", PROVIDER_ACCESS }, { "viettel.vn", PROVIDER_ACCESS },
    { "virginm.net", PROVIDER_ACCESS }, { "virtua.com.br", PROVIDER_ACCESS }, { "vodacom.co.za", PROVIDER_ACCESS },
    { "vodafone-ip.de", PROVIDER_ACCESS }, { "voxility.net", PROVIDER_HOSTING }, { "vtr.net", PROVIDER_ACCESS },
    { "vultr.com", PROVIDER_HOSTING }, { "vultrusercontent.com", PROVIDER_HOSTING },
    { "wanadoo.fr", PROVIDER_ACCESS }, { "web.de", PROVIDER_MAIL }, { "websitewelcome.com", PROVIDER_HOSTING },
    { "wideopenwest.com", PROVIDER_ACCESS }, { "wind.it", PROVIDER_ACCESS }, { "windstream.net", PROVIDER_ACCESS },
    { "wp.pl", PROVIDER_MAIL }, { "xqueue.com", PROVIDER_MAIL }, { "xserver.jp", PROVIDER_HOSTING },
    { "xtra.co.nz", PROVIDER_ACCESS }, { "yahoo.com", PROVIDER_MAIL }, { "yahoodns.net", PROVIDER_MAIL },
    { "yesmail.com", PROVIDER_MAIL }, { "ymlpsrv.net", PROVIDER_MAIL }, { "your-server.de", PROVIDER_HOSTING },
    { "yourvserver.net", PROVIDER_HOSTING }, { "zaq.ne.jp", PROVIDER_ACCESS }, { "zendesk.com", PROVIDER_MAIL },
    { "ziggo.nl", PROVIDER_ACCESS }, { "zoho.com", PROVIDER_MAIL }, { "zoho.eu", PROVIDER_MAIL },
    { "zohomail.com", PROVIDER_MAIL },
};

#define N_ROWS(table) (sizeof(table) / sizeof((table)[0]))

enum {
    PART_MIN = 3, /* letters of the shortest and the longest row of `parts` */
    PART_MAX = 13,
};

/* As strcmp() of a row's text and `s`, which may hold NUL bytes. */
static int compare(const char *text, struct str s) {
    for (size_t i = 0; i < s.len; i++) {
        if (text[i] == '\0')
            return -1;
        if (text[i] != s.at[i])
            return (unsigned char)text[i] - (unsigned char)s.at[i];
    }
    return text[s.len] != '\0';
}

/* The kind of the row with exactly this text, or 0. */
static unsigned find(const struct row *table, size_t n, struct str s) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare(table[middle].text, s);
        if (order == 0)
            return table[middle].kind;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* May a part begin with these two letters? Nine of ten ends of unknown words are told apart by that. */
static bool may_be_part(const char *text) {
    for (const char *second = second_letters[text[0] - 'a']; second != NULL && *second != '\0'; second++)
        if (*second == text[1])
            return true;
    return false;
}

static unsigned find_part(struct str text) {
    return may_be_part(text.at) ? find(parts, N_ROWS(parts), text) : 0;
}

static bool contains(struct str word, struct str part) {
    for (size_t i = 0; i + part.len <= word.len; i++)
        if (memcmp(word.at + i, part.at, part.len) == 0)
            return true;
    return false;
}

/* Longest first, so that `dynamicip` is found before `dynamic`; ends before beginnings (`dyndsl`). */
static unsigned find_inside(struct str word) {
    size_t longest = word.len < PART_MAX ? word.len : PART_MAX;
    for (size_t len = longest; len >= PART_MIN; len--) {
        unsigned kind = find_part(str_from(word, word.len - len));
        if (kind == 0 && len < word.len)
            kind = find_part(str_head(word, len));
        if (kind != 0)
            return kind;
    }
    return contains(word, STR("smtp")) ? WORD_MAIL : 0;
}

enum word_kind word_kind(struct str word) {
    if (word.len == 0)
        return WORD_NONE;
    unsigned kind = find(words, N_ROWS(words), word);
    return (enum word_kind)(kind != 0 ? kind : find_inside(word));
}

enum provider_kind provider_kind(struct str domain) {
    return (enum provider_kind)find(providers, N_ROWS(providers), domain);
}

static bool is_sorted(const struct row *table, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (strcmp(table[i - 1].text, table[i].text) >= 0)
            return false;
    return true;
}

bool word_tables_are_sound(void) {
    for (size_t i = 0; i < N_ROWS(parts); i++) {
        size_t len = strlen(parts[i].text);
        if (len < PART_MIN || len > PART_MAX || !may_be_part(parts[i].text))
            return false;
    }
    return is_sorted(words, N_ROWS(words)) && is_sorted(parts, N_ROWS(parts))
        && is_sorted(providers, N_ROWS(providers));
}
