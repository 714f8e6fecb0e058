/*
 * secrets_export.c - `secrets export`: the password hashes of mailboxes as a passwd-file of
 * Dovecot, for a move to another server.
 *
 * Stored secrets leave the database, unsealed: only for the owner of the schema, who has the keys,
 * into a new file that nobody else may read. Must never print one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/shown.h"
#include "admin/verbs/keyring.h"
#include "auth/scheme/scram.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum { BATCH = 500, LINE_MAX_OCTETS = SCHEME_TEXT_MAX + 64 };
enum { COL_ADDRESS, COL_MAILBOX, COL_ACTIVE, COL_KIND, COL_SECRET, COL_APP_PASSWORDS };

struct leaving {
    FILE *out;
    struct keyring *keyring;    /* NULL: there is no key */
    uint64_t written, left_out, app_passwords;
};

/* What stands in front of a hash of this beginning; those of crypt(3) that Dovecot has no name for are its {CRYPT}. */
static const char *prefix_of(const char *text)
{
    static const struct {
        const char *begin, *prefix;
    } table[] = {
        { "$argon2id$", "{ARGON2ID}" }, { "$argon2i$", "{ARGON2I}" }, { "$6$", "{SHA512-CRYPT}" },
        { "$5$", "{SHA256-CRYPT}" }, { "$2", "{BLF-CRYPT}" }, { "$1$", "{MD5-CRYPT}" }, { "$pbkdf2", NULL },
    };

    if (text[0] == '{')
        return strncasecmp(text, "{PBKDF2-", 8) == 0 || (strncasecmp(text, "{PBKDF2}", 8) == 0 && text[8] != '$') ||
                       strncasecmp(text, "{MD5RAW", 7) == 0
                   ? NULL : "";
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strncmp(text, table[i].begin, strlen(table[i].begin)) == 0)
            return table[i].prefix;
    return "{CRYPT}";
}

static const char *of_scram(const char *kind, const char *text, char out[LINE_MAX_OCTETS])
{
    struct scram_verifier v;
    bool sha1 = strcmp(kind, "scram-sha-1") == 0;

    if (!scram_parse(text, sha1, &v))
        return "its SCRAM verifier is damaged";
    snprintf(out, LINE_MAX_OCTETS, "{SCRAM-SHA-%s}%s,%s,%s,%s", sha1 ? "1" : "256", v.iterations, v.salt, v.stored_key,
             v.server_key);
    secret_wipe(&v, sizeof v);
    return NULL;
}

/* The secret as Dovecot writes it; or why it cannot be (static text). */
static const char *dovecots(const char *kind, const char *text, char out[LINE_MAX_OCTETS])
{
    const char *prefix;

    if (strcmp(kind, "password") != 0)
        return of_scram(kind, text, out);
    if (scheme_is_locked(text))
        return "its password is locked";
    prefix = prefix_of(text);
    if (prefix == NULL)
        return "Dovecot does not know the scheme of its password";
    if (strpbrk(text, ":\r\n") != NULL)
        return "its password has a character that ends a field of the file";
    snprintf(out, LINE_MAX_OCTETS, "%s%s", prefix, text);
    return NULL;
}

/* Unsealed, where it is. */
static const char *opened(const struct leaving *l, const PGresult *res, int row, char out[SCHEME_TEXT_MAX])
{
    const char *stored = PQgetvalue(res, row, COL_SECRET), *why = NULL;
    struct seal_row at = { { 0 }, PQgetvalue(res, row, COL_KIND), { "", 0 } };

    if (!seal_is(stored, NULL)) {
        if (strlen(stored) >= SCHEME_TEXT_MAX)
            return "its secret is damaged";
        snprintf(out, SCHEME_TEXT_MAX, "%s", stored);
        return NULL;
    }
    mailbox_parse(span_str(PQgetvalue(res, row, COL_MAILBOX)), &at.mailbox);
    return seal_open(l->keyring, &at, stored, out, &why) == 0 ? NULL : why;
}

