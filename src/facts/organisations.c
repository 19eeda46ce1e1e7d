/* organisations: see the header. */
#include "facts/organisations.h"

#include "base/hash.h"
#include "facts/helo.h"

struct str organisation_of(struct organisations *seen, struct str name) {
    if (name.len > 0 && name.at[name.len - 1] == '.')
        name.len--;
    if (seen == NULL || name.len == 0 || name.len > UINT8_MAX)
        return helo_organisation(name);
    uint64_t hash = hash_bytes(name.at, name.len) | 1;
    size_t place = (hash >> 32) % ORGANISATIONS_PLACES;
    if (seen->at[place].hash != hash) {
        seen->at[place].hash = hash;
        seen->at[place].len = (uint8_t)helo_organisation(name).len;
    }
    size_t len = seen->at[place].len;
    return len > 0 ? str_from(name, name.len - len) : (struct str){ 0 };
}
