/*
 * source_pop3.c - the messages that somebody's POP3 server has (see source_pop3.h).
 *
 * Must never give out the octets of one message as those of another: after a connection was
 * lost, numbers mean nothing until the server has listed what it has once more.
 */
#include "admin/mail/source_pop3.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "admin/mail/received.h"
#include "admin/mail/source_impl.h"
#include "admin/mail/spooled.h"
#include "admin/shown.h"
#include "daemon/base/clock.h"
#include "daemon/base/mem.h"

enum {
    AHEAD_MESSAGES = 128,       /* asked for and not answered: their commands are 1.5 KB, which fit on the way */
    AHEAD_OCTETS = 4 * 1024 * 1024,
    TRIES = 3,                  /* of one message that the connection is lost with */
    PAUSE_MAX = 30,             /* seconds between two tries to log in */
    HEAD = 64 * 1024,           /* of a message, where its date is looked for */
};

struct message {
    uint32_t number;            /* at the server, now; 0: it is not there any more */
    uint64_t octets;            /* as LIST said when it was met first; not more than SOURCE_POP3_MAX */
    char *uidl;
    unsigned char tries;
    bool left;                  /* nobody wants to read it */
};

struct pop3_source {
    struct source source;       /* the first member */
    struct source_pop3_how how;
    struct pop3 *pop3;          /* NULL: not connected */
    struct message *messages;
    size_t count;
    size_t next;                /* of source_next() */
    size_t chosen;              /* so many were asked about by source_choose() */

    /* Asked for, in order, and not answered. */
    size_t ahead[AHEAD_MESSAGES];
    size_t ahead_first, ahead_count;
    uint64_t ahead_octets;

    struct spooled spooled;
    size_t held;                /* the message that it holds, from 1; 0: none */
    int64_t held_received;
    int spool_error;            /* errno */
    bool too_large;
    uint64_t waiting;           /* clock_ms(): since when no message came, for want of the server; 0: it is well */
    unsigned pause;             /* seconds, before the next try */
    uint64_t reads;             /* messages, in this session */
    bool told_distrust;
    struct buf name, label, why;
};

static struct pop3_source *of(struct source *s) { return (struct pop3_source *)s; }

static void tell(struct pop3_source *p, const char *text)
{
    if (p->how.tell != NULL)
        p->how.tell(p->how.arg, text);
}

static bool broken(struct pop3_source *p, const char *why)
{
    if (buf_left(&p->source.broken) == 0)
        buf_addf(&p->source.broken, "%s: %s", p->how.url, why);
    return false;
}

/* --------------------------------------------------------------- the session */

static void leave(struct pop3_source *p)
{
    if (p->pop3 != NULL)
        pop3_free(&p->pop3);
    p->ahead_count = p->ahead_first = 0;
    p->ahead_octets = 0;
    p->reads = 0;
}

static bool stopped(const struct pop3_source *p)
{
    return p->how.pop3.stop != NULL && p->how.pop3.stop(p->how.pop3.arg);
}

/* Waits before another try; false: that would be too long, or nobody wants it. */
static bool pause_for(struct pop3_source *p, unsigned wanted, const char *why)
{
    const uint64_t now = clock_ms(), patience = p->how.patience * (uint64_t)1000;
    unsigned seconds = p->pause > 0 ? p->pause : 1;
    uint64_t until;
    struct buf text = BUF_EMPTY;

    seconds = wanted > seconds ? wanted : seconds;
    p->pause = seconds * 2 > PAUSE_MAX ? PAUSE_MAX : seconds * 2;
    if (p->waiting == 0)
        p->waiting = now;
    until = now + seconds * (uint64_t)1000;
    if (until - p->waiting > patience)
        return false;
    buf_addf(&text, "%s: %s; trying again in %u s", p->how.url, why, seconds);
    tell(p, buf_span(&text).at);
    buf_free(&text);
    while (clock_left(until) > 0 && !stopped(p)) {
        const int left = clock_left(until);
        const struct timespec t = { left / 1000, left % 1000 * 1000000L };

        nanosleep(&t, NULL);
    }
    return !stopped(p);
}

static void told_once(struct pop3_source *p)
{
    struct buf text = BUF_EMPTY;

    if (p->told_distrust)
        return;
    if (pop3_distrust(p->pop3) != NULL)
        buf_addf(&text, "warning: the certificate of %s is not to be trusted (%s): anybody on the way can read the "
                 "password and the mail, and change the mail", p->how.url, pop3_distrust(p->pop3));
    else if (pop3_is_plaintext(p->pop3))
        buf_addf(&text, "warning: the connection to %s has no TLS: anybody on the way can read the password and the "
                 "mail, and change the mail", p->how.url);
    if (buf_left(&text) > 0)
        tell(p, buf_span(&text).at);
    buf_free(&text);
    p->told_distrust = true;
}

