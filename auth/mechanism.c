/*
 * mechanism.c - the table of mechanisms.
 *
 * Knows none of them by name: what one of them does is in its row.
 */
#include "auth/mechanism.h"

#include "auth/name.h"

const struct mechanism_info mechanisms[MECHANISMS] = {
#define MECHANISM(id, name, flags, metric, how) { name, flags, METRIC_MECHANISM_##metric, &how },
#include "auth/mechanisms.def"
#undef MECHANISM
};

const char *const mechanism_names[MECHANISMS + 1] = {
#define MECHANISM(id, name, flags, metric, how) name,
#include "auth/mechanisms.def"
#undef MECHANISM
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

unsigned mechanisms_with(unsigned flag)
{
    unsigned set = 0;

    for (unsigned i = 0; i < MECHANISMS; i++)
        if (mechanisms[i].flags & flag)
            set |= MECH_BIT(i);
    return set;
}

enum mechanism mechanism_plus(enum mechanism mechanism)
{
    const size_t len = strlen(mechanisms[mechanism].name);

    for (unsigned i = 0; i < MECHANISMS; i++)
        if (strncmp(mechanisms[i].name, mechanisms[mechanism].name, len) == 0 &&
            strcmp(mechanisms[i].name + len, "-PLUS") == 0)
            return (enum mechanism)i;
    return MECHANISMS;
}

bool mechanism_name(enum mechanism mechanism, struct span message, struct span *name_r)
{
    const struct mechanism_how *how = mechanism < MECHANISMS ? mechanisms[mechanism].how : NULL;

    *name_r = SPAN_OF("");
    if (how == NULL || how->name == NULL || !how->name(message, name_r) || name_r->len > NAME_TYPED_MAX)
        *name_r = SPAN_OF("");
    return name_r->len > 0;
}

bool mechanism_password(enum mechanism mechanism, struct span message, struct span *password_r)
{
    const struct mechanism_how *how = mechanisms[mechanism].how;

    return how->password != NULL && how->password(message, password_r);
}
