/*
 * mbox_server.c - what a server showed of the messages in an mbox.
 *
 * Must never give a message the UIDL of another one: where the header does not say it in
 * the way of that server, there is none.
 */
#include "admin/mail/mbox_server.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "admin/mail/received.h"
#include "admin/mail/uidl_format.h"
#include "daemon/base/mem.h"
#include "daemon/base/num.h"

enum { HEADER_CHUNK = 16 * 1024, HEADER_MAX = 4 * 1024 * 1024, HASH_OCTETS = 16 };

enum uidl_of { UIDL_OF_UID, UIDL_OF_FIELD, UIDL_OF_MD5 };

struct mbox_server {
    const char *name;
    enum uidl_of uidl;
    const char *fixed;              /* UIDL_OF_UID: the format, where it is always the same */
    const char *const *hidden;
    bool one_line;
    const char *adds, *before;      /* this field, in front of that one, or at the end of the header */
    enum mbox_quoting quoting;      /* what it makes of a line that is quoted */
    bool bounded;                   /* a uid beyond the last one of X-IMAPbase is none */
};

/* The format of Dovecot that has an MD5 of header fields. */
static const char header_md5[] = "%m";

static const char *const nothing[] = { NULL };
/* Each with those that it writes itself. */
static const char *const of_dovecot[] = {
    "Content-Length", "Status", "X-IMAP", "X-IMAPbase", "X-Keywords", "X-Status", "X-UID", NULL,
};
static const char *const of_uw[] = { "Status", "X-Status", "X-Keywords", "X-UID", "X-IMAP", "X-IMAPbase", NULL };
/* It shows this one, but without the blanks that it puts in front of the value. */
static const char *const of_mailutils[] = { "X-IMAPbase", NULL };
static const char *const of_qpopper[] = { "Content-Length", "X-UIDL", NULL };

static const struct mbox_server servers[] = {
    { .name = "dovecot", .uidl = UIDL_OF_UID, .hidden = of_dovecot },
    { .name = "uw", .uidl = UIDL_OF_UID, .fixed = "%08Xv%08Xu", .hidden = of_uw, .adds = "Status", .bounded = true },
    { .name = "popa3d", .uidl = UIDL_OF_MD5, .hidden = nothing },
    { .name = "qpopper", .uidl = UIDL_OF_FIELD, .hidden = of_qpopper, .one_line = true, .adds = "X-UIDL",
      .before = "Status" },
    { .name = "mailutils", .uidl = UIDL_OF_FIELD, .hidden = of_mailutils, .adds = "X-IMAPbase", .before = "X-UID",
      .quoting = MBOX_UNQUOTE_RD },
};

const struct mbox_server *mbox_server_find(const char *name)
{
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++)
        if (strcmp(servers[i].name, name) == 0)
            return &servers[i];
    return NULL;
}

enum mbox_quoting mbox_server_quoting(const struct mbox_server *server) { return server->quoting; }

const char *mbox_server_format_fault(const char *format)
{
    struct buf without = BUF_EMPTY, with = BUF_EMPTY;
    const char *why = strcmp(format, header_md5) == 0 ? NULL : uidl_format_fault(format);

    if (why == NULL && strcmp(format, header_md5) != 0) {
        uidl_format_make(format, &(struct uidl_values){ 1, 1, SPAN_OF(""), SPAN_OF("") }, &without);
        uidl_format_make(format, &(struct uidl_values){ 1, 1, SPAN_OF("x"), SPAN_OF("x") }, &with);
        if (!span_is(buf_span(&without), buf_span(&with)))
            why = "has the name or the GUID of a message, which those of an mbox have not";
    }
    buf_free(&without);
    buf_free(&with);
    return why;
}

/* ------------------------------------------------------------------ header */

/* The header of a message, without the empty line behind it. False: it cannot be read, or is larger than any. */
static bool read_header(int fd, off_t at, off_t end, struct buf *header)
{
    char chunk[HEADER_CHUNK];

    while (at < end && buf_left(header) < HEADER_MAX) {
        size_t want = end - at < HEADER_CHUNK ? (size_t)(end - at) : HEADER_CHUNK;
        ssize_t got = pread(fd, chunk, want, at);
        size_t from = buf_left(header) < 3 ? 0 : buf_left(header) - 3;

        if (got <= 0) {
            if (got < 0 && errno == EINTR)
                continue;
            return false;
        }
        buf_add(header, chunk, (size_t)got);
        at += got;

        struct span new = { buf_span(header).at + from, buf_left(header) - from };
        if (memmem(new.at, new.len, "\n\n", 2) != NULL || memmem(new.at, new.len, "\n\r\n", 3) != NULL)
            return true;
    }
    return at == end;
}