/*
 * Logs in and lists; waits for a server that is busy, and, if it was there before, for one that is
 * away. False with p->why.
 */
static bool enter(struct pop3_source *p, struct pop3_list *list, bool again)
{
    for (;;) {
        enum pop3_end end;
        unsigned delay;

        p->pop3 = pop3_new(&p->how.pop3);
        end = pop3_login(p->pop3);
        if (end == POP3_DONE) {
            told_once(p);
            end = pop3_list(p->pop3, list);
            if (end == POP3_DONE)
                return true;
            pop3_list_free(list);
        }
        delay = pop3_delay(p->pop3);
        buf_clear(&p->why);
        buf_add_str(&p->why, pop3_why(p->pop3));
        leave(p);
        if (end != POP3_LATER && !(end == POP3_LOST && again))
            return false;
        if (!pause_for(p, end == POP3_LATER ? delay : 0, buf_span(&p->why).at)) {
            if (end == POP3_LATER && delay > p->how.patience)
                buf_addf(&p->why, "; it wants us to wait for %u s: see --wait", delay);
            return false;
        }
    }
}

/* -------------------------------------------------------- messages found again */

static int by_uidl(const void *a, const void *b)
{
    const struct pop3_message *x = *(struct pop3_message *const *)a, *y = *(struct pop3_message *const *)b;
    int order = strcmp(x->uidl, y->uidl);

    return order != 0 ? order : x < y ? -1 : x > y;
}

/* The messages of a list that have a UIDL, by it; of several with the same one, in their order. */
static struct pop3_message **sorted_by_uidl(struct pop3_list *list, size_t *count_r)
{
    struct pop3_message **sorted = mem_array(list->count + 1, sizeof *sorted);
    size_t n = 0;

    for (size_t i = 0; i < list->count; i++)
        if (list->messages[i].uidl != NULL)
            sorted[n++] = &list->messages[i];
    qsort(sorted, n, sizeof *sorted, by_uidl);
    *count_r = n;
    return sorted;
}

static size_t first_with(struct pop3_message **sorted, size_t count, const char *uidl)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(sorted[middle]->uidl, uidl) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t listed_octets(const struct pop3_message *m)
{
    return m->octets < SOURCE_POP3_MAX ? m->octets : SOURCE_POP3_MAX;
}

/*
 * The numbers that the messages have now. One without a UIDL is the one with its number, while
 * nothing in front of it has gone; of several with the same UIDL likewise. What came since is not
 * looked at. False: that cannot be told.
 */
static bool find_again(struct pop3_source *p, struct pop3_list *list)
{
    size_t count;
    struct pop3_message **sorted = sorted_by_uidl(list, &count);
    bool same = list->count >= p->count, ok = true;

    for (size_t i = 0; same && i < p->count; i++) {
        const struct pop3_message *now = &list->messages[i];
        const struct message *m = &p->messages[i];

        same = m->uidl == NULL ? now->uidl == NULL && listed_octets(now) == m->octets
                               : now->uidl != NULL && strcmp(now->uidl, m->uidl) == 0;
    }
    for (size_t i = 0; ok && i < p->count; i++) {
        struct message *m = &p->messages[i];

        if (same) {
            m->number = list->messages[i].number;
        } else if (m->uidl == NULL) {
            ok = m->left || i + 1 < p->next;
        } else {
            size_t at = first_with(sorted, count, m->uidl);

            m->number = at < count && strcmp(sorted[at]->uidl, m->uidl) == 0 ? sorted[at]->number : 0;
            if (m->number != 0 && at + 1 < count && strcmp(sorted[at + 1]->uidl, m->uidl) == 0)
                ok = m->left || i + 1 < p->next;
        }
    }
    mem_free(sorted);
    return ok;
}

static bool enter_again(struct pop3_source *p)
{
    struct pop3_list list = { .messages = NULL };
    bool ok;

    if (!enter(p, &list, true))
        return broken(p, buf_span(&p->why).at);
    ok = find_again(p, &list);
    pop3_list_free(&list);
    return ok || broken(p, "the connection was lost, and its messages have changed since: they have no UIDLs to find "
                           "them again; run the same command again");
}

/* ---------------------------------------------------------------- asking ahead */

static void item_of(struct pop3_source *p, size_t i, struct source_item *it)
{
    const struct message *m = &p->messages[i];

    it->source = &p->source;
    it->path = p->how.url;
    it->number = (unsigned)i + 1;
    it->uidl = m->uidl;
    it->uidl_file = p->how.url;
    it->uidl_line = i + 1;
    it->end = (off_t)m->octets;
}

