/*
 * tls_ends.c - notes when certificates end, and tells in time. Knows no clock:
 * the caller says what time it is.
 */
#include "daemon/net/tls_ends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/base/buf.h"
#include "daemon/base/log.h"
#include "daemon/base/mem.h"

enum {
    HOUR = 3600,
    DAY = 86400,
    TOLD_MAX = 20,          /* lines at once: a directory may hold thousands */
    METRICS_MAX = 100,
};

static const struct kind {
    const char *label, *what, *what_then;
} kinds[] = {
    [TLS_END_CERTIFICATE] = { "certificate", "the certificate", "clients refuse it" },
    [TLS_END_CHAIN] = { "chain", "a certificate of the chain", "clients may refuse what it signed" },
    [TLS_END_CLIENT_CA] = { "client_ca", "the client authority", "the certificates that it signed are refused" },
    [TLS_END_CLIENT_CRL] = { "client_crl", "the revocation list",
                             "all certificates of that authority are refused" },
};

int64_t tls_end_of(const ASN1_TIME *time)
{
    struct tm tm;

    return time != NULL && ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : INT64_MAX;
}

static int compare(const void *a, const void *b)
{
    const struct tls_end *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return strcmp(x->file, y->file);
}

void tls_ends_note(struct tls_ends *ends, enum tls_end_kind kind, const char *file, int64_t at)
{
    if (at == INT64_MAX)
        return;
    for (size_t i = 0; i < ends->count; i++) {
        struct tls_end *end = &ends->list[i];

        if (end->kind == kind && strcmp(end->file, file) == 0) {
            end->at = at < end->at ? at : end->at;
            return;
        }
    }
    ends->list = mem_resize(ends->list, ends->count + 1, sizeof *ends->list);
    ends->list[ends->count++] = (struct tls_end){ .kind = kind, .file = mem_str(file), .at = at };
}

void tls_ends_note_chain(struct tls_ends *ends, const char *file, const X509 *own, const STACK_OF(X509) *chain)
{
    tls_ends_note(ends, TLS_END_CERTIFICATE, file, tls_end_of(X509_get0_notAfter(own)));
    for (int i = 0; i < sk_X509_num(chain); i++)
        tls_ends_note(ends, TLS_END_CHAIN, file, tls_end_of(X509_get0_notAfter(sk_X509_value(chain, i))));
}

static const X509_CRL *crl_of(const STACK_OF(X509_OBJECT) *objects, int i)
{
    return X509_OBJECT_get0_X509_CRL((X509_OBJECT *)(uintptr_t)sk_X509_OBJECT_value(objects, i));
}

/* Of all lists of the authority that made this one. */
static int64_t last_update(const STACK_OF(X509_OBJECT) *objects, const X509_CRL *crl)
{
    int64_t last = 0;

    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        const X509_CRL *other = crl_of(objects, i);

        if (other != NULL && X509_NAME_cmp(X509_CRL_get_issuer(other), X509_CRL_get_issuer(crl)) == 0) {
            int64_t at = tls_end_of(X509_CRL_get0_nextUpdate(other));

            last = at > last ? at : last;
        }
    }
    return last;
}

void tls_ends_note_store(struct tls_ends *ends, X509_STORE *store, const char *ca_file, const char *crl_file)
{
    const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);

    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        const X509 *ca = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        const X509_CRL *crl = crl_of(objects, i);

        if (ca != NULL)
            tls_ends_note(ends, TLS_END_CLIENT_CA, ca_file, tls_end_of(X509_get0_notAfter(ca)));
        else if (crl != NULL)
            tls_ends_note(ends, TLS_END_CLIENT_CRL, crl_file, last_update(objects, crl));
    }
}

void tls_ends_add(struct tls_ends *ends, const struct tls_ends *more)
{
    for (size_t i = 0; i < more->count; i++)
        tls_ends_note(ends, more->list[i].kind, more->list[i].file, more->list[i].at);
}

