/*
 * password.c - setting a password, in all the forms that the domain stores, and
 * app passwords. A password is read from a terminal without echo, or as one
 * line of standard input; never from the command line, where every user of the
 * host could see it.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "admin/ctl.h"
#include "admin/db.h"
#include "admin/verbs/keyring.h"
#include "admin/out.h"
#include "auth/account/make.h"
#include "auth/scheme/scheme.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"
#include "storage/pg/pg_array.h"
#include "storage/pg/pg_row.h"

enum {
    LINE_MAX_OCTETS = 1024,
    /* A POP3 command line is 255 octets, of which `PASS ` and the line end are not the password. */
    POP3_PASSWORD_MAX = 255 - 5 - 2,
};

struct line {
    char text[LINE_MAX_OCTETS + 2];     /* the line end may be CRLF */
    size_t len;
};

static struct termios echo_on;
static volatile sig_atomic_t echo_is_off;

static void echo_back(int sig)
{
    if (echo_is_off)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &echo_on);
    signal(sig, SIG_DFL);
    raise(sig);
}

/* One line from standard input; of it only the line end is taken away. False after a message. */
static bool read_line(struct line *line)
{
    bool ended = false;

    line->len = 0;
    while (!ended && line->len < sizeof line->text) {
        /* One octet at a time: what follows the line is not ours. */
        ssize_t got = read(STDIN_FILENO, line->text + line->len, 1);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            ctl_error(CTL_FAILED, "could not read standard input: %s", strerror(errno));
            return false;
        }
        if (got == 0)
            break;
        ended = line->text[line->len] == '\n';
        line->len++;
    }
    if (ended)
        line->len--;
    if (ended && line->len > 0 && line->text[line->len - 1] == '\r')
        line->len--;
    if (line->len > LINE_MAX_OCTETS) {
        ctl_error(CTL_FAILED, "the input is longer than %d octets: nothing was changed", LINE_MAX_OCTETS);
        return false;
    }
    if (line->len == 0) {
        ctl_error(CTL_FAILED, "the input is empty: nothing was changed");
        return false;
    }
    if (memchr(line->text, '\0', line->len) != NULL || memchr(line->text, '\r', line->len) != NULL) {
        ctl_error(CTL_FAILED, "the input contains a NUL or a CR: nothing was changed");
        return false;
    }
    return true;
}

static bool prompt(const char *text, struct line *line)
{
    struct termios off;
    bool ok;

    if (tcgetattr(STDIN_FILENO, &echo_on) != 0) {
        ctl_error(CTL_FAILED, "could not turn off echo: %s", strerror(errno));
        return false;
    }
    off = echo_on;
    off.c_lflag &= (tcflag_t)~ECHO;
    off.c_lflag |= ECHONL;
    signal(SIGINT, echo_back);
    signal(SIGTERM, echo_back);
    echo_is_off = 1;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &off);
    fputs(text, stderr);
    ok = read_line(line);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &echo_on);
    echo_is_off = 0;
    return ok;
}

static bool ask(struct line *line, const char *address, bool hash)
{
    struct line again;
    bool same;

    if (!isatty(STDIN_FILENO))
        return read_line(line);
    fprintf(stderr, "%s of %s\n", hash ? "password hash" : "new password", address);
    if (!prompt(hash ? "hash: " : "password: ", line))
        return false;
    if (hash)
        return true;
    if (!prompt("once more: ", &again)) {
        secret_wipe(&again, sizeof again);
        return false;
    }
    same = again.len == line->len && memcmp(again.text, line->text, line->len) == 0;
    secret_wipe(&again, sizeof again);
    if (!same)
        ctl_error(CTL_FAILED, "the passwords do not match: nothing was changed");
    return same;
}

/* What is to be stored; freed by wipe_secrets(). */
struct secrets {
    struct buf kinds, texts;        /* arrays for the database */
    uint32_t count;
};

