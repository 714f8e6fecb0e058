/*
 * source_dbox.c - mdbox and sdbox, Dovecot's own formats: their files are no messages, and
 * without Dovecot's index nobody knows which of them are still there.
 */
#include "admin/mail/source_impl.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char source_dbox_file[] =
    "is a file of Dovecot's mdbox or sdbox, and not a message: make a Maildir of the mailbox by doveadm backup,"
    " or import from the server by --pop3";

/*
 * A file begins with "2 M1e C5a2b3c4d", and a line that begins with octets 1 and 2 for the first message.
 */
bool source_is_dbox(const char *head, size_t len)
{
    const char *lf = memchr(head, '\n', len < 64 ? len : 64);
    size_t at = 0;

    while (at < len && isdigit((unsigned char)head[at]))
        at++;
    return lf != NULL && at > 0 && len - at > 3 && head[at] == ' ' && head[at + 1] == 'M' &&
           isxdigit((unsigned char)head[at + 2]) && (size_t)(lf + 2 - head) < len && lf[1] == '\1' && lf[2] == '\2';
}

static bool has(const char *dir, const char *name)
{
    struct stat st;
    char *path = NULL;
    bool is;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        abort();
    is = lstat(path, &st) == 0;
    free(path);
    return is;
}

bool source_dbox_named(struct source *s, const char *dir)
{
    const char *name = source_base_name(dir);
    const bool is = strcmp(name, "dbox-Mails") == 0 || has(dir, "dbox-Mails") ||
        has(dir, "mailboxes/INBOX/dbox-Mails") || has(dir, "storage/dovecot.map.index") ||
        has(dir, "storage/dovecot.map.index.log") || has(dir, "dovecot.map.index") || has(dir, "dovecot.map.index.log");

    if (is)
        source_failed(s, dir, "is an mdbox or sdbox of Dovecot, whose files are no messages: make a Maildir of it"
                      " (doveadm backup -u USER maildir:DIRECTORY), or import from the server by --pop3");
    return is;
}
