/*
 * known.c - what a message is known by. Hashes it on its way, so that no
 * message is read a second time.
 */
#include "daemon/lmtp/known.h"

#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "daemon/base/mem.h"

/* Header fields that are another at each attempt. */
static const struct span passing[] = { SPAN_OF("delivery-date:"), SPAN_OF("envelope-to:") };

enum { NAME_MAX_HELD = 16 };

enum place {
    PLACE_NAME,     /* at the beginning of a line of the header: what is held may become a name from the table */
    PLACE_LINE,     /* in a line that counts */
    PLACE_PASSED,   /* in one that does not */
    PLACE_BODY,     /* no header any more */
};

struct known {
    crypto_generichash_state hash;
    enum place place;
    bool passed;                /* the line before did not count: nor do those that continue it */
    char held[NAME_MAX_HELD];
    size_t len;
};

struct known *known_new(void)
{
    struct known *k = mem_zalloc(sizeof *k);

    crypto_generichash_init(&k->hash, NULL, 0, KNOWN_DIGEST);
    return k;
}

void known_free(struct known **known)
{
    mem_free(*known);
    *known = NULL;
}

static void count(struct known *k, const char *at, size_t len)
{
    crypto_generichash_update(&k->hash, (const unsigned char *)at, len);
}

/* Does the line begin with a name from the table? 1, 0 no, -1 that cannot be told yet. */
static int passes(const struct known *k)
{
    int found = 0;

    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        size_t len = k->len < passing[i].len ? k->len : passing[i].len;
        if (!span_is_nocase((struct span){ k->held, len }, (struct span){ passing[i].at, len }))
            continue;
        if (len == passing[i].len)
            return 1;
        found = -1;
    }
    return found;
}

/* The next octet of a line whose beginning is not understood yet. */
static void name_octet(struct known *k, char c)
{
    int found;

    if (k->len == 0 && k->passed && (c == ' ' || c == '\t')) {
        k->place = PLACE_PASSED;
        return;
    }
    k->held[k->len++] = c;
    found = passes(k);
    if (found < 0)
        return;
    k->passed = found == 1;
    k->place = found == 1 ? PLACE_PASSED : c == '\r' && k->len == 1 ? PLACE_BODY : PLACE_LINE;
    if (found == 0)
        count(k, k->held, k->len);
    k->len = 0;
}

void known_add(struct known *k, struct span in)
{
    const char *p = in.at, *end = in.at + in.len;

    while (p < end && k->place != PLACE_BODY) {
        if (k->place == PLACE_NAME) {
            name_octet(k, *p++);
            continue;
        }
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        const char *next = lf != NULL ? lf + 1 : end;
        if (k->place == PLACE_LINE)
            count(k, p, (size_t)(next - p));
        if (lf != NULL)
            k->place = PLACE_NAME;
        p = next;
    }
    if (p < end)
        count(k, p, (size_t)(end - p));
}

void known_digest(struct known *k, unsigned char digest[KNOWN_DIGEST])
{
    count(k, k->held, k->len);
    crypto_generichash_final(&k->hash, digest, KNOWN_DIGEST);
}

void known_key(const unsigned char digest[KNOWN_DIGEST], struct span message_id, const char *sender,
               const char *recipient, unsigned char key[KNOWN_KEY])
{
    crypto_generichash_state hash;

    crypto_generichash_init(&hash, NULL, 0, KNOWN_KEY);
    crypto_generichash_update(&hash, digest, KNOWN_DIGEST);
    crypto_generichash_update(&hash, (const unsigned char *)sender, strlen(sender) + 1);
    crypto_generichash_update(&hash, (const unsigned char *)recipient, strlen(recipient) + 1);
    crypto_generichash_update(&hash, (const unsigned char *)message_id.at, message_id.len);
    crypto_generichash_final(&hash, key, KNOWN_KEY);
}
