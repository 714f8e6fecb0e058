/*
 * client.c - the client's side of POP3 (see client.h).
 *
 * Must never send a name or a password before TLS, unless it was told to; never DELE; and never
 * take one answer for that to another command: whatever is not understood ends the session.
 */
#include "admin/pop3/client.h"

#include <ctype.h>
#include <sodium.h>

#include "admin/pop3/parse.h"
#include "admin/pop3/wire.h"
#include "daemon/base/buf.h"
#include "daemon/base/mem.h"
#include "daemon/base/secret.h"

enum {
    COMMAND_MAX = 255,                      /* with CRLF (RFC 2449 section 4) */
    MESSAGES_MAX = 4 * 1000 * 1000,
    UIDL_OCTETS_MAX = 512 * 1024 * 1024,    /* of all together */
    CAPA_LINES_MAX = 1000,
};

struct pop3 {
    struct pop3_how how;
    struct wire *wire;
    struct pop3_capa capa;
    bool has_capa;              /* it knows the command */
    bool tls, alive;
    struct buf command;         /* may hold a password */
    char *why;
    unsigned delay;
};

struct pop3 *pop3_new(const struct pop3_how *how)
{
    struct pop3 *p = mem_zalloc(sizeof *p);
    const struct wire_how wire = { .host = how->address->host, .port = how->address->port, .timeout = how->timeout,
                                   .ca_file = how->ca_file, .untrusted = how->untrusted, .stop = how->stop,
                                   .arg = how->arg };

    p->how = *how;
    p->wire = wire_new(&wire);
    return p;
}

void pop3_free(struct pop3 **pop3)
{
    struct pop3 *p = *pop3;

    if (p->alive)
        wire_send(p->wire, SPAN_OF("QUIT\r\n"));
    wire_free(&p->wire);
    buf_wipe(&p->command);
    mem_drop(&p->why);
    mem_free(p);
    *pop3 = NULL;
}

const char *pop3_why(const struct pop3 *p) { return p->why != NULL ? p->why : wire_error(p->wire); }
unsigned pop3_delay(const struct pop3 *p) { return p->delay; }
const char *pop3_distrust(const struct pop3 *p) { return p->tls ? wire_distrust(p->wire) : NULL; }
bool pop3_is_plaintext(const struct pop3 *p) { return !p->tls; }
bool pop3_pipelines(const struct pop3 *p) { return p->capa.pipelining; }

/* ------------------------------------------------------------------ replies */

static enum pop3_end lost(struct pop3 *p)
{
    p->alive = false;
    mem_error(&p->why, "%s", wire_error(p->wire));
    return wire_stopped(p->wire) ? POP3_STOPPED : wire_hopeless(p->wire) ? POP3_REFUSED : POP3_LOST;
}

static enum pop3_end nonsense(struct pop3 *p, const char *what)
{
    p->alive = false;
    mem_error(&p->why, "%s", what);
    return POP3_LOST;
}

/* The server's own words, as far as people want to read them. */
static void said(struct pop3 *p, const struct pop3_reply *r)
{
    enum { WORDS = 300 };
    const char *dots = r->text.len > WORDS ? "..." : "";
    int len = (int)(r->text.len > WORDS ? WORDS : r->text.len);

    if (r->code.len > 0)
        mem_error(&p->why, "the server says: [%.*s] %.*s%s", (int)(r->code.len > 40 ? 40 : r->code.len), r->code.at,
                  len, r->text.at, dots);
    else if (len > 0)
        mem_error(&p->why, "the server says: %.*s%s", len, r->text.at, dots);
    else
        mem_error(&p->why, "the server says no more than -ERR");
}

static bool send_command(struct pop3 *p)
{
    bool ok = wire_send(p->wire, buf_span(&p->command));

    secret_wipe(p->command.data, p->command.len);
    buf_clear(&p->command);
    return ok;
}

/*
 * REFUSED where the server says -ERR, LATER where its code says so. A challenge is DONE too, where it is
 * expected.
 */
static enum pop3_end reply(struct pop3 *p, bool challenge, bool *lf_alone_r)
{
    struct pop3_reply r;
    struct span line;

    if (!wire_line(p->wire, &line, lf_alone_r))
        return lost(p);
    r = pop3_reply(line);
    if (r.status == POP3_ERR) {
        said(p, &r);
        return pop3_code(&r, &p->delay) == POP3_CODE_LATER ? POP3_LATER : POP3_REFUSED;
    }
    if (r.status == POP3_NONSENSE || (r.status == POP3_CHALLENGE) != challenge)
        return nonsense(p, "the server sent something that is no reply of POP3");
    return POP3_DONE;
}

/* What the command buffer holds, and its reply. */
static enum pop3_end ask(struct pop3 *p)
{
    return send_command(p) ? reply(p, false, NULL) : lost(p);
}

static enum pop3_end simple(struct pop3 *p, const char *command)
{
    buf_addf(&p->command, "%s\r\n", command);
    return ask(p);
}

