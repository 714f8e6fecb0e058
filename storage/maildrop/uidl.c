/*
 * uidl.c - what a UIDL may be. postern.uidl_fault() says the same in the database.
 */
#include "storage/maildrop/uidl.h"

#include "daemon/base/utf8.h"

const char *uidl_fault(struct span uidl)
{
    bool ascii = true;

    if (uidl.len == 0)
        return "is empty";
    if (uidl.len > UIDL_MAX)
        return "is longer than 480 octets";
    for (size_t i = 0; i < uidl.len; i++) {
        unsigned char c = (unsigned char)uidl.at[i];

        if (c == ' ')
            return "has a space";
        if (c < ' ' || c == 0x7F)
            return "has a control character";
        ascii &= c < 0x80;
    }
    return ascii || utf8_valid(uidl) ? NULL : "is neither ASCII nor UTF-8";
}
