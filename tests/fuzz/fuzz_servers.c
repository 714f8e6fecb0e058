/* What old servers showed of messages: UIDLs and headers of an mbox, with every cut; messages of DBMail from their parts. */
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "admin/mail/dbmail.c"
#include "admin/mail/fromline.c"
#include "admin/mail/hide.c"
#include "admin/mail/mbox.c"
#include "admin/mail/mbox_server.c"
#include "admin/mail/received.c"
#include "admin/mail/state.c"
#include "admin/mail/uidl_format.c"
#include "daemon/base/buf.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static int file_of(struct span in)
{
    int fd = memfd_create("in", MFD_CLOEXEC);

    MUST(fd >= 0 && write(fd, in.at, in.len) == (ssize_t)in.len);
    return fd;
}

static void gather(void *arg, const char *at, size_t len)
{
    buf_add(arg, at, len);
}

static void count(void *arg, const char *at, size_t len)
{
    MUST(at != NULL);
    *(size_t *)arg += len;
}

/* What is hidden and added does not depend on where the pieces end, and nothing is in the body. */
static void check_hidden(const struct hide_how *how, struct span in, struct cuts c)
{
    struct hide whole = hide_start(how), pieces = hide_start(how);
    struct buf all = BUF_EMPTY, cuts = BUF_EMPTY;

    hide_feed(&whole, in.at, in.len, gather, &all);
    hide_end(&whole, gather, &all);
    while (in.len > 0) {
        struct span piece = exact(cut(&c, &in));
        hide_feed(&pieces, piece.at, piece.len, gather, &cuts);
        exact_free(piece);
    }
    hide_end(&pieces, gather, &cuts);
    MUST(span_is(buf_span(&all), buf_span(&cuts)));
    buf_free(&all);
    buf_free(&cuts);
}

static void check_servers(struct span in, struct cuts c)
{
    static const char *const names[] = { "dovecot", "uw", "popa3d", "qpopper", "mailutils" };
    char *format = strndup(in.at, in.len < 32 ? in.len : 32);
    int fd = file_of(in);

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct mbox_seen seen;
        const char *uidl;

        mbox_seen_begin(&seen, mbox_server_find(names[i]), mbox_server_format_fault(format) == NULL ? format : NULL);
        uidl = mbox_seen_message(&seen, fd, 0, (off_t)in.len);
        MUST(uidl == NULL || (uidl[0] != '\0' && strchr(uidl, '\n') == NULL));
        MUST(seen.hide.add.len == 0 || seen.hide.add.at[seen.hide.add.len - 1] == '\n');
        check_hidden(&seen.hide, in, c);
        mbox_seen_free(&seen);
    }
    (void)mbox_seen_uids(fd);
    free(format);
    close(fd);
}

/* A message of DBMail: each line is a part, its first octets say of which kind and how deep. */
static void check_dbmail(struct span in)
{
    struct dbmail_join join;
    size_t length = 0, given = 0;

    dbmail_join_begin(&join, count, &length);
    while (in.len > 1) {
        struct span part = exact(take_span(&in, in.len < 64 ? in.len : 64));

        if (dbmail_join_part(&join, (part.at[0] & 1) != 0, part.at[0] >> 1, part))
            given += part.len;
        exact_free(part);
    }
    dbmail_join_end(&join);
    MUST(length <= given + (join.parts + 1) * (DBMAIL_DEPTH + 2) * (DBMAIL_BOUNDARY + 8));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    struct cuts c = take_cuts(&in);

    check_servers(in, c);
    check_dbmail(in);
    return 0;
}