static void one(struct leaving *l, const PGresult *res, int row)
{
    const char *address = PQgetvalue(res, row, COL_ADDRESS), *why = NULL;
    char text[SCHEME_TEXT_MAX], line[LINE_MAX_OCTETS];

    l->app_passwords += strtoull(PQgetvalue(res, row, COL_APP_PASSWORDS), NULL, 10);
    if (PQgetvalue(res, row, COL_ACTIVE)[0] != 't')
        why = "it is disabled";
    else if (PQgetisnull(res, row, COL_SECRET))
        why = "it has no password";
    else if (strpbrk(address, ":\r\n") != NULL)
        why = "its address has a character that ends a field of the file";
    else if ((why = opened(l, res, row, text)) == NULL)
        why = dovecots(PQgetvalue(res, row, COL_KIND), text, line);
    if (why == NULL) {
        fprintf(l->out, "%s:%s::::::\n", address, line);
        l->written++;
    } else {
        l->left_out++;
        ctl_error(CTL_PARTLY, "%s was left out: %s", address, why);
    }
    secret_wipe(text, sizeof text);
    secret_wipe(line, sizeof line);
}

static enum ctl_exit all(struct ctl *c, struct leaving *l)
{
    char domain[CTL_DOMAIN_SIZE], *after = mem_str("");
    enum ctl_exit end = CTL_DONE;
    int rows = BATCH;

    if (c->opt[OPT_DOMAIN] != NULL && !ctl_domain(c->opt[OPT_DOMAIN], domain))
        end = CTL_FAILED;
    while (rows == BATCH && end == CTL_DONE) {
        struct args a = ARGS_NONE;

        args_text(&a, c->opt[OPT_TENANT]);
        args_text(&a, c->opt[OPT_DOMAIN] != NULL ? domain : NULL);
        args_text(&a, after);
        args_int(&a, BATCH);
        PGresult *res = db_ask(c, "read the passwords",
                               "select address, mailbox, active, kind, secret, app_passwords"
                               " from postern.scan_logins($1, $2, $3, $4)", &a);
        if (res == NULL) {
            end = db_end(c);
            break;
        }
        rows = PQntuples(res);
        for (int row = 0; row < rows; row++) {
            one(l, res, row);
            secret_wipe(PQgetvalue(res, row, COL_SECRET), (size_t)PQgetlength(res, row, COL_SECRET));
        }
        if (rows > 0) {
            mem_free(after);
            after = mem_str(PQgetvalue(res, rows - 1, COL_ADDRESS));
        }
        PQclear(res);
    }
    mem_free(after);
    return end;
}

enum ctl_exit run_secrets_export(struct ctl *c)
{
    const char *path = c->args[0];
    struct leaving l = { .out = NULL };
    static char room[BUFSIZ];       /* of the stream, so that it can be wiped */
    enum ctl_exit end;
    bool ok;
    int fd;

    if (c->opt[OPT_DOMAIN] != NULL && c->opt[OPT_TENANT] != NULL)
        return ctl_error(CTL_USAGE, "--domain and --tenant exclude each other");
    if (!ctl_keyring(c, &l.keyring))
        return CTL_FAILED;
    secret_no_core();
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    l.out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (l.out == NULL) {
        end = ctl_error(CTL_FAILED, "could not create %s: %s", shown_name(path), strerror(errno));
        keyring_free(&l.keyring);
        return end;
    }
    setvbuf(l.out, room, _IOFBF, sizeof room);
    end = all(c, &l);
    ok = !ferror(l.out) && fflush(l.out) == 0 && fsync(fileno(l.out)) == 0;
    ok = fclose(l.out) == 0 && ok;
    secret_wipe(room, sizeof room);
    if (end == CTL_DONE && !ok)
        end = ctl_error(CTL_FAILED, "could not write %s: %s", shown_name(path), strerror(errno));
    if (end != CTL_DONE)
        unlink(path);
    else
        ctl_say(c, "wrote the passwords of %llu mailboxes to %s; %llu were left out, and %llu app passwords",
                (unsigned long long)l.written, shown_name(path), (unsigned long long)l.left_out,
                (unsigned long long)l.app_passwords);
    if (l.keyring != NULL)
        keyring_free(&l.keyring);
    return end == CTL_DONE && l.left_out > 0 ? CTL_PARTLY : end;
}