/* With its end. False at the end of the header. */
static bool take_line(struct span *header, struct span *line_r)
{
    const char *lf = header->len > 0 ? memchr(header->at, '\n', header->len) : NULL;
    size_t n = lf != NULL ? (size_t)(lf - header->at) + 1 : header->len;

    *line_r = (struct span){ header->at, n };
    header->at += n;
    header->len -= n;
    return n > 0 && line_r->at[0] != '\n' && !(n > 1 && line_r->at[0] == '\r' && line_r->at[1] == '\n');
}

/* The value of the field without blanks around it, if the line is that field. */
static bool is_the(struct span line, const char *name, struct span *value_r)
{
    size_t at = strlen(name);

    if (line.len <= at || strncasecmp(line.at, name, at) != 0 || line.at[at] != ':')
        return false;
    at++;
    while (at < line.len && (line.at[at] == ' ' || line.at[at] == '\t'))
        at++;
    while (line.len > at && strchr(" \t\r\n", line.at[line.len - 1]) != NULL)
        line.len--;
    *value_r = (struct span){ line.at + at, line.len - at };
    return true;
}

/* What the header says, apart from digests. */
struct said {
    bool has_base, has_uid, has_uidl;
    uint32_t validity, last, uid;
    struct span uidl, base;
    bool read, old;             /* R and O of Status */
};

static bool number_of(struct span *value, uint32_t *n_r)
{
    size_t digits = 0;
    uint64_t n;

    while (digits < value->len && value->at[digits] >= '0' && value->at[digits] <= '9')
        digits++;
    if (num_parse((struct span){ value->at, digits }, UINT32_MAX, &n) != 1)
        return false;
    *n_r = (uint32_t)n;
    while (digits < value->len && (value->at[digits] == ' ' || value->at[digits] == '\t'))
        digits++;
    *value = (struct span){ value->at + digits, value->len - digits };
    return true;
}

static void hear(struct said *said, struct span line)
{
    struct span v;

    if (line.len == 0 || ((line.at[0] | 0x20) != 'x' && (line.at[0] | 0x20) != 's'))
        return;
    if (!said->has_base && (is_the(line, "X-IMAPbase", &v) || is_the(line, "X-IMAP", &v))) {
        said->base = v;
        said->has_base = number_of(&v, &said->validity) && number_of(&v, &said->last) && said->validity > 0;
    } else if (!said->has_uid && is_the(line, "X-UID", &v))
        said->has_uid = number_of(&v, &said->uid) && v.len == 0 && said->uid > 0;
    else if (!said->has_uidl && is_the(line, "X-UIDL", &v)) {
        said->uidl = v;
        said->has_uidl = v.len > 0;
    } else if (is_the(line, "Status", &v)) {
        said->read |= memchr(v.at, 'R', v.len) != NULL;
        said->old |= memchr(v.at, 'O', v.len) != NULL;
    }
}

static struct said listen(struct span header)
{
    struct said said = { .has_base = false };
    struct span line;

    while (take_line(&header, &line))
        hear(&said, line);
    return said;
}

/* --------------------------------------------------------------------- MD5 */

/* Is the line, or the field that it continues, one that counts? */
struct counting {
    bool received, counts;
};

static bool counts(struct counting *c, struct span line)
{
    struct span v;

    if (line.at[0] == ' ' || line.at[0] == '\t')
        return c->counts;
    c->counts = is_the(line, "Delivered-To", &v) || is_the(line, "X-Delivery-ID", &v);
    if (!c->received && is_the(line, "Received", &v))
        c->received = c->counts = true;
    else if (!c->received && (is_the(line, "Date", &v) || is_the(line, "Message-ID", &v)))
        c->counts = true;
    return c->counts;
}

/* Without the name of the field and the end of the line. */
static struct span field_text(struct span line)
{
    const char *colon = line.at[0] != ' ' && line.at[0] != '\t' ? memchr(line.at, ':', line.len) : NULL;