static bool put_secret(struct secrets *s, const struct keyring *keyring, const struct mailbox_ref *mailbox,
                       const char *kind, const char *text)
{
    const struct seal_row row = { *mailbox, kind, SPAN_OF("") };
    char sealed[SEAL_TEXT_MAX];

    if (keyring != NULL && !seal_close(keyring, &row, text, sealed)) {
        ctl_error(CTL_FAILED, "a secret is too long to seal");
        return false;
    }
    pg_array_put_bytes(&s->kinds, span_str(kind));
    pg_array_put_bytes(&s->texts, span_str(keyring != NULL ? sealed : text));
    s->count++;
    return true;
}

/* A hash of another server's is all that can be stored of its password. */
static bool put_hash(struct secrets *s, const struct keyring *keyring, const struct mailbox_ref *mailbox,
                     const struct line *line)
{
    char text[SCHEME_TEXT_MAX];
    const char *why;

    if (line->len >= SCHEME_TEXT_MAX) {
        ctl_error(CTL_FAILED, "a password hash has at most %d octets", SCHEME_TEXT_MAX - 1);
        return false;
    }
    memcpy(text, line->text, line->len);
    text[line->len] = '\0';
    if (scheme_is_locked(text))
        ctl_error(CTL_FAILED,
                  "this is the hash of a locked account: nothing was changed; see posternctl mailbox disable");
    else if (scheme_known(text, &why) != 1)
        ctl_error(CTL_FAILED, "this password hash cannot be used: %s", why);
    else
        return put_secret(s, keyring, mailbox, "password", text);
    return false;
}

static bool has_word(const char *words, const char *word)
{
    const char *at = strstr(words, word);

    while (at != NULL && ((at > words && at[-1] != ' ') || (at[strlen(word)] != ' ' && at[strlen(word)] != '\0')))
        at = strstr(at + 1, word);
    return at != NULL;
}

static bool put_password(struct ctl *c, struct secrets *s, const struct keyring *keyring,
                         const struct mailbox_ref *mailbox, const char *stores, const struct line *line)
{
    char text[SCHEME_TEXT_MAX];
    const char *why;
    bool ok = true;

    for (enum credential_kind kind = 0; ok && kind < CREDENTIAL_KINDS; kind++) {
        const char *name = credential_kind_name(kind);

        /* `stores` is the names of kinds, with blanks between them. */
        if (kind == CREDENTIAL_APP_PASSWORD || (kind != CREDENTIAL_PASSWORD && !has_word(stores, name)))
            continue;
        ok = make_secret(kind, (struct span){ line->text, line->len }, &c->auth, text, &why) == 0;
        if (!ok)
            ctl_error(CTL_FAILED, "could not make the %s of the password: %s", name, why);
        ok = ok && put_secret(s, keyring, mailbox, name, text);
    }
    secret_wipe(text, sizeof text);
    return ok;
}

static void wipe_secrets(struct secrets *s)
{
    buf_wipe(&s->kinds);
    buf_wipe(&s->texts);
}

/*
 * A provider's own credentials() (sql/README) may prove logins with secrets that
 * are kept elsewhere. Whoever has set one here must not believe that it is good.
 */
static enum ctl_exit is_proven_with(struct ctl *c, const struct mailbox_ref *mailbox, const char *what,
                                    const char *address, const char *done)
{
    struct args a = ARGS_NONE;

    args_mailbox(&a, mailbox);
    PGresult *res = db_ask(c, "ask which secret logins are verified against", "select postern.proves($1)", &a);
    if (res == NULL)
        return db_end(c);
    const bool yes = PQgetvalue(res, 0, 0)[0] == 't';
    PQclear(res);
    if (yes)
        return CTL_DONE;
    return ctl_error(CTL_FAILED,
                     "the %s of %s is %s here, but logins use another secret: postern.credentials() is the "
                     "provider's own; change the secret where that function reads it",
                     what, address, done);
}

static enum ctl_exit store(struct ctl *c, const struct mailbox_ref *mailbox, struct secrets *s)
{
    struct args a = ARGS_NONE;
    PGresult *res;

