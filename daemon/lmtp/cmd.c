/*
 * cmd.c - the commands, in one table: who may say what, when.
 *
 * RCPT is special: those that come together are answered together, from one
 * question to the database. Must never answer a command before those that came
 * before it.
 */
#include "daemon/lmtp/session.h"

#include <ctype.h>

#include "auth/name.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"
#include "daemon/net/conn.h"
#include "storage/deliver/spool.h"

/* What follows the verb, without the space. */
typedef void command_run(struct lmtp_session *s, struct span args);

enum { NONE, ANY, SOME };   /* arguments: must not be, may be, must be */

struct command {
    char verb[9];
    unsigned states;            /* in which it is understood; elsewhere it is out of sequence */
    int args;
    enum lmtp_reply_name wrong; /* where the arguments are not as they must be */
    command_run *run;
};

#define IN(state) (1u << (state))
enum {
    IN_START = IN(LMTP_START), IN_READY = IN(LMTP_READY), IN_MAIL = IN(LMTP_MAIL),
    ALWAYS = IN(LMTP_START) | IN(LMTP_READY) | IN(LMTP_MAIL),
};

/* -------------------------------------------------------------- transaction */

static void forget_pending(struct lmtp_session *s)
{
    for (size_t i = 0; i < s->pending_count; i++) {
        mem_free(s->pending[i].address);
        mem_free(s->pending[i].base);
    }
    s->pending_count = 0;
}

void lmtp_reset(struct lmtp_session *s)
{
    forget_pending(s);
    for (size_t i = 0; i < s->recipient_count; i++)
        mem_free(s->recipients[i].address);
    s->recipient_count = s->mailbox_count = 0;
    mem_free(s->sender);
    s->sender = NULL;
    s->utf8 = s->chunks = false;
    s->announced = s->octets = 0;
    s->refusal = REPLY_COUNT;
    spool_free(&s->spool);
    known_free(&s->known);
    mem_free(s->storing);
    s->storing = NULL;
    if (s->state == LMTP_MAIL)
        s->state = LMTP_READY;
}

/* -------------------------------------------------------------- small commands */

static void cmd_lhlo(struct lmtp_session *s, struct span args)
{
    struct buf out = BUF_EMPTY;

    lmtp_reset(s);
    s->state = LMTP_READY;
    mem_free(s->lhlo);
    s->lhlo = mem_strn(args.at, args.len);
    s->lhlo_len = args.len;
    buf_addf(&out, "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE %lld\r\n250-CHUNKING\r\n"
                   "250 ENHANCEDSTATUSCODES\r\n",
             s->service->hostname, (long long)s->service->host.settings->lmtp_max_size);
    buf_add(&out, "", 1);
    lmtp_say_text(s, out.data);
    buf_free(&out);
}

static void cmd_rset(struct lmtp_session *s, struct span args)
{
    (void)args;
    lmtp_reset(s);
    lmtp_say(s, REPLY_RESET, NULL, NULL);
}

static void cmd_noop(struct lmtp_session *s, struct span args)
{
    (void)args;
    lmtp_say(s, REPLY_NOOP, NULL, NULL);
}

static void cmd_vrfy(struct lmtp_session *s, struct span args)
{
    (void)args;
    lmtp_say(s, REPLY_VRFY, NULL, NULL);
}

static void cmd_help(struct lmtp_session *s, struct span args)
{
    (void)args;
    lmtp_say_text(s, "214-2.0.0 LMTP, RFC 2033. Commands:\r\n"
                     "214 2.0.0 LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\r\n");
}

static void cmd_quit(struct lmtp_session *s, struct span args)
{
    (void)args;
    lmtp_say(s, REPLY_QUIT, NULL, NULL);
    lmtp_end(s, LMTP_QUIT);
}

static void cmd_not_here(struct lmtp_session *s, struct span args)
{
    (void)args;
    lmtp_say(s, REPLY_NOT_HERE, NULL, NULL);
}

static void cmd_speak_lmtp(struct lmtp_session *s, struct span args)
{
    (void)args;
    lmtp_say(s, REPLY_SPEAK_LMTP, NULL, NULL);
}

/* --------------------------------------------------------------------- MAIL */

static bool take_prefix(struct span *args, struct span prefix)
{
    if (args->len < prefix.len || !span_is_nocase((struct span){ args->at, prefix.len }, prefix))
        return false;
    args->at += prefix.len;
    args->len -= prefix.len;
    return true;
}