    if (colon != NULL) {
        line = (struct span){ colon + 1, line.len - (size_t)(colon + 1 - line.at) };
        while (line.len > 0 && (line.at[0] == ' ' || line.at[0] == '\t'))
            line.at++, line.len--;
    }
    if (line.len > 0 && line.at[line.len - 1] == '\n')
        line.len--;
    if (line.len > 0 && line.at[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* Of whole lines, as popa3d has it, or of values, as Dovecot does. False where there is no MD5. */
static bool md5_of(struct span header, bool values, unsigned char md5[HASH_OCTETS])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct counting c = { .received = false };
    struct span line;
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1;

    while (ok && take_line(&header, &line))
        if (counts(&c, line)) {
            struct span what = values ? field_text(line) : line;

            ok = EVP_DigestUpdate(ctx, what.at, what.len) == 1;
        }
    ok = ok && EVP_DigestFinal_ex(ctx, md5, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* ------------------------------------------------------------------- UIDLs */

void mbox_seen_begin(struct mbox_seen *s, const struct mbox_server *server, const char *format)
{
    *s = (struct mbox_seen){ .server = server, .format = format };
}

void mbox_seen_free(struct mbox_seen *s)
{
    buf_free(&s->uidl);
    buf_free(&s->added);
}

/* The uidvalidity is that of the first message; uids rise, or they are none. */
static bool valid_uid(struct mbox_seen *s, const struct said *said)
{
    if (!s->begun && said->has_base) {
        s->validity = said->validity;
        s->last = said->last;
    }
    s->begun = true;
    if (!said->has_uid || s->validity == 0 || said->uid <= s->uid || (s->server->bounded && said->uid > s->last))
        return false;
    s->uid = said->uid;
    return true;
}

static void by_md5(struct mbox_seen *s, struct span header, bool values)
{
    const size_t shown = values ? HASH_OCTETS : HASH_OCTETS / 2;
    /* popa3d shows each four octets from the last one to the first. */
    const size_t turn = values ? 0 : 3;
    unsigned char md5[HASH_OCTETS];

    if (!md5_of(header, values, md5))
        return;
    for (size_t i = 0; i < shown; i++)
        buf_addf(&s->uidl, "%02x", md5[i ^ turn]);
}

static void by_uid(struct mbox_seen *s, const struct said *said)
{
    const char *format = s->server->fixed != NULL ? s->server->fixed : s->format != NULL ? s->format : "%08Xu%08Xv";

    if (valid_uid(s, said))
        uidl_format_make(format, &(struct uidl_values){ said->uid, s->validity, SPAN_OF(""), SPAN_OF("") }, &s->uidl);
}

/* What it showed, into s->uidl; nothing where it has shown none. */
static void find_uidl(struct mbox_seen *s, const struct said *said, struct span header)
{
    switch (s->server->uidl) {
    case UIDL_OF_UID:
        if (s->server->fixed == NULL && s->format != NULL && strcmp(s->format, header_md5) == 0)
            by_md5(s, header, true);
        else
            by_uid(s, said);
        break;
    case UIDL_OF_FIELD:
        if (said->has_uidl && memchr(said->uidl.at, '\0', said->uidl.len) == NULL)
            buf_add(&s->uidl, said->uidl.at, said->uidl.len);
        break;
    case UIDL_OF_MD5:
        by_md5(s, header, false);
        break;
    }
}

static void add_field(struct buf *to, const char *name, struct span value)
{
    if (value.len == 0)
        return;
    buf_add_str(to, name);
    buf_add(to, value.at, value.len);
    buf_add(to, "\n", 1);
}

static void add_line(struct mbox_seen *s, const struct said *said)
{
    const char *adds = s->server->adds;

    if (strcmp(adds, "Status") == 0)
        buf_addf(&s->added, "Status: %s%s\n", said->read ? "R" : " ", said->old ? "O" : " ");
    else if (strcmp(adds, "X-UIDL") == 0)
        add_field(&s->added, "X-UIDL: ", said->uidl);
    else
        add_field(&s->added, "X-IMAPbase: ", said->base);
    s->hide.add = buf_span(&s->added);
    s->hide.before = s->server->before;
}

const char *mbox_seen_message(struct mbox_seen *s, int fd, off_t at, off_t end)
{
    struct buf header = BUF_EMPTY;
    struct said said;

    buf_clear(&s->uidl);
    buf_clear(&s->added);
    s->has_received = false;
    s->hide = (struct hide_how){ .names = s->server->hidden, .one_line = s->server->one_line };
    if (read_header(fd, at, end, &header)) {
        said = listen(buf_span(&header));
        find_uidl(s, &said, buf_span(&header));
        s->has_received = received_time(buf_span(&header), &s->received) == RECEIVED_FIELD;
        if (s->server->adds != NULL)
            add_line(s, &said);
    }
    buf_free(&header);
    return buf_left(&s->uidl) > 0 ? buf_span(&s->uidl).at : NULL;
}

static void no_doubt(void *arg, uint64_t line, const char *what)
{
    (void)arg, (void)line, (void)what;
}

bool mbox_seen_uids(int fd)
{
    /* The first one may be what UW imap keeps for itself. */
    enum { LOOK_AT = 2 };
    struct mbox_scan *scan = mbox_scan_new(fd, false, no_doubt, NULL);
    struct mbox_seen seen;
    struct mbox_message m;
    bool any = false;

    mbox_seen_begin(&seen, mbox_server_find("dovecot"), NULL);
    for (int i = 0; i < LOOK_AT && !any && mbox_next(scan, &m) == 1; i++)
        any = mbox_seen_message(&seen, fd, m.at, m.end) != NULL;
    mbox_seen_free(&seen);
    mbox_scan_free(&scan);
    return any;
}
