/*
 * relay_talk.c - the dialogue with an old server up to its answer to a login (see relay_talk.h).
 *
 * Must never take for +OK what is not, nor let a password be asked for before the steps that come first.
 */
#include "daemon/pop3/relay_talk.h"

enum { CAPA_LINES_MAX = 200 };

void relay_talk_begin(struct relay_talk *talk, bool stls, bool xclient)
{
    *talk = (struct relay_talk){ .step = STEP_GREETING, .stls = stls, .xclient = xclient };
}

static bool begins(struct span line, struct span word)
{
    return line.len >= word.len && span_is_nocase((struct span){ line.at, word.len }, word);
}

/* "+OK", and nothing that goes on as a word. */
static bool is_word(struct span line, struct span word)
{
    return begins(line, word) && (line.len == word.len || line.at[word.len] == ' ' || line.at[word.len] == '\t');
}

static enum relay_next fault(struct relay_talk *talk, const char *why)
{
    talk->step = STEP_OVER;
    talk->fault = why;
    return RELAY_FAULT;
}

static enum relay_next say_capa(struct relay_talk *talk)
{
    talk->step = STEP_CAPA;
    return RELAY_SAY_CAPA;
}

static enum relay_next say_user(struct relay_talk *talk)
{
    talk->step = STEP_USER;
    talk->named = true;
    return RELAY_SAY_USER;
}

static enum relay_next say_xclient_or_capa(struct relay_talk *talk)
{
    if (!talk->xclient)
        return say_capa(talk);
    talk->step = STEP_XCLIENT;
    return RELAY_SAY_XCLIENT;
}

enum relay_next relay_talk_secured(struct relay_talk *talk)
{
    return say_xclient_or_capa(talk);
}

static bool next_word(struct span *rest, struct span *word_r)
{
    while (rest->len > 0 && (*rest->at == ' ' || *rest->at == '\t')) {
        rest->at++;
        rest->len--;
    }
    *word_r = (struct span){ rest->at, 0 };
    while (word_r->len < rest->len && rest->at[word_r->len] != ' ' && rest->at[word_r->len] != '\t')
        word_r->len++;
    rest->at += word_r->len;
    rest->len -= word_r->len;
    return word_r->len > 0;
}

/* "SASL PLAIN LOGIN" (RFC 5034 section 3). */
static enum relay_next capability(struct relay_talk *talk, struct span line)
{
    struct span word;

    if (span_is(line, SPAN_OF("."))) {
        if (!talk->plain)
            return say_user(talk);
        talk->step = STEP_AUTH;
        return RELAY_SAY_AUTH;
    }
    if (++talk->lines > CAPA_LINES_MAX)
        return fault(talk, "its answer to CAPA has no end");
    if (next_word(&line, &word) && span_is_nocase(word, SPAN_OF("SASL")))
        while (next_word(&line, &word))
            talk->plain = talk->plain || span_is_nocase(word, SPAN_OF("PLAIN"));
    return RELAY_WAIT;
}

/* "-ERR [AUTH] ...": what is in brackets decides; what follows is for people, and in whatever words. */
static enum relay_next refused(struct relay_talk *talk, struct span line)
{
    static const struct { struct span code; enum relay_refusal refusal;
    } codes[] = {
        { { "[IN-USE]", 8 }, RELAY_IN_USE },     { { "[LOGIN-DELAY]", 13 }, RELAY_LOGIN_DELAY },
        { { "[SYS/TEMP]", 10 }, RELAY_SYS_TEMP }, { { "[SYS/PERM]", 10 }, RELAY_SYS_PERM },
    };
    struct span rest = { line.at + 4, line.len - 4 };

    while (rest.len > 0 && *rest.at == ' ') {
        rest.at++;
        rest.len--;
    }
    talk->step = STEP_OVER;
    talk->refusal = RELAY_WRONG;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (begins(rest, codes[i].code))
            talk->refusal = codes[i].refusal;
    return RELAY_REFUSED;
}

/* What is left out of a server that does not do as it is asked, before a login is begun. */
static const char *unwilling(enum relay_step step)
{
    switch (step) {
    case STEP_GREETING:
        return "it greets with an error";
    case STEP_STLS:
        return "it does not begin TLS (STLS)";
    case STEP_XCLIENT:
        return "it does not take XCLIENT: this host has to be trusted there";
    case STEP_CAPA:
    case STEP_CAPA_LIST:
    case STEP_AUTH:
    case STEP_RESPONSE:
    case STEP_USER:
    case STEP_PASS:
    case STEP_OVER:
        break;
    }
    return "it does not speak POP3";
}

static enum relay_next accepted(struct relay_talk *talk)
{
    switch (talk->step) {
    case STEP_GREETING:
        if (!talk->stls)
            return say_xclient_or_capa(talk);
        talk->step = STEP_STLS;
        return RELAY_SAY_STLS;
    case STEP_STLS:
        return RELAY_BEGIN_TLS;
    case STEP_XCLIENT:
        return say_capa(talk);
    case STEP_CAPA:
        talk->step = STEP_CAPA_LIST;
        return RELAY_WAIT;
    case STEP_USER:
        talk->step = STEP_PASS;
        return RELAY_SAY_PASS;
    case STEP_RESPONSE:
    case STEP_PASS:
        talk->step = STEP_OVER;
        return RELAY_ACCEPTED;
    case STEP_CAPA_LIST:
    case STEP_AUTH:
    case STEP_OVER:
        break;
    }
    return fault(talk, "it does not speak POP3");
}

static enum relay_next error(struct relay_talk *talk, struct span line)
{
    switch (talk->step) {
    case STEP_CAPA:                 /* of before RFC 2449 */
    case STEP_AUTH:                 /* offered, and not taken: the other way is left */
        return say_user(talk);
    case STEP_RESPONSE:
    case STEP_USER:                 /* some refuse a name at once */
    case STEP_PASS:
        return refused(talk, line);
    case STEP_GREETING:
    case STEP_STLS:
    case STEP_XCLIENT:
    case STEP_CAPA_LIST:
    case STEP_OVER:
        break;
    }
    return fault(talk, unwilling(talk->step));
}

enum relay_next relay_talk_line(struct relay_talk *talk, enum line_kind kind, struct span line)
{
    if (kind != LINE_COMMAND)
        return fault(talk, kind == LINE_NUL ? "there is a NUL in its answer" : "its answer is too long a line");
    if (talk->step == STEP_CAPA_LIST)
        return capability(talk, line);
    if (is_word(line, SPAN_OF("+OK")))
        return accepted(talk);
    if (is_word(line, SPAN_OF("-ERR")))
        return error(talk, line);
    if (talk->step == STEP_AUTH && line.len > 0 && line.at[0] == '+') {
        talk->step = STEP_RESPONSE;
        talk->named = true;
        return RELAY_SAY_RESPONSE;
    }
    return fault(talk, "it does not speak POP3");
}