static bool is_wanted(struct pop3_source *p, size_t i)
{
    for (; p->chosen <= i; p->chosen++) {
        struct source_item it = { .fd = -1 };

        item_of(p, p->chosen, &it);
        p->messages[p->chosen].left = p->source.wanted != NULL && !p->source.wanted(p->source.wanted_arg, &it);
    }
    return !p->messages[i].left && p->messages[i].number != 0;
}

/* Message i, and what is wanted behind it. */
static enum pop3_end ask_ahead(struct pop3_source *p, size_t i)
{
    const size_t most = pop3_pipelines(p->pop3) ? AHEAD_MESSAGES : 1;
    uint32_t numbers[AHEAD_MESSAGES];
    size_t n = 0;

    if (p->ahead_count > most / 2)
        return POP3_DONE;
    if (p->ahead_count > 0)
        i = p->ahead[(p->ahead_first + p->ahead_count - 1) % AHEAD_MESSAGES] + 1;
    for (bool first = p->ahead_count == 0; i < p->count && p->ahead_count < most; i++, first = false) {
        if (!first && !is_wanted(p, i))
            continue;
        if (!first && p->ahead_octets + p->messages[i].octets > AHEAD_OCTETS)
            break;
        p->ahead[(p->ahead_first + p->ahead_count++) % AHEAD_MESSAGES] = i;
        p->ahead_octets += p->messages[i].octets;
        numbers[n++] = p->messages[i].number;
    }
    return pop3_ask(p->pop3, numbers, n);
}

static void answered(struct pop3_source *p)
{
    const size_t i = p->ahead[p->ahead_first];

    p->ahead_octets -= p->messages[i].octets;
    p->ahead_first = (p->ahead_first + 1) % AHEAD_MESSAGES;
    p->ahead_count--;
}

static bool forget(void *arg, const char *at, size_t len)
{
    int64_t *octets = arg;

    (void)at;
    *octets += (int64_t)len;
    return *octets <= SOURCE_POP3_MAX;
}

static bool keep(void *arg, const char *at, size_t len)
{
    struct pop3_source *p = arg;

    p->too_large = p->spooled.octets + (off_t)(buf_left(&p->spooled.pending) + len) > SOURCE_POP3_MAX;
    if (!p->too_large && spooled_add(&p->spooled, at, len))
        return true;
    p->spool_error = errno;
    return false;
}

/* The answer for message i, which is asked for if it was not; those in front of it are passed over. */
static enum pop3_end read_message(struct pop3_source *p, size_t i)
{
    enum pop3_end end = POP3_DONE;

    while (p->ahead_count > 0 && p->ahead[p->ahead_first] != i) {
        int64_t octets = 0;

        end = pop3_answer(p->pop3, forget, &octets);
        answered(p);
        if (end != POP3_DONE && end != POP3_REFUSED && end != POP3_LATER)
            return end == POP3_UNWANTED ? POP3_LOST : end;
    }
    end = ask_ahead(p, i);
    if (end != POP3_DONE)
        return end;
    p->too_large = false;
    p->held = 0;
    if (!spooled_start(&p->spooled)) {
        p->spool_error = errno;
        return POP3_UNWANTED;
    }
    end = pop3_answer(p->pop3, keep, p);
    answered(p);
    if (end == POP3_DONE && !spooled_end(&p->spooled)) {
        p->spool_error = errno;
        return POP3_UNWANTED;
    }
    return end;
}

/* ------------------------------------------------------------------- the items */

static int64_t arrival(struct pop3_source *p)
{
    char *head = mem_alloc(HEAD);
    const int64_t now = (int64_t)time(NULL) * 1000000;
    int64_t when = now;
    ssize_t got = pread(p->spooled.fd, head, HEAD, 0);
    enum received_by by = received_time((struct span){ head, got > 0 ? (size_t)got : 0 }, &when);

    mem_free(head);
    if (by == RECEIVED_NOTHING || when > now) {
        p->source.seen.no_times++;
        return now;
    }
    p->source.seen.sent_times += by == RECEIVED_DATE;
    return when;
}

/* The server's words go to a terminal. */
static bool reject(struct pop3_source *p, struct source_item *it, const char *why)
{
    buf_clear(&p->why);
    buf_add_str(&p->why, why);
    shown_text(p->why.data + p->why.at);
    it->reject = buf_span(&p->why).at;
    return false;
}