static enum lmtp_reply_name check_mail(struct lmtp_session *s, struct span args, struct path *path,
                                       struct mail_params *params)
{
    struct span rest;

    if (!take_prefix(&args, SPAN_OF("FROM:")))
        return REPLY_SYNTAX_FROM;
    if (path_parse(args, path, &rest) != PATH_OK)
        return REPLY_BAD_SENDER;
    switch (mail_params_parse(rest, params)) {
    case PARAMS_OK:
        break;
    case PARAMS_SYNTAX:
        return REPLY_BAD_PARAM;
    case PARAMS_UNKNOWN:
        return REPLY_UNKNOWN_PARAM;
    }
    if (path->eight_bit && !params->utf8)
        return REPLY_NEEDS_UTF8;
    if (params->size_huge || params->size > (uint64_t)s->service->host.settings->lmtp_max_size)
        return REPLY_TOO_LARGE;
    return REPLY_SENDER_OK;
}

static void cmd_mail(struct lmtp_session *s, struct span args)
{
    struct path path;
    struct mail_params params;

    s->noteworthy = true;
    if (s->state == LMTP_MAIL) {
        lmtp_say(s, REPLY_NESTED, NULL, NULL);
        return;
    }
    enum lmtp_reply_name reply = check_mail(s, args, &path, &params);
    if (reply == REPLY_SENDER_OK) {
        s->state = LMTP_MAIL;
        s->number++;
        s->bad = 0;
        s->sender = mem_strn(path.text, path.len);
        s->utf8 = params.utf8;
        s->announced = params.size;
    }
    lmtp_say(s, reply, NULL, NULL);
}

/* --------------------------------------------------------------------- RCPT */

static bool is_text_octet(char octet)
{
    unsigned char c = (unsigned char)octet;
    return c >= 0x20 && c != 0x7F;
}

bool lmtp_is_rcpt(struct span line)
{
    bool argument = false;

    if (line.len <= 4 || line.at[4] != ' ' || !span_is_nocase((struct span){ line.at, 4 }, SPAN_OF("RCPT")))
        return false;
    for (size_t i = 4; i < line.len; i++) {
        if (!is_text_octet(line.at[i]))
            return false;
        argument = argument || line.at[i] != ' ';
    }
    return argument;
}

enum lmtp_reply_name lmtp_verdict_reply(const struct lmtp_service *service, enum recipient_verdict verdict)
{
    switch (verdict) {
    case RECIPIENT_OK:
        break;
    case RECIPIENT_NO_USER:
        return REPLY_NO_USER;
    case RECIPIENT_NO_DOMAIN:
        return REPLY_NO_DOMAIN;
    case RECIPIENT_DISABLED:
        return service->disabled_permanent ? REPLY_DISABLED : REPLY_DISABLED_TEMP;
    case RECIPIENT_FULL:
        return service->over_quota_permanent ? REPLY_FULL : REPLY_FULL_TEMP;
    case RECIPIENT_NEVER_FITS:
        return REPLY_NEVER_FITS;
    case RECIPIENT_DUPLICATE:
        return REPLY_DUPLICATE;
    }
    ASSERT(verdict != RECIPIENT_OK);
    return REPLY_TROUBLE;
}

static void log_refused(const struct lmtp_session *s, const char *address, enum lmtp_reply_name reply)
{
    log_info(lmtp_transaction_id(s).s, "lmtp from=%s to=%s refused code=%s status=%s", log_text(span_str(s->sender)).s,
             log_text(span_str(address)).s, lmtp_replies[reply].code, lmtp_replies[reply].enhanced);
}

/* anna+lists@example.org is anna@example.org where it is unknown as a whole. NULL where there is no tag. */
static char *without_tag(const char *address, const char *separators)
{
    const char *at = strrchr(address, '@');
    size_t tag = strcspn(address, separators);

    if (separators[0] == '\0' || at == NULL || address[0] == '"' || tag == 0 || tag >= (size_t)(at - address))
        return NULL;
    size_t size = tag + strlen(at) + 1;
    char *base = mem_alloc(size);
    memcpy(base, address, tag);
    memcpy(base + tag, at, size - tag);
    return base;
}