    pg_array_set_count(&s->kinds, s->count);
    pg_array_set_count(&s->texts, s->count);
    args_mailbox(&a, mailbox);
    args_binary(&a, &s->kinds);
    args_binary(&a, &s->texts);
    res = db_ask(c, "set the password", "select postern.set_secrets($1, $2, $3)", &a);
    if (res == NULL)
        return db_end(c);
    PQclear(res);
    return CTL_DONE;
}

enum ctl_exit run_password(struct ctl *c)
{
    const bool hash = c->opt[OPT_HASH] != NULL, remove = c->opt[OPT_REMOVE] != NULL;
    struct secrets s = { BUF_EMPTY, BUF_EMPTY, 0 };
    struct keyring *keyring = NULL;
    char address[CTL_ADDRESS_SIZE];
    struct line line = { .len = 0 };
    struct args a = ARGS_NONE;
    enum ctl_exit end = CTL_FAILED;
    bool ready;

    if (hash && remove)
        return ctl_error(CTL_USAGE, "--hash or --remove, not both");
    if (!ctl_address(c->args[0], false, address) || !ctl_keyring(c, &keyring))
        return CTL_FAILED;
    secret_no_core();
    args_text(&a, address);
    /* Before anybody types a password for nothing. */
    PGresult *plan =
        db_ask(c, "find the mailbox", "select mailbox, array_to_string(stores, ' ') from postern.secret_plan($1)", &a);
    if (plan == NULL) {
        keyring_free(&keyring);
        return db_end(c);
    }
    struct mailbox_ref mailbox = { 0 };
    mailbox_parse(span_str(PQgetvalue(plan, 0, 0)), &mailbox);
    pg_array_begin(&s.kinds, PG_TEXT);
    pg_array_begin(&s.texts, PG_TEXT);
    ready = remove || ask(&line, address, hash);
    if (ready && hash)
        ready = put_hash(&s, keyring, &mailbox, &line);
    else if (ready && !remove)
        ready = put_password(c, &s, keyring, &mailbox, PQgetvalue(plan, 0, 1), &line);
    if (ready)
        end = store(c, &mailbox, &s);
    if (end == CTL_DONE)
        end = is_proven_with(c, &mailbox, "password", address, remove ? "removed" : "stored");
    if (end == CTL_DONE && !hash && line.len > POP3_PASSWORD_MAX)
        fprintf(stderr,
                "posternctl: warning: this password has %zu octets, but a POP3 client can send only about 240\n",
                line.len);
    PQclear(plan);
    wipe_secrets(&s);
    secret_wipe(&line, sizeof line);
    keyring_free(&keyring);
    if (end == CTL_DONE)
        ctl_say(c, "password of %s %s", address, remove ? "removed" : "set");
    return end;
}

/* ------------------------------------------------------------ app passwords */

enum ctl_exit run_app_password_add(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE], password[APP_PASSWORD_MAX], text[SCHEME_TEXT_MAX], sealed[SEAL_TEXT_MAX];
    struct keyring *keyring = NULL;
    struct args a = ARGS_NONE, b = ARGS_NONE;
    const char *why;
    enum ctl_exit end = CTL_FAILED;

    if (!ctl_address(c->args[0], false, address) || !ctl_keyring(c, &keyring))
        return CTL_FAILED;
    secret_no_core();
    args_text(&a, address);
    PGresult *plan = db_ask(c, "find the mailbox", "select mailbox from postern.secret_plan($1)", &a);
    if (plan == NULL) {
        keyring_free(&keyring);
        return db_end(c);
    }
    struct seal_row row = { { 0 }, "app-password", span_str(c->args[1]) };
    mailbox_parse(span_str(PQgetvalue(plan, 0, 0)), &row.mailbox);
    PQclear(plan);
    make_app_password(password);
    if (make_secret(CREDENTIAL_APP_PASSWORD, span_str(password), &c->auth, text, &why) != 0) {
        ctl_error(CTL_FAILED, "could not make an app password: %s", why);
    } else if (keyring != NULL && !seal_close(keyring, &row, text, sealed)) {
        ctl_error(CTL_FAILED, "the name of an app password must have 1 to %d octets", SEAL_LABEL_MAX);
    } else {
        args_mailbox(&b, &row.mailbox);
        args_text(&b, c->args[1]);
        args_text(&b, keyring != NULL ? sealed : text);
        PGresult *res = db_ask(c, "add the app password", "select postern.add_app_password($1, $2, $3)", &b);
        end = res != NULL ? is_proven_with(c, &row.mailbox, "app password", address, "stored") : db_end(c);
        PQclear(res);
    }
    if (end == CTL_DONE && c->json) {
        struct json j;
        json_start(&j, stdout);
        json_object(&j, NULL);
        json_text(&j, "address", span_str(address));
        json_text(&j, "name", span_str(c->args[1]));
        json_text(&j, "password", span_str(password));
        json_end(&j);
    } else if (end == CTL_DONE) {
        printf("%s\n", password);
    }
    secret_wipe(password, sizeof password);
    secret_wipe(text, sizeof text);
    keyring_free(&keyring);
    return end;
}