/* A line of an answer of several lines: 1; 0: that was the last. -1: lost. */
static int next_line(struct pop3 *p, struct span *line_r)
{
    if (!wire_line(p->wire, line_r, NULL))
        return -1;
    if (span_is(*line_r, SPAN_OF(".")))
        return 0;
    if (line_r->len > 0 && line_r->at[0] == '.')
        *line_r = (struct span){ line_r->at + 1, line_r->len - 1 };
    return 1;
}

/* -------------------------------------------------------------------- login */

/* A server without CAPA can nothing of what it would say. */
static enum pop3_end ask_capa(struct pop3 *p)
{
    enum pop3_end end = simple(p, "CAPA");
    struct span line;
    int got = 1;

    p->capa = (struct pop3_capa){ .stls = false };
    p->has_capa = end == POP3_DONE;
    if (end == POP3_REFUSED || end == POP3_LATER)
        return POP3_DONE;
    for (int lines = 0; end == POP3_DONE && got == 1; lines++) {
        got = next_line(p, &line);
        if (got < 0)
            return lost(p);
        if (lines == CAPA_LINES_MAX)
            return nonsense(p, "the answer to CAPA does not end");
        if (got == 1)
            pop3_capa(&p->capa, line);
    }
    return end;
}

static enum pop3_end secure(struct pop3 *p)
{
    enum pop3_end end = POP3_REFUSED;

    if (p->capa.stls || !p->has_capa)
        end = simple(p, "STLS");
    if (end == POP3_DONE) {
        if (!wire_start_tls(p->wire))
            return lost(p);
        p->tls = true;
        return ask_capa(p);
    }
    if (end == POP3_LOST || end == POP3_STOPPED || p->how.plaintext)
        return end == POP3_REFUSED || end == POP3_LATER ? POP3_DONE : end;
    mem_error(&p->why,
              "the server offers no TLS: use pops://, or --accept plaintext to send the password in the clear");
    return POP3_REFUSED;
}

static enum pop3_end connect_and_secure(struct pop3 *p)
{
    enum pop3_end end;

    if (!wire_connect(p->wire))
        return lost(p);
    if (p->how.address->tls && !wire_start_tls(p->wire))
        return lost(p);
    p->tls = p->how.address->tls;
    end = reply(p, false, NULL);
    if (end == POP3_DONE)
        end = ask_capa(p);
    return end == POP3_DONE && !p->tls ? secure(p) : end;
}

/* RFC 4616, by RFC 5034: with the command where there is room, else behind a challenge. */
static enum pop3_end auth_plain(struct pop3 *p, const char *authzid, const char *authcid)
{
    struct buf message = BUF_EMPTY, text = BUF_EMPTY;
    enum pop3_end end = POP3_DONE;
    size_t room;

    buf_reserve(&message, strlen(authzid) + strlen(authcid) + p->how.secret.len + 3);
    buf_add(&message, authzid, strlen(authzid) + 1);
    buf_add(&message, authcid, strlen(authcid) + 1);
    buf_add(&message, p->how.secret.at, p->how.secret.len);
    room = sodium_base64_encoded_len(buf_left(&message), sodium_base64_VARIANT_ORIGINAL);
    sodium_bin2base64(buf_reserve(&text, room), room, (const unsigned char *)buf_span(&message).at, buf_left(&message),
                      sodium_base64_VARIANT_ORIGINAL);
    buf_commit(&text, room - 1);
    buf_reserve(&p->command, buf_left(&text) + 32);
    if (buf_left(&text) + sizeof "AUTH PLAIN \r\n" > COMMAND_MAX) {
        buf_add_str(&p->command, "AUTH PLAIN\r\n");
        end = send_command(p) ? reply(p, true, NULL) : lost(p);
    } else {
        buf_add_str(&p->command, "AUTH PLAIN ");
    }
    if (end == POP3_DONE) {
        buf_add(&p->command, buf_span(&text).at, buf_left(&text));
        buf_add_str(&p->command, "\r\n");
        end = ask(p);
    }
    buf_wipe(&message);
    buf_wipe(&text);
    return end;
}

static enum pop3_end user_pass(struct pop3 *p, const char *master, char mark)
{
    enum pop3_end end;

    buf_addf(&p->command, "USER %s", p->how.user);
    if (master != NULL)
        buf_addf(&p->command, "%c%s", mark, master);
    buf_add_str(&p->command, "\r\n");
    end = ask(p);
    if (end != POP3_DONE)
        return end;
    buf_reserve(&p->command, p->how.secret.len + 16);
    buf_add_str(&p->command, "PASS ");
    buf_add(&p->command, p->how.secret.at, p->how.secret.len);
    buf_add_str(&p->command, "\r\n");
    return ask(p);
}

static bool breaks_lines(struct span s)
{
    return (s.len > 0 && memchr(s.at, '\r', s.len) != NULL) || (s.len > 0 && memchr(s.at, '\n', s.len) != NULL) ||
           (s.len > 0 && memchr(s.at, '\0', s.len) != NULL);
}

enum pop3_end pop3_login(struct pop3 *p)
{
    const char *master = p->how.master;
    const bool marked = master != NULL && master[0] != '\0' && !isalnum((unsigned char)master[0]);
    const bool sasl = p->how.master != NULL && !marked;
    enum pop3_end end;