/* What can be said without the database: a reply, or REPLY_COUNT and the address. */
static enum lmtp_reply_name check_rcpt(struct lmtp_session *s, struct span args, char address[NAME_ADDRESS_MAX + 1],
                                       const char **why)
{
    struct path path;
    struct span rest, keyword, value;
    bool has_value;

    if (!take_prefix(&args, SPAN_OF("TO:")))
        return REPLY_SYNTAX_TO;
    if (path_parse(args, &path, &rest) != PATH_OK || path.len == 0)
        return REPLY_BAD_RCPT;
    int params = param_next(&rest, &keyword, &value, &has_value);
    if (params != 0)
        return params < 0 ? REPLY_BAD_PARAM : REPLY_UNKNOWN_PARAM;
    if (path.eight_bit && !s->utf8)
        return REPLY_NEEDS_UTF8;
    if (path.no_domain) {
        /* Whose it is only the operator can say: no tenant is to get the mail for the host's postmaster. */
        if (s->service->host.settings->lmtp_postmaster[0] == '\0') {
            log_refused(s, "postmaster", REPLY_NO_POSTMASTER);
            return REPLY_NO_POSTMASTER;
        }
        memcpy(address, "postmaster", sizeof "postmaster");
    } else if (name_canonical(path.typed, (struct span){ NULL, 0 }, address, why) != 1) {
        /*
         * As it came, and not as path_parse() understood it: every way in has the same rules, and
         * says the same of what it refuses.
         */
        return REPLY_BAD_RCPT_WHY;
    }
    return REPLY_COUNT;
}

static void cmd_rcpt(struct lmtp_session *s, struct span args)
{
    struct lmtp_pending *p;
    char address[NAME_ADDRESS_MAX + 1];

    if (s->chunks) {
        lmtp_say(s, REPLY_NESTED, NULL, NULL);
        return;
    }
    if (s->pending == NULL)
        s->pending = mem_array(LMTP_BATCH, sizeof s->pending[0]);
    ASSERT(s->pending_count < LMTP_BATCH);
    p = &s->pending[s->pending_count];
    *p = (struct lmtp_pending){ .why = NULL };
    p->reply = check_rcpt(s, args, address, &p->why);
    if (p->reply == REPLY_COUNT) {
        p->address = mem_str(address);
        p->base = without_tag(address, s->service->host.settings->lmtp_separator);
    }
    s->pending_count++;
}

static void add_mailbox(struct lmtp_session *s, const struct mailbox_ref *mailbox)
{
    if (s->mailbox_count == s->mailbox_size) {
        s->mailbox_size = s->mailbox_size == 0 ? 4 : s->mailbox_size * 2;
        s->mailboxes = mem_resize(s->mailboxes, s->mailbox_size, sizeof s->mailboxes[0]);
    }
    s->mailboxes[s->mailbox_count++] = *mailbox;
}

/* Takes the address of the pending one over. False: too many recipients, or mailboxes behind them. */
static bool accept(struct lmtp_session *s, struct lmtp_pending *p, const struct resolved *rows, size_t count)
{
    if (s->recipient_count >= (size_t)s->service->host.settings->lmtp_max_recipients ||
        count > LMTP_MAILBOXES - s->mailbox_count)
        return false;
    if (s->recipient_count == s->recipient_size) {
        s->recipient_size = s->recipient_size == 0 ? 4 : s->recipient_size * 2;
        s->recipients = mem_resize(s->recipients, s->recipient_size, sizeof s->recipients[0]);
    }
    s->recipients[s->recipient_count++] = (struct lmtp_recipient){ p->address, s->mailbox_count, count };
    p->address = NULL;
    /* Those too that have no room now: it is decided when the message is stored, and told then. */
    for (size_t i = 0; i < count; i++)
        if (mailbox_is_one(&rows[i].mailbox))
            add_mailbox(s, &rows[i].mailbox);
    s->recipients[s->recipient_count - 1].count = s->mailbox_count - s->recipients[s->recipient_count - 1].first;
    return true;
}

/*
 * Of an address: OK if one of its mailboxes can take the message and, where a
 * list is served as a whole, none of the others is over quota. Where none can,
 * over quota for now counts before over quota for good: it may be different soon.
 */
static enum recipient_verdict verdict_of(const struct lmtp_service *service, const struct resolved *rows, size_t count)
{
    size_t of[RECIPIENT_NEVER_FITS + 1] = { 0 };