/* The message is at hand, or was rejected, or none can be had. */
static bool settle(struct pop3_source *p, struct source_item *it, size_t i, enum pop3_end end, bool *again_r)
{
    struct message *m = &p->messages[i];

    *again_r = false;
    switch (end) {
    case POP3_DONE:
        p->held = i + 1;
        p->waiting = 0;
        p->pause = 0;
        p->reads++;
        p->held_received = arrival(p);
        return true;
    case POP3_REFUSED:
        return reject(p, it, pop3_why(p->pop3));
    case POP3_UNWANTED:
        leave(p);
        if (p->too_large)
            return reject(p, it, "is larger than 1 GB");
        buf_clear(&p->why);
        buf_addf(&p->why, "could not keep a message in $TMPDIR, or /var/tmp: %s", strerror(p->spool_error));
        return broken(p, buf_span(&p->why).at);
    case POP3_STOPPED:
        return broken(p, "interrupted");
    case POP3_LATER:
    case POP3_LOST:
        break;
    }
    if (++m->tries == TRIES) {
        struct buf why = BUF_EMPTY;

        buf_addf(&why, "could not be read in %d tries: %s", TRIES, pop3_why(p->pop3));
        reject(p, it, buf_span(&why).at);
        buf_free(&why);
        leave(p);
        return false;
    }
    *again_r = (end == POP3_LOST && p->reads > 0) ||
               pause_for(p, end == POP3_LATER ? pop3_delay(p->pop3) : 0, pop3_why(p->pop3));
    if (!*again_r)
        broken(p, stopped(p) ? "interrupted" : pop3_why(p->pop3));
    leave(p);
    return false;
}

static bool pop3_fetch(struct source_item *it)
{
    struct pop3_source *p = of(it->source);
    const size_t i = it->number - 1;
    bool again = p->held != i + 1, ok = !again;

    while (again) {
        if (source_broken(&p->source) != NULL || (p->pop3 == NULL && !enter_again(p)))
            return false;
        if (p->messages[i].number == 0)
            return reject(p, it, "is no longer at the server");
        ok = settle(p, it, i, read_message(p, i), &again);
    }
    if (!ok)
        return false;
    if (p->spooled.octets == 0)
        return reject(p, it, "is empty");
    it->fd = p->spooled.fd;
    it->at = 0;
    it->end = p->spooled.octets;
    it->received = p->held_received;
    return true;
}

static int pop3_next(struct source *s, struct source_item *it)
{
    struct pop3_source *p = of(s);

    if (p->next == p->count)
        return 0;
    item_of(p, p->next++, it);
    buf_clear(&p->name);
    buf_addf(&p->name, "%s:message %u", shown_name(p->how.url), it->number);
    it->name = buf_span(&p->name).at;
    s->seen.files++;
    s->seen.octets += it->end;
    return 1;
}

static void pop3_again(struct source *s)
{
    of(s)->next = 0;
    of(s)->chosen = 0;
}

static const char *pop3_label(const struct source *s) { return buf_span(&((const struct pop3_source *)s)->label).at; }

static void pop3_source_free(struct source *s)
{
    struct pop3_source *p = of(s);

    leave(p);
    for (size_t i = 0; i < p->count; i++)
        mem_free(p->messages[i].uidl);
    mem_free(p->messages);
    spooled_free(&p->spooled);
    buf_free(&p->name);
    buf_free(&p->label);
    buf_free(&p->why);
    mem_free(p);
}

static const struct source_kind pop3_kind = {
    .next = pop3_next, .fetch = pop3_fetch, .again = pop3_again, .label = pop3_label, .free = pop3_source_free,
    .by_uidl = true,
};

struct source *source_pop3_new(const struct source_pop3_how *how, char **why_r)
{
    struct pop3_source *p = mem_zalloc(sizeof *p);
    struct pop3_list list = { .messages = NULL };

    p->source.kind = &pop3_kind;
    p->how = *how;
    p->spooled = SPOOLED_NONE;
    buf_addf(&p->label, "pop3 %s@%s", how->pop3.user, how->pop3.address->host);
    if (!enter(p, &list, false)) {
        mem_error(why_r, "%s: %s", how->url, buf_span(&p->why).at);
        pop3_source_free(&p->source);
        return NULL;
    }
    p->count = list.count;
    p->messages = mem_array(list.count + 1, sizeof *p->messages);
    for (size_t i = 0; i < list.count; i++) {
        struct pop3_message *m = &list.messages[i];

        p->messages[i] = (struct message){ .number = m->number, .octets = listed_octets(m), .uidl = m->uidl };
        p->source.octets += (int64_t)listed_octets(m);
        m->uidl = NULL;
    }
    pop3_list_free(&list);
    return &p->source;
}
