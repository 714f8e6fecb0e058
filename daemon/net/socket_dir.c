/*
 * socket_dir.c - makes one directory, and says why it could not. It never
 * touches one that is there, whoever owns it.
 */
#include "daemon/net/socket_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/mem.h"

enum { DIR_MODE = 0755 };

/* What stands in front of the last slash: of "/control" it is "/". To mem_free(). */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash != NULL ? (size_t)(slash - path) : 0;

    return len > 0 ? mem_strn(path, len) : mem_str("/");
}

static bool is_missing(const char *dir)
{
    struct stat st;

    return stat(dir, &st) < 0 && errno == ENOENT;
}

static bool refuse(const char *dir, int why, char **error_r)
{
    mem_error(error_r,
              "the directory %s does not exist and cannot be created: %s; create it with \"install -d -m 755 %s\"", dir,
              strerror(why), dir);
    return false;
}

bool socket_dir_make(const char *path, char **error_r)
{
    char *dir = parent_of(path);
    mode_t before = umask(0777 & ~DIR_MODE);
    bool good = !is_missing(dir) || mkdir(dir, DIR_MODE) == 0 || errno == EEXIST || refuse(dir, errno, error_r);

    umask(before);
    mem_free(dir);
    return good;
}

bool socket_dir_check(const char *path, char **error_r)
{
    char *dir = parent_of(path), *above = parent_of(dir);
    bool good =
        !is_missing(dir) || faccessat(AT_FDCWD, above, W_OK | X_OK, AT_EACCESS) == 0 || refuse(dir, errno, error_r);

    mem_free(above);
    mem_free(dir);
    return good;
}
