/*
 * memory_file: see the header.
 *
 * The model is memfd_create(2) with all seals. Kernels before 6.7 let nothing map a sealed file shared by a descriptor
 * that was opened for writing, whatever the mapping is for; so it is opened a second time, for reading, through /proc.
 * Where there is no /proc the first descriptor has to do.
 */
#include "base/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

int memory_file_new(const char *name) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

int memory_file_copy(int memory_fd, int fd, size_t size) {
    off_t at = 0;
    while ((size_t)at < size) {
        ssize_t n = sendfile(memory_fd, fd, &at, size - (size_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ESTALE;
    }
    return 0;
}

int memory_file_seal(int take_memory_fd) {
    char path[32];
    if (fcntl(take_memory_fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        int r = -errno;
        close(take_memory_fd);
        return r;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", take_memory_fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return take_memory_fd;
    close(take_memory_fd);
    return fd;
}