    if (breaks_lines(span_str(p->how.user)) || breaks_lines(span_str(master)) || breaks_lines(p->how.secret)) {
        mem_error(&p->why, "a name or the password has a line end in it");
        return POP3_REFUSED;
    }
    end = connect_and_secure(p);
    if (end != POP3_DONE)
        return end;
    if (p->capa.sasl_plain && (sasl || (master == NULL && !p->capa.user)))
        end = auth_plain(p, sasl ? p->how.user : "", sasl ? master : p->how.user);
    else
        end = user_pass(p, marked ? master + 1 : master, marked ? master[0] : '*');
    if (end == POP3_LATER && p->delay == 0)
        p->delay = p->capa.login_delay;
    if (end != POP3_DONE)
        return end;
    p->alive = true;
    /* Some say what they can do only now. */
    return p->capa.pipelining || !p->has_capa ? POP3_DONE : ask_capa(p);
}

/* ------------------------------------------------------------------ listing */

void pop3_list_free(struct pop3_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mem_free(list->messages[i].uidl);
    mem_free(list->messages);
    *list = (struct pop3_list){ .messages = NULL };
}

static const char *add_listed(struct pop3_list *list, struct span line)
{
    struct pop3_message m = { .number = 0 };
    struct span rest;

    if (!pop3_numbered(line, &m.number, &rest) || !pop3_octets(rest, &m.octets))
        return "the answer to LIST has a line that is not a number and a size";
    if (list->count > 0 && m.number <= list->messages[list->count - 1].number)
        return "the answer to LIST is out of order";
    if (list->count == MESSAGES_MAX)
        return "the answer to LIST has more than 4 million messages";
    if (list->count == list->room) {
        list->room = list->room > 0 ? 2 * list->room : 256;
        list->messages = mem_resize(list->messages, list->room, sizeof *list->messages);
    }
    list->messages[list->count++] = m;
    return NULL;
}

/* *at: the message after the one before. A line for no message that LIST had, or a second one, is passed over. */
static const char *add_uidl(struct pop3_list *list, struct span line, size_t *at, size_t *octets)
{
    uint32_t number;
    struct span uidl;

    if (!pop3_numbered(line, &number, &uidl))
        return "the answer to UIDL has a line without a number";
    *octets += line.len;
    if (*octets > UIDL_OCTETS_MAX)
        return "the answer to UIDL is longer than 512 MB";
    while (*at < list->count && list->messages[*at].number < number)
        ++*at;
    if (*at == list->count || list->messages[*at].number != number || uidl.len == 0)
        return NULL;
    /* One with an octet 0 cannot be kept. */
    if (memchr(uidl.at, '\0', uidl.len) == NULL)
        list->messages[*at].uidl = mem_strn(uidl.at, uidl.len);
    ++*at;
    return NULL;
}

enum pop3_end pop3_list(struct pop3 *p, struct pop3_list *list)
{
    enum pop3_end end = simple(p, "LIST");
    size_t at = 0, octets = 0;
    const char *fault = NULL;
    struct span line;
    int got = 1;

    *list = (struct pop3_list){ .messages = NULL };
    if (end != POP3_DONE)
        return end;
    while (fault == NULL && (got = next_line(p, &line)) == 1)
        fault = add_listed(list, line);
    if (got >= 0 && fault == NULL) {
        end = simple(p, "UIDL");
        if (end == POP3_REFUSED)
            return POP3_DONE;
        if (end != POP3_DONE)
            return end;
        list->has_uidls = true;
        while (fault == NULL && (got = next_line(p, &line)) == 1)
            fault = add_uidl(list, line, &at, &octets);
    }
    return fault != NULL ? nonsense(p, fault) : got < 0 ? lost(p) : POP3_DONE;
}

/* ------------------------------------------------------------------ messages */

enum pop3_end pop3_ask(struct pop3 *p, const uint32_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_addf(&p->command, "RETR %lu\r\n", (unsigned long)numbers[i]);
    return count == 0 || send_command(p) ? POP3_DONE : lost(p);
}

struct taking {
    pop3_out *out;
    void *arg;
    bool unwanted;
};

static void take(void *arg, const char *at, size_t len)
{
    struct taking *t = arg;

    t->unwanted = t->unwanted || !t->out(t->arg, at, len);
}

enum pop3_end pop3_answer(struct pop3 *p, pop3_out *out, void *arg)
{
    struct taking t = { out, arg, false };
    struct unstuff u = UNSTUFF_BEGIN;
    enum pop3_end end = reply(p, false, &u.lf_alone);

    if (end != POP3_DONE)
        return end;
    while (u.at != UNSTUFF_END && !t.unwanted) {
        struct span in;

        if (!wire_octets(p->wire, &in))
            return lost(p);
        wire_take(p->wire, unstuff(&u, in, take, &t));
    }
    if (!t.unwanted)
        return POP3_DONE;
    p->alive = false;
    return POP3_UNWANTED;
}
