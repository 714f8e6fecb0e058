/*
 * person.c - `disclose` and `erase`: what a person may ask for.
 *
 * Tells what it knows and what it cannot erase, and why. Never erases without
 * --yes, and never writes a secret, nor anything over what is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/verbs/export.h"
#include "admin/json.h"
#include "admin/mail/outdir.h"
#include "admin/out.h"
#include "admin/shown.h"
#include "admin/verbs/remove.h"

/* Workers write what the sessions of a second did at its end (note_sessions): those that just ended, too. */
enum { WORKERS_WRITE_S = 2 };

/* What is not in reach of a statement. */
static const struct kept {
    const char *what, *why;
} kept[] = {
    { "mail of others", "mail from this person, and other recipients' copies of mail to them" },
    { "hashes of recent deliveries", "they detect duplicates, name nobody, and expire by lmtp_duplicate_window" },
    { "logs",
      "sessions, deliveries and traces are in the logs of hosts and mail servers until these are rotated" },
    { "back-ups, archived WAL and standbys", "they keep the data until deleted; erase again after a restore" },
    { "pages of the database", "erased rows are overwritten after vacuum" },
    { "a provider's own tables", "if credentials() or resolve() was replaced, the accounts are there" },
};

/* ------------------------------------------------------------------ disclose */

static bool write_all(int directory, const char *path, const char *text)
{
    int fd = openat(directory, "data.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool good = out != NULL && fputs(text, out) >= 0 && putc('\n', out) != EOF && fflush(out) == 0 && fsync(fd) == 0;

    if (!good)
        ctl_error(CTL_FAILED, "could not write %s/data.json: %s", shown_name(path), strerror(errno));
    if (out != NULL)
        fclose(out);
    else if (fd >= 0)
        close(fd);
    return good;
}

/* Within one snapshot: the listing in data.json is that of the mail. */
static enum ctl_exit disclose(struct ctl *c, const char *address, const char *directory, uint64_t *count_r)
{
    struct args a = ARGS_NONE;
    char *path = NULL;
    const char *why;
    enum ctl_exit end = CTL_FAILED;
    int fd = -1;
    bool has_mail;
    PGresult *res;

    args_text(&a, address);
    args_bool(&a, c->opt[OPT_REMOVED] != NULL);
    res = db_ask(c, "collect the data", "select p, p::json -> 'mailbox' is not null from postern.person($1, $2) p",
                 &a);
    if (res == NULL)
        return db_end(c);
    has_mail = PQgetvalue(res, 0, 1)[0] == 't';
    if (PQgetisnull(res, 0, 0))
        ctl_error(CTL_FAILED, "no data about %s", address);
    else if ((fd = outdir_open(AT_FDCWD, directory, false, &why)) < 0)
        ctl_error(CTL_FAILED, "could not create %s: %s", shown_name(directory), why);
    else if (write_all(fd, directory, PQgetvalue(res, 0, 0)))
        end = CTL_DONE;
    PQclear(res);
    if (end == CTL_DONE && has_mail) {
        if (asprintf(&path, "%s/mail", directory) < 0)
            abort();
        end = export_eml(c, address, path, fd, "mail", count_r);
        free(path);
    }
    if (fd >= 0)
        close(fd);
    return end;
}

enum ctl_exit run_disclose(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE];
    uint64_t count = 0;
    enum ctl_exit end;

    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    if (!db_do(c, "collect the data", "begin isolation level repeatable read, read only"))
        return db_end(c);
    end = disclose(c, address, c->args[1], &count);
    if (end == CTL_DONE)
        ctl_say(c, "the data about %s is in %s: data.json, and %llu message(s) in mail", address, c->args[1],
                (unsigned long long)count);
    return end;
}

/* --------------------------------------------------------------------- erase */

static PGresult *traces(struct ctl *c, const char *address)
{
    struct args a = ARGS_NONE;

    args_text(&a, address);
    args_bool(&a, c->opt[OPT_REMOVED] != NULL);
    return db_ask(c, "find the data", "select * from postern.traces($1, $2) where rows > 0", &a);
}

static void show(struct ctl *c, const PGresult *res, bool erased)
{
    struct json j;

    if (!c->json) {
        out_rows(c, res);
        ctl_say(c, erased ? "erased. Not erased:" : "would be erased. Would not be erased:");
        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
            ctl_say(c, "  %s: %s", kept[i].what, kept[i].why);
        return;
    }
    json_start(&j, stdout);
    json_object(&j, NULL);
    json_array(&j, erased ? "erased" : "known");
    for (int i = 0; i < PQntuples(res); i++)
        out_json_row(&j, NULL, res, i);
    json_end(&j);
    json_array(&j, "kept");
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        json_object(&j, NULL);
        json_text(&j, "what", span_str(kept[i].what));
        json_text(&j, "why", span_str(kept[i].why));
        json_end(&j);
    }
    json_end(&j);
    json_end(&j);
}

static enum ctl_exit erase_history(struct ctl *c, const char *address)
{
    bool more = true;

    while (more) {
        struct args a = ARGS_NONE;
        PGresult *res;

        args_text(&a, address);
        res = db_ask(c, "erase the history", "select postern.erase_history($1)", &a);
        if (res == NULL)
            return db_end(c);
        more = strcmp(PQgetvalue(res, 0, 0), "0") != 0;
        PQclear(res);
    }
    return CTL_DONE;
}

static enum ctl_exit erase(struct ctl *c, const char *address, bool has_mailbox)
{
    if (has_mailbox) {
        enum ctl_exit end = remove_mailbox(c, address);

        if (end != CTL_DONE)
            return end;
        sleep(WORKERS_WRITE_S);
    }
    return erase_history(c, address);
}

enum ctl_exit run_erase(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE];
    bool sure = c->opt[OPT_YES] != NULL && c->opt[OPT_DRY_RUN] == NULL;
    enum ctl_exit end = CTL_DONE;
    PGresult *res;

    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    res = traces(c, address);
    if (res == NULL)
        return db_end(c);
    if (PQntuples(res) == 0) {
        PQclear(res);
        return ctl_error(CTL_FAILED, "no data about %s", address);
    }
    if (sure)
        end = erase(c, address, strcmp(PQgetvalue(res, 0, 0), "mailbox") == 0);
    if (end == CTL_DONE)
        show(c, res, sure);
    PQclear(res);
    if (end == CTL_DONE && !sure && c->opt[OPT_DRY_RUN] == NULL)
        end = ctl_error(CTL_FAILED, "%s: add --yes to erase all of it permanently", address);
    return end;
}
