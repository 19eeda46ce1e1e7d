/* shared: loads the module. It stays loaded: what it brought along does not like to be unloaded. */
#include "store/shared.h"

#include <dlfcn.h>

const struct shared_ops *shared_load(const char *path, struct buf *why) {
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct shared_ops *ops = module != NULL ? dlsym(module, "postern_shared") : NULL;
    if (ops == NULL) {
        buf_puts(why, str_of(dlerror()));
    } else if (ops->version != SHARED_VERSION) {
        buf_putf(why, "%s: of another version of Postern", path);
        ops = NULL;
    }
    return ops;
}
