/* Frames between a worker and its helper, both directions: what is taken is written the same way. */
#include "auth/frame.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void same(struct span in, const unsigned char *out, size_t len)
{
    MUST(len == in.len && memcmp(out, in.at, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char out[FRAME_START_MAX + FRAME_REQUEST_MAX + FRAME_STEP_MAX + FRAME_REPLY_MAX + FRAME_CHALLENGE_MAX];
    struct span in = exact((struct span){ (const char *)data, size });
    const unsigned char *at = (const unsigned char *)in.at;
    struct auth_request request = { 0 };
    struct auth_reply reply;
    struct auth_opening opening = { 0 };
    struct auth_step step;
    struct auth_challenge challenge;
    uint64_t id;

    (void)frame_kind(at, in.len);
    if (frame_get_request(at, in.len, &request))
        same(in, out, frame_put_request(out, &request));
    if (frame_get_reply(at, in.len, &reply))
        same(in, out, frame_put_reply(out, &reply));
    if (frame_get_start(at, in.len, &id, &opening))
        same(in, out, frame_put_start(out, id, &opening));
    if (frame_get_step(at, in.len, FRAME_RESPOND, &step))
        same(in, out, frame_put_step(out, FRAME_RESPOND, &step));
    if (frame_get_step(at, in.len, FRAME_ABORT, &step))
        same(in, out, frame_put_step(out, FRAME_ABORT, &step));
    if (frame_get_handed_back(at, in.len, &id))
        same(in, out, frame_put_handed_back(out, id));
    if (frame_get_challenge(at, in.len, &challenge))
        same(in, out, frame_put_challenge(out, &challenge));
    exact_free(in);
    return 0;
}
