/*
 * tls_ends.h - when what TLS rests on ends: certificates of the server with
 * their chains, authorities of clients, lists of what they revoked.
 */
#ifndef POSTERN_NET_TLS_ENDS_H
#define POSTERN_NET_TLS_ENDS_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum tls_end_kind { TLS_END_CERTIFICATE, TLS_END_CHAIN, TLS_END_CLIENT_CA, TLS_END_CLIENT_CRL };

struct tls_end {
    enum tls_end_kind kind;
    char *file;
    int64_t at;             /* seconds since 1970 */
    int64_t told;           /* when it was told last, 0: never; and whether it was over then */
    bool told_over;
};

/* One for each kind and file, the earliest; the caller's from TLS_ENDS_NONE to tls_ends_free(). */
struct tls_ends {
    struct tls_end *list;
    size_t count;
};
#define TLS_ENDS_NONE ((struct tls_ends){ NULL, 0 })

/* INT64_MAX for a time that is none, or NULL: never. */
int64_t tls_end_of(const ASN1_TIME *time);
/* Notes an end; INT64_MAX is none. file is copied. */
void tls_ends_note(struct tls_ends *ends, enum tls_end_kind kind, const char *file, int64_t at);
/* A certificate of ours and, as one, what follows it in its file. */
void tls_ends_note_chain(struct tls_ends *ends, const char *file, const X509 *own, const STACK_OF(X509) *chain);
/*
 * All authorities and lists of a store, as those of these files. A list is over
 * with its nextUpdate (RFC 5280 section 5.1.2.5): then all clients of its
 * authority are refused. Of several lists of one authority the last one counts.
 */
void tls_ends_note_store(struct tls_ends *ends, X509_STORE *store, const char *ca_file, const char *crl_file);
/* What is in more, too. */
void tls_ends_add(struct tls_ends *ends, const struct tls_ends *more);
void tls_ends_free(struct tls_ends *ends);

typedef void tls_ends_say(void *arg, bool over, const char *text);
/* One of these: an error in the log where it is over, else a warning. */
void tls_ends_log(void *arg, bool over, const char *text);
/*
 * Says what ends within `ahead` seconds of now, or is over: each at once, then
 * once a day, and once more when its end comes; the soonest first. Times are
 * seconds since 1970. Returns when to call again, at most an hour after now, as
 * clocks are set.
 */
int64_t tls_ends_tell(struct tls_ends *ends, int64_t now, int64_t ahead, tls_ends_say *say, void *arg);

/* For Prometheus, the soonest hundred. */
void tls_ends_metrics(const struct tls_ends *ends, struct buf *out);

#endif
