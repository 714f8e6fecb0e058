/*
 * json.h - JSON, written as it comes.
 *
 * Members are written in order; key is NULL within an array and at the top.
 * Text is any octets: what is not UTF-8 becomes U+FFFD.
 */
#ifndef POSTERN_ADMIN_JSON_H
#define POSTERN_ADMIN_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/base/span.h"

enum { JSON_DEPTH = 8 };
struct json {
    FILE *out;
    unsigned depth;
    bool some[JSON_DEPTH + 1];      /* this level has a member already */
    bool array[JSON_DEPTH + 1];
};

void json_start(struct json *j, FILE *out);
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
/* Ends the innermost object or array; the outermost one with a line feed. */
void json_end(struct json *j);
void json_text(struct json *j, const char *key, struct span text);
void json_int(struct json *j, const char *key, int64_t n);
void json_bool(struct json *j, const char *key, bool b);
void json_null(struct json *j, const char *key);

#endif
