/*
 * mechanism.c - the table of mechanisms, and lists of their names.
 *
 * Owns what a mechanism is called and how its dialogue begins. Knows nothing
 * of how it is checked: that is the helper's.
 */
#include "auth/mechanism.h"

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
    unsigned set = 0;

    for (;;) {
        enum mechanism m;

        text += strspn(text, " ");
        struct span name = { text, strcspn(text, " ") };
        if (name.len == 0)
            break;
        text += name.len;
        if (!mechanism_find(name, &m) || (set & MECH_BIT(m)) != 0) {
            *wrong_r = name;
            return false;
        }
        set |= MECH_BIT(m);
    }
    *set_r = set;
    return true;
}
