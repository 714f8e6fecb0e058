/*
 * source_folders.c - folders in a Maildir: ".Sent" of Maildir++, or directories that have
 * `cur`. POP3 never showed them; somebody may miss them, though.
 *
 * Must never look where a link leads.
 */
#include "admin/mail/source_impl.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/mem.h"

enum { DEPTH_MAX = 16 };

void source_note_folder(struct source *s, char *path)
{
    s->inner = mem_resize(s->inner, s->inner_count + 1, sizeof *s->inner);
    s->inner[s->inner_count++] = path;
}

void source_forget_folders(struct source *s, size_t first)
{
    while (s->inner_count > first)
        mem_free(s->inner[--s->inner_count]);
}

static bool is_part(const char *name)
{
    return strcmp(name, "new") == 0 || strcmp(name, "cur") == 0 || strcmp(name, "tmp") == 0;
}

/* fd: of the directory, which is closed. */
static void find_in(struct source *s, int fd, const char *dir, int depth)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    struct stat st;

    if (d == NULL)
        close(fd);
    while (d != NULL && (e = readdir(d)) != NULL) {
        struct buf path = BUF_EMPTY;
        int inner;

        if (strspn(e->d_name, ".") == strlen(e->d_name) || is_part(e->d_name) || (depth > 0 && e->d_name[0] == '.'))
            continue;
        inner = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (inner < 0)
            continue;
        buf_addf(&path, "%s/%s", dir, e->d_name);
        if (fstatat(inner, "cur", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
            source_note_folder(s, mem_strn(buf_span(&path).at, buf_left(&path)));
        if (depth < DEPTH_MAX)
            find_in(s, inner, buf_span(&path).at, depth + 1);
        else
            close(inner);
        buf_free(&path);
    }
    if (d != NULL)
        closedir(d);
}

static int by_path(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

void source_sort_folders(struct source *s, size_t first)
{
    if (s->inner_count > first)
        qsort(s->inner + first, s->inner_count - first, sizeof *s->inner, by_path);
}

void source_find_folders(struct source *s, const char *path)
{
    const size_t first = s->inner_count;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    find_in(s, fd, path, 0);
    source_sort_folders(s, first);
}
