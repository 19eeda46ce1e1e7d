/*
 * handover: one packet between two workers of one program, so its layout is the structs' own.
 *
 * The other side is trusted no more than need be: lengths and families are checked, and a packet that does not fit is
 * dropped with its descriptor.
 */
#include "session/handover.h"

#include "net/channel.h"

#include <errno.h>

struct packet {
    struct endpoint peer, client;
    struct ip server;
    uint32_t unread_len;
    uint8_t allows_xclient, may_multiplex, is_local;
    char unread[];
};

int handover_send(int channel_fd, int fd, const struct session_origin *origin, struct str unread) {
    _Alignas(struct packet) char space[sizeof(struct packet) + HANDOVER_UNREAD_MAX];
    if (unread.len > HANDOVER_UNREAD_MAX)
        return -E2BIG;
    struct packet *packet = (struct packet *)space;
    *packet = (struct packet){ .peer = origin->peer, .client = origin->client, .server = origin->server,
                               .unread_len = (uint32_t)unread.len, .allows_xclient = origin->allows_xclient,
                               .may_multiplex = origin->may_multiplex, .is_local = origin->is_local };
    if (unread.len > 0)
        memcpy(packet->unread, unread.at, unread.len);
    return channel_send(channel_fd, packet, sizeof(*packet) + unread.len, &fd, 1);
}

static bool is_address(const struct endpoint *endpoint) {
    return endpoint->ip.family == IP_V4 || endpoint->ip.family == IP_V6;
}

int handover_parse(const void *message, size_t len, struct session_origin *ret_origin, struct str *ret_unread) {
    struct packet packet;
    if (len < sizeof(packet))
        return -EINVAL;
    memcpy(&packet, message, sizeof(packet));
    if (packet.unread_len != len - sizeof(packet) || packet.unread_len > HANDOVER_UNREAD_MAX)
        return -EINVAL;
    if (!is_address(&packet.peer) || !is_address(&packet.client))
        return -EINVAL;
    *ret_origin = (struct session_origin){ .peer = packet.peer, .client = packet.client,
                                           .server = packet.server, .is_settled = true,
                                           .allows_xclient = packet.allows_xclient != 0,
                                           .may_multiplex = packet.may_multiplex != 0,
                                           .is_local = packet.is_local != 0 };
    *ret_unread = (struct str){ (const char *)message + offsetof(struct packet, unread), packet.unread_len };
    return 0;
}
