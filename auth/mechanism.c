/*
 * mechanism.c - the table of mechanisms, and lists of their names.
 *
 * Owns what a mechanism is called and how its dialogue begins: what the name is
 * in a client's first message, for the log. Knows nothing of how it is checked:
 * that is the helper's.
 */
#include "auth/mechanism.h"

#include "auth/name.h"
#include "auth/scram.h"
#include "daemon/base/list.h"

const struct mechanism_info mechanisms[MECHANISMS] = {
    [MECH_SCRAM_SHA_256_PLUS] = { "SCRAM-SHA-256-PLUS", MECH_BINDS },
    [MECH_SCRAM_SHA_256] = { "SCRAM-SHA-256", 0 },
    [MECH_SCRAM_SHA_1_PLUS] = { "SCRAM-SHA-1-PLUS", MECH_BINDS },
    [MECH_SCRAM_SHA_1] = { "SCRAM-SHA-1", 0 },
    [MECH_EXTERNAL] = { "EXTERNAL", 0 },
    [MECH_CRAM_MD5] = { "CRAM-MD5", MECH_SERVER_FIRST | MECH_NO_INITIAL },
    /* A token is as good as a password for whoever reads it. */
    [MECH_OAUTHBEARER] = { "OAUTHBEARER", MECH_SENDS_PASSWORD },
    [MECH_XOAUTH2] = { "XOAUTH2", MECH_SENDS_PASSWORD },
    [MECH_PLAIN] = { "PLAIN", MECH_SENDS_PASSWORD },
    /* No standard has it; Outlook and others send the name along with AUTH all the same. */
    [MECH_LOGIN] = { "LOGIN", MECH_SENDS_PASSWORD | MECH_SERVER_FIRST },
    [MECH_APOP] = { "APOP", 0 },
};

bool mechanism_find(struct span name, enum mechanism *mechanism_r)
{
    for (unsigned i = 0; i < MECHANISMS; i++)
        if (span_is_nocase(name, span_str(mechanisms[i].name))) {
            *mechanism_r = (enum mechanism)i;
            return true;
        }
    return false;
}

bool mechanisms_parse(const char *text, unsigned *set_r, struct span *wrong_r)
{
    struct span rest = span_str(text), name;
    unsigned set = 0;

    while (list_next(&rest, &name)) {
        enum mechanism m;

        if (!mechanism_find(name, &m) || (set & MECH_BIT(m)) != 0) {
            *wrong_r = name;
            return false;
        }
        set |= MECH_BIT(m);
    }
    *set_r = set;
    return true;
}

/* What is between `before`, at the beginning of text, and the octet `end`. */
static bool between(struct span text, const char *before, char end, struct span *part_r)
{
    const size_t skip = strlen(before);
    const char *stop = text.len > skip ? memchr(text.at + skip, end, text.len - skip) : NULL;

    if (stop == NULL || strncasecmp(text.at, before, skip) != 0)
        return false;
    *part_r = (struct span){ text.at + skip, (size_t)(stop - text.at) - skip };
    return true;
}

/* PLAIN: [authzid] NUL authcid NUL passwd (RFC 4616 section 2). */
static bool name_of_plain(struct span message, struct span *name_r)
{
    const char *nul = message.len > 0 ? memchr(message.at, '\0', message.len) : NULL;

    return nul != NULL && between((struct span){ nul + 1, message.len - (size_t)(nul - message.at) - 1 }, "", '\0', name_r);
}

bool mechanism_name(enum mechanism mechanism, struct span message, struct span *name_r)
{
    const char *space = message.len > 0 ? memrchr(message.at, ' ', message.len) : NULL;
    bool found = false;

    *name_r = SPAN_OF("");
    switch (mechanism) {
    case MECH_SCRAM_SHA_256_PLUS:
    case MECH_SCRAM_SHA_256:
    case MECH_SCRAM_SHA_1_PLUS:
    case MECH_SCRAM_SHA_1:
        found = scram_first_ok(message, true, name_r);
        break;
    case MECH_CRAM_MD5:
    case MECH_APOP:
        found = space != NULL;
        if (found)
            *name_r = (struct span){ message.at, (size_t)(space - message.at) };
        break;
    case MECH_OAUTHBEARER:
        found = between(message, "n,a=", ',', name_r) || between(message, "y,a=", ',', name_r);
        break;
    case MECH_XOAUTH2:
        found = between(message, "user=", '\1', name_r);
        break;
    case MECH_PLAIN:
        found = name_of_plain(message, name_r);
        break;
    case MECH_LOGIN:
        *name_r = message;
        found = true;
        break;
    case MECH_EXTERNAL:
    case MECHANISMS:
        break;
    }
    if (!found || name_r->len > NAME_TYPED_MAX)
        *name_r = SPAN_OF("");
    return name_r->len > 0;
}