    for (size_t i = 0; i < count; i++)
        of[rows[i].verdict]++;
    bool full = of[RECIPIENT_FULL] > 0 || of[RECIPIENT_NEVER_FITS] > 0;
    if (of[RECIPIENT_OK] > 0 && !(service->refuse_list && full))
        return RECIPIENT_OK;
    if (!full)
        return rows[0].verdict;
    if (service->refuse_list)
        return of[RECIPIENT_NEVER_FITS] > 0 ? RECIPIENT_NEVER_FITS : RECIPIENT_FULL;
    return of[RECIPIENT_FULL] > 0 ? RECIPIENT_FULL : RECIPIENT_NEVER_FITS;
}

static void answer_one(struct lmtp_session *s, struct lmtp_pending *p, enum db_status status,
                       const struct resolved *rows, size_t count)
{
    enum recipient_verdict verdict;
    enum lmtp_reply_name reply;

    if (status != DB_OK || count == 0)
        reply = REPLY_TROUBLE;
    else if ((verdict = verdict_of(s->service, rows, count)) != RECIPIENT_OK)
        reply = lmtp_verdict_reply(s->service, verdict);
    else
        reply = accept(s, p, rows, count) ? REPLY_RCPT_OK : REPLY_TOO_MANY;
    if (reply != REPLY_RCPT_OK)
        log_refused(s, p->address, reply);
    lmtp_say(s, reply, p->address, NULL);
}

/* In the order in which they came; rows has some for each that was asked about, none if status is not DB_OK. */
static void answer_all(struct lmtp_session *s, enum db_status status, const struct resolved *rows, size_t count)
{
    size_t asked = 0, at = 0;

    for (size_t i = 0; i < s->pending_count && !s->ending; i++) {
        struct lmtp_pending *p = &s->pending[i];
        size_t n = 0;
        if (p->address == NULL) {
            lmtp_say(s, p->reply, p->why, NULL);
            continue;
        }
        while (at + n < count && rows[at + n].recipient == asked)
            n++;
        answer_one(s, p, status, rows + at, n);
        asked++;
        at += n;
    }
    forget_pending(s);
}

static void resolved(void *owner, enum db_status status, const struct resolved *rows, size_t count)
{
    struct lmtp_session *s = owner;

    s->job = NULL;
    answer_all(s, status, rows, count);
    lmtp_go_on(s, LMTP_MAIL);
}

void lmtp_answer_pending(struct lmtp_session *s)
{
    struct resolve_question *questions = mem_array(s->pending_count, sizeof questions[0]);
    char postmaster[NAME_ADDRESS_MAX + 1];
    size_t count = 0;

    /* What is wrong with it was told when the configuration was checked. */
    (void)name_canonical(span_str(s->service->host.settings->lmtp_postmaster), SPAN_OF(""), postmaster, NULL);
    for (size_t i = 0; i < s->pending_count; i++)
        if (s->pending[i].address != NULL)
            questions[count++] = (struct resolve_question){ s->pending[i].address, s->pending[i].base };
    if (count == 0) {
        answer_all(s, DB_OK, NULL, 0);
    } else {
        s->job = deliver_resolve(s->service->host.deliver, questions, count, s->announced,
                                 postmaster[0] != '\0' ? postmaster : NULL, resolved, s);
        lmtp_rest(s, LMTP_RESOLVING);
    }
    mem_free(questions);
}

/* --------------------------------------------------------------- DATA and BDAT */

static void cmd_data(struct lmtp_session *s, struct span args)
{
    (void)args;
    if (s->chunks)
        lmtp_say(s, REPLY_NESTED, NULL, NULL);
    else if (s->recipient_count == 0)
        lmtp_say(s, REPLY_NO_RECIPIENT, NULL, NULL);
    else
        lmtp_data(s);
}

static void cmd_bdat(struct lmtp_session *s, struct span args)
{
    const char *space = memchr(args.at, ' ', args.len);
    struct span number = { args.at, space != NULL ? (size_t)(space - args.at) : args.len };
    struct span rest = { number.at + number.len, args.len - number.len };
    uint64_t octets;
    bool last = span_is_nocase(rest, SPAN_OF(" LAST"));

    if (num_parse(number, INT64_MAX, &octets) == 1 && (rest.len == 0 || last)) {
        lmtp_bdat(s, octets, last);
        return;
    }
    lmtp_bdat_refused(s, REPLY_SYNTAX_BDAT);
}