void tls_ends_free(struct tls_ends *ends)
{
    for (size_t i = 0; i < ends->count; i++)
        mem_free(ends->list[i].file);
    mem_free(ends->list);
    *ends = TLS_ENDS_NONE;
}

static void say_one(const struct tls_end *end, int64_t now, tls_ends_say *say, void *arg)
{
    const struct kind *kind = &kinds[end->kind];
    int64_t left = end->at - now;
    bool days = left >= 2 * DAY;
    time_t at = (time_t)end->at;
    struct tm tm;
    char when[64], text[4600];

    if (gmtime_r(&at, &tm) == NULL || strftime(when, sizeof when, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        snprintf(when, sizeof when, "%lld", (long long)end->at);
    if (left <= 0)
        snprintf(text, sizeof text, "%s in %s expired on %s: %s", kind->what, end->file, when, kind->what_then);
    else
        snprintf(text, sizeof text, "%s in %s expires in %lld %s, on %s: from then on %s", kind->what, end->file,
                 (long long)(left / (days ? DAY : HOUR)), days ? "days" : "hours", when, kind->what_then);
    say(arg, left <= 0, text);
}

/* What is due is marked as told; returns whether it is. */
static bool take_due(struct tls_end *end, int64_t now, int64_t ahead)
{
    bool over = end->at <= now;

    if (!over && end->at - now > ahead)
        return false;
    /* A clock that was set back must not make it silent for long. */
    if (end->told != 0 && over == end->told_over && now - end->told < DAY && now >= end->told)
        return false;
    end->told = now;
    end->told_over = over;
    return true;
}

void tls_ends_log(void *arg, bool over, const char *text)
{
    (void)arg;
    if (over)
        log_error(NULL, "%s", text);
    else
        log_warning(NULL, "%s", text);
}

int64_t tls_ends_tell(struct tls_ends *ends, int64_t now, int64_t ahead, tls_ends_say *say, void *arg)
{
    int64_t next = now + HOUR;
    size_t told = 0, over = 0;
    char text[128];

    if (ends->count > 1)
        qsort(ends->list, ends->count, sizeof *ends->list, compare);
    for (size_t i = 0; i < ends->count; i++) {
        struct tls_end *end = &ends->list[i];

        if (end->at > now && end->at < next)
            next = end->at;
        if (!take_due(end, now, ahead))
            continue;
        if (++told <= TOLD_MAX)
            say_one(end, now, say, arg);
        else
            over += end->at <= now;
    }
    if (told > TOLD_MAX) {
        snprintf(text, sizeof text, "%zu more expire within that time, %zu of them have expired", told - TOLD_MAX,
                 over);
        say(arg, over > 0, text);
    }
    return next;
}

/* As the text format wants it in a label. */
static void add_escaped(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            buf_addf(out, "\\n");
        else if (*text == '"' || *text == '\\')
            buf_addf(out, "\\%c", *text);
        else
            buf_add(out, text, 1);
    }
}

void tls_ends_metrics(const struct tls_ends *ends, struct buf *out)
{
    if (ends->count > 1)
        qsort(ends->list, ends->count, sizeof *ends->list, compare);
    buf_addf(
        out,
        "# HELP postern_certificate_end_seconds When a certificate expires, in seconds since 1970, by"
        " file: the server's own, "
        "one of its chain, a client authority, or the nextUpdate of a revocation list. The"
        " first hundred to expire.\n"
        "# TYPE postern_certificate_end_seconds gauge\n");
    for (size_t i = 0; i < ends->count && i < METRICS_MAX; i++) {
        buf_addf(out, "postern_certificate_end_seconds{kind=\"%s\",file=\"", kinds[ends->list[i].kind].label);
        add_escaped(out, ends->list[i].file);
        buf_addf(out, "\"} %lld\n", (long long)ends->list[i].at);
    }
}
