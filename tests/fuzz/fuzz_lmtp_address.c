/* LMTP: paths and parameters of MAIL and RCPT, and what is read from the header of a message. */
#include "auth/name.h"
#include "daemon/lmtp/address.h"
#include "daemon/lmtp/trace.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

/* What goes into headers and log lines. */
static void check_text(const struct path *p)
{
    MUST(p->len <= PATH_TEXT_MAX && p->text[p->len] == '\0' && p->local_len <= p->len);
    for (size_t i = 0; i < p->len; i++)
        MUST((unsigned char)p->text[i] >= ' ' && p->text[i] != 0x7F);
}

/* What was understood is written in a form that is understood the same way. */
static void check_again(const struct path *p)
{
    char text[PATH_TEXT_MAX + 3];
    struct path again;
    struct span rest;

    text[0] = '<';
    memcpy(text + 1, p->text, p->len);
    text[p->len + 1] = '>';
    MUST(path_parse((struct span){ text, p->len + 2 }, &again, &rest) == PATH_OK);
    MUST(again.len == p->len && memcmp(again.text, p->text, p->len) == 0 && again.local_len == p->local_len);
    /* A source route is left out, and may have been the part that is not ASCII. */
    MUST(again.literal == p->literal && again.eight_bit <= p->eight_bit && rest.len == 0);
}

static void check_path(struct span in)
{
    char address[NAME_ADDRESS_MAX + 1], twice[NAME_ADDRESS_MAX + 1];
    struct path path;
    struct span rest, keyword, value;
    struct mail_params params;
    bool has_value;
    const char *why;
    int more;

    if (path_parse(in, &path, &rest) != PATH_OK)
        return;
    MUST(rest.len <= in.len);
    check_text(&path);
    if (!path.no_domain)
        check_again(&path);
    MUST(path.typed.len == 0 || (path.typed.at > in.at && path.typed.at + path.typed.len < in.at + in.len));
    if (name_canonical(path.typed, SPAN_OF(""), address, &why))
        MUST(name_canonical(span_str(address), SPAN_OF(""), twice, &why) && strcmp(address, twice) == 0);
    (void)mail_params_parse(rest, &params);
    while ((more = param_next(&rest, &keyword, &value, &has_value)) > 0)
        MUST(keyword.len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = exact((struct span){ (const char *)data, size });
    struct mail_params params;
    struct span id;

    check_path(in);
    (void)mail_params_parse(in, &params);
    id = trace_message_id(in);
    MUST(id.len == 0 || (id.at >= in.at && id.at + id.len <= in.at + in.len));
    exact_free(in);
    return 0;
}