void lmtp_bdat_refused(struct lmtp_session *s, enum lmtp_reply_name why)
{
    lmtp_say(s, why, NULL, NULL);
    lmtp_end(s, LMTP_ERRORS);
}

bool lmtp_is_bdat(struct span line)
{
    return line.len >= 4 && span_is_nocase((struct span){ line.at, 4 }, SPAN_OF("BDAT")) &&
           (line.len == 4 || !isalnum((unsigned char)line.at[4]));
}

/* A line that cannot be what it begins as. */
static void refuse_line(struct lmtp_session *s, struct span line, enum lmtp_reply_name why)
{
    if (lmtp_is_bdat(line))
        lmtp_bdat_refused(s, why);
    else
        lmtp_say(s, why, NULL, NULL);
}

/* -------------------------------------------------------------------- dispatch */

static const struct command commands[] = {
    { "LHLO", ALWAYS, SOME, REPLY_LHLO_NAME, cmd_lhlo },
    { "MAIL", IN_READY | IN_MAIL, SOME, REPLY_SYNTAX_FROM, cmd_mail },
    { "RCPT", IN_MAIL, SOME, REPLY_SYNTAX_TO, cmd_rcpt },
    { "DATA", IN_MAIL, NONE, REPLY_NO_ARGUMENT, cmd_data },
    { "BDAT", ALWAYS, SOME, REPLY_SYNTAX_BDAT, cmd_bdat },
    { "RSET", ALWAYS, NONE, REPLY_NO_ARGUMENT, cmd_rset },
    { "NOOP", ALWAYS, ANY, REPLY_NO_ARGUMENT, cmd_noop },
    { "QUIT", ALWAYS, NONE, REPLY_NO_ARGUMENT, cmd_quit },
    { "VRFY", ALWAYS, SOME, REPLY_BAD_RCPT, cmd_vrfy },
    { "HELP", ALWAYS, ANY, REPLY_NO_ARGUMENT, cmd_help },
    { "EXPN", ALWAYS, ANY, REPLY_NO_ARGUMENT, cmd_not_here },
    { "AUTH", ALWAYS, ANY, REPLY_NO_ARGUMENT, cmd_not_here },
    { "STARTTLS", ALWAYS, ANY, REPLY_NO_ARGUMENT, cmd_not_here },
    { "HELO", ALWAYS, ANY, REPLY_NO_ARGUMENT, cmd_speak_lmtp },
    { "EHLO", ALWAYS, ANY, REPLY_NO_ARGUMENT, cmd_speak_lmtp },
};

static const struct command *find(struct span verb)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (span_is_nocase(verb, span_str(commands[i].verb)))
            return &commands[i];
    return NULL;
}

/* Nothing that is no text gets further. */
static bool is_text(struct lmtp_session *s, struct span line)
{
    for (size_t i = 0; i < line.len; i++) {
        char c = line.at[i];
        if (is_text_octet(c))
            continue;
        refuse_line(s, line, c == '\r' || c == '\n' ? REPLY_BAD_LINE : REPLY_BAD_OCTET);
        return false;
    }
    return true;
}

void lmtp_command(struct lmtp_session *s, struct span line)
{
    const char *space = memchr(line.at, ' ', line.len);
    struct span verb = { line.at, space != NULL ? (size_t)(space - line.at) : line.len };
    struct span args = { verb.at + verb.len, 0 };
    const struct command *command = find(verb);
    bool path = command != NULL && (command->run == cmd_mail || command->run == cmd_rcpt);

    if (line.len + 2 > LMTP_LINE_LIMIT && !path) {
        refuse_line(s, line, REPLY_TOO_LONG);
        return;
    }
    if (!is_text(s, line))
        return;
    if (command == NULL) {
        lmtp_say(s, REPLY_UNKNOWN, NULL, NULL);
        return;
    }
    /* RFC 5321 section 4.1.1: white space behind a command is nothing. */
    while (line.len > 0 && line.at[line.len - 1] == ' ')
        line.len--;
    if (line.len > verb.len)
        args = (struct span){ verb.at + verb.len + 1, line.len - verb.len - 1 };
    if ((command->args == NONE && args.len > 0) || (command->args == SOME && args.len == 0))
        refuse_line(s, line, command->wrong);
    else if ((command->states & IN(s->state)) == 0)
        lmtp_say(s, REPLY_SEQUENCE, NULL, NULL);
    else
        command->run(s, args);
}