enum ctl_exit run_app_password_list(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE];
    struct args a = ARGS_NONE;

    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    args_text(&a, address);
    return out_ask(c, "list the app passwords", "select * from postern.list_app_passwords($1)", &a);
}

enum ctl_exit run_app_password_remove(struct ctl *c)
{
    char address[CTL_ADDRESS_SIZE];
    struct args a = ARGS_NONE;
    enum ctl_exit end;

    if (!ctl_address(c->args[0], false, address))
        return CTL_FAILED;
    args_text(&a, address);
    args_text(&a, c->args[1]);
    end = db_call(c, "remove the app password", "select postern.remove_app_password($1, $2)", &a);
    if (end == CTL_DONE)
        ctl_say(c, "app password %s of %s removed", c->args[1], address);
    return end;
}

/* ------------------------------------------------------------- certificates */

/* The stored text is no secret: that it is there is the proof, and its seal proves that posternctl put it there. */
static enum ctl_exit set_certificate(struct ctl *c, const struct keyring *keyring, const struct mailbox_ref *mailbox,
                                     bool remove, const char *address)
{
    const struct seal_row row = { *mailbox, credential_kind_name(CREDENTIAL_CERTIFICATE), SPAN_OF("") };
    char sealed[SEAL_TEXT_MAX] = "any";
    struct args a = ARGS_NONE;
    enum ctl_exit end;

    args_mailbox(&a, mailbox);
    if (keyring != NULL)
        ASSERT(seal_close(keyring, &row, "any", sealed));
    args_text(&a, remove ? NULL : sealed);
    end = db_call(c, "set whether the mailbox accepts certificates", "select postern.set_certificate($1, $2)", &a);
    return end == CTL_DONE && !remove ? is_proven_with(c, mailbox, "certificate", address, "accepted") : end;
}

enum ctl_exit run_certificate(struct ctl *c)
{
    const bool remove = c->opt[OPT_REMOVE] != NULL;
    struct keyring *keyring = NULL;
    struct mailbox_ref mailbox = { 0 };
    char address[CTL_ADDRESS_SIZE];
    struct args a = ARGS_NONE;
    enum ctl_exit end;

    if (!ctl_address(c->args[0], false, address) || !ctl_keyring(c, &keyring))
        return CTL_FAILED;
    args_text(&a, address);
    PGresult *plan = db_ask(c, "find the mailbox", "select mailbox from postern.secret_plan($1)", &a);
    if (plan != NULL)
        mailbox_parse(span_str(PQgetvalue(plan, 0, 0)), &mailbox);
    end = plan != NULL ? set_certificate(c, keyring, &mailbox, remove, address) : db_end(c);
    PQclear(plan);
    keyring_free(&keyring);
    if (end == CTL_DONE)
        ctl_say(c, "%s %s client certificates", address, remove ? "no longer accepts" : "accepts");
    return end;
}
