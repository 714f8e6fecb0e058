/*
 * scheme_name.c - what people call the scheme of a stored secret. Pure; shows nothing of the secret.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "auth/scheme/scheme.h"
#include "auth/scheme/scheme_text.h"

static const struct {
    const char *begins, *name;
} beginnings[] = {
    { "$argon2id$", "ARGON2ID" },       { "$argon2i$", "ARGON2I" },
    { "$2", "BLF-CRYPT" },              { "$6$", "SHA512-CRYPT" },
    { "$5$", "SHA256-CRYPT" },          { "$1$", "MD5-CRYPT" },
    { "$y$", "YESCRYPT" },              { "$gy$", "GOST-YESCRYPT" },
    { "$7$", "SCRYPT" },                { "$pbkdf2", "PBKDF2" },
    { "SCRAM-SHA-256$", "SCRAM-SHA-256" }, { "SCRAM-SHA-1$", "SCRAM-SHA-1" },
};

static const char *by_beginning(const char *secret)
{
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        if (strncmp(secret, beginnings[i].begins, strlen(beginnings[i].begins)) == 0)
            return beginnings[i].name;
    return strlen(secret) == 13 ? "DES-CRYPT" : "UNKNOWN";
}

void scheme_name(const char *stored, char out[SCHEME_NAME_MAX])
{
    struct secret_text t;
    size_t n = 0;

    if (!secret_text_parse(stored, &t)) {
        strcpy(out, by_beginning(stored));
        return;
    }
    if (secret_text_is(&t, "CRYPT")) {
        strcpy(out, by_beginning(t.text));
        return;
    }
    if (secret_text_is(&t, "CLEARTEXT") || secret_text_is(&t, "CLEAR"))
        t.name = SPAN_OF("PLAIN");
    else if (secret_text_is(&t, "MD5") && t.text[0] == '$')
        t.name = SPAN_OF("MD5-CRYPT");
    for (; n < t.name.len && n < SCHEME_NAME_MAX - 1; n++) {
        unsigned char c = (unsigned char)t.name.at[n];

        out[n] = (char)(isalnum(c) || c == '-' || c == '_' ? toupper(c) : '?');
    }
    out[n] = '\0';
}
