/*
 * scram.c - stored SCRAM verifiers (see scram.h).
 *
 * Owns the form. Never makes one (make.c does), never checks a client's proof.
 */
#include "auth/scheme/scram.h"

#include <stdint.h>
#include <string.h>

#include "daemon/base/base64.h"
#include "daemon/base/num.h"
#include "daemon/base/secret.h"

/* What is before `end`, which *text is moved behind; false if it does not fit, or is not there. */
static bool take(const char **text, char end, char *out, size_t size)
{
    const char *stop = end != '\0' ? strchr(*text, end) : *text + strlen(*text);

    if (stop == NULL || stop == *text || (size_t)(stop - *text) >= size)
        return false;
    memcpy(out, *text, (size_t)(stop - *text));
    out[stop - *text] = '\0';
    *text = end != '\0' ? stop + 1 : stop;
    return true;
}

static bool is_base64(const char *text, size_t least, size_t most)
{
    unsigned char octets[SCRAM_BASE64_MAX];
    size_t len;
    bool is = base64_decode(span_str(text), BASE64_PADDED, octets, sizeof octets, &len) && len >= least && len <= most;

    secret_wipe(octets, sizeof octets);
    return is;
}

bool scram_parse(const char *text, bool sha1, struct scram_verifier *v)
{
    const char *prefix = sha1 ? "SCRAM-SHA-1$" : "SCRAM-SHA-256$";
    const size_t key = sha1 ? 20 : 32;
    uint64_t iterations;

    if (strncmp(text, prefix, strlen(prefix)) != 0)
        return false;
    text += strlen(prefix);
    return take(&text, ':', v->iterations, sizeof v->iterations) && take(&text, '$', v->salt, sizeof v->salt) &&
           take(&text, ':', v->stored_key, sizeof v->stored_key) &&
           take(&text, '\0', v->server_key, sizeof v->server_key) &&
           num_parse(span_str(v->iterations), INT32_MAX, &iterations) == 1 && iterations > 0 &&
           is_base64(v->salt, 1, 64) && is_base64(v->stored_key, key, key) && is_base64(v->server_key, key, key);
}

bool scram_read(const char *text, bool *sha1_r, char out[SCRAM_TEXT_MAX])
{
    static const char *const prefixes[] = { "{SCRAM-SHA-256}", "{SCRAM-SHA-1}" };
    static const char ends[] = { ':', '$', ':' };       /* in place of the commas */
    struct scram_verifier v;
    size_t at = 0;
    bool ok;

    out[0] = '\0';
    *sha1_r = strncmp(text, "SCRAM-SHA-1$", 12) == 0 || strncasecmp(text, prefixes[1], strlen(prefixes[1])) == 0;
    const char *prefix = prefixes[*sha1_r];
    const bool dovecot = strncasecmp(text, prefix, strlen(prefix)) == 0;
    if (dovecot)
        text += strlen(prefix);
    if (strlen(text) + sizeof "SCRAM-SHA-256$" > SCRAM_TEXT_MAX)
        return false;
    if (dovecot)
        strcpy(out, *sha1_r ? "SCRAM-SHA-1$" : "SCRAM-SHA-256$");
    strcat(out, text);
    for (char *comma = dovecot ? strchr(out, ',') : NULL; comma != NULL && at < sizeof ends; comma = strchr(comma, ','))
        *comma = ends[at++];
    ok = scram_parse(out, *sha1_r, &v);
    secret_wipe(&v, sizeof v);
    return ok;
}

/* The next field, up to a comma or the end; *rest is moved behind it. */
static struct span next_field(struct span *rest)
{
    const char *comma = rest->len > 0 ? memchr(rest->at, ',', rest->len) : NULL;
    struct span field = { rest->at, comma != NULL ? (size_t)(comma - rest->at) : rest->len };

    if (comma != NULL)
        *rest = (struct span){ comma + 1, rest->len - field.len - 1 };
    else
        rest->len = 0;
    return field;
}

static bool name_ok(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] == '=' &&
            (name.len - i < 3 || (memcmp(name.at + i, "=2C", 3) != 0 && memcmp(name.at + i, "=3D", 3) != 0)))
            return false;
    return true;
}

bool scram_first_ok(struct span message, bool binds, struct span *name_r)
{
    static const char *const before[] = { NULL, "a=", "n=" };

    *name_r = SPAN_OF("");
    if (message.len > 0 && message.at[0] == 'p' && !binds)
        return false;
    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        struct span field = next_field(&message);

        if (before[i] == NULL || field.len < 2 || memcmp(field.at, before[i], 2) != 0)
            continue;
        struct span name = { field.at + 2, field.len - 2 };
        if (!name_ok(name))
            return false;
        if (before[i][0] == 'n')
            *name_r = name;
    }
    return true;
}
