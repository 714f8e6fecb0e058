/*
 * What a row of content_part says is coded: a frame of zstd that may be none, cut
 * into parts anywhere. Never an octet more than there is room for, nor a whole
 * segment that is not one; and what we code comes out again, whatever it is.
 */
#include "daemon/base/mem.h"
#include "storage/content/check.h"
#include "storage/content/codec.h"
#include "storage/content/content.h"
#include "storage/content/run.h"
#include "storage/content/segment.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void decode(const struct segment *s, bool whole, size_t size)
{
    char *room = malloc(size > 0 ? size : 1);
    ssize_t octets = segment_decode(s, whole, room, size);

    MUST(room != NULL && octets <= (ssize_t)size);
    if (whole && octets >= 0)
        MUST(octets == (ssize_t)size);
    free(room);
}

/* Parts that lie anywhere, each with nothing behind it. */
static void check_parts(struct span frame, struct cuts cuts)
{
    struct span parts[SEGMENT_PARTS];
    struct segment s;
    struct content_check check;
    size_t count = 0, octets;
    char digest[CONTENT_DIGEST] = "", why[100];

    content_check_begin(&check, 1000, 0, (struct span){ digest, sizeof digest });
    while (frame.len > 0 && count < SEGMENT_PARTS) {
        struct span part = cut(&cuts, &frame);
        parts[count] = exact(part);
        content_check_part(&check, (int32_t)count, CODEC_ZSTD, parts[count]);
        if (count == 0)
            MUST(segment_begin(&s, 0, CODEC_ZSTD, parts[0]));
        else
            MUST(segment_add(&s, (uint32_t)count, CODEC_ZSTD, parts[count]));
        count++;
    }
    MUST(!content_check_end(&check, why, sizeof why));
    if (count > 0 && (octets = segment_octets(&s)) > 0) {
        MUST(octets <= SEGMENT_OCTETS);
        decode(&s, true, octets);
        decode(&s, false, octets);
        decode(&s, true, octets / 2);
        decode(&s, false, 1);
    }
    while (count > 0)
        exact_free(parts[--count]);
}

/* The input again and again, a little different each time, so that there is something to find. */
static struct span make_octets(struct span in, size_t len)
{
    char *octets = malloc(len + 1);

    MUST(octets != NULL);
    for (size_t i = 0; i < len; i++)
        octets[i] = in.len > 0 ? (char)(in.at[i % in.len] + (char)(i / in.len / 3)) : 'x';
    return (struct span){ octets, len };
}

static void check_run(struct span in, size_t len, size_t at)
{
    struct span octets = make_octets(in, len);
    struct buf room = BUF_EMPTY;
    struct span run = run_of(octets, CODEC_ZSTD, &room);

    MUST(run.len <= octets.len && run_holds(run, octets));
    if (run.len > 0 && run.len < octets.len) {
        struct span wrong = exact(run);
        ((char *)(uintptr_t)wrong.at)[at % wrong.len] ^= 0x41;
        (void)run_holds(wrong, octets);
        (void)run_holds((struct span){ wrong.at, at % wrong.len }, octets);
        exact_free(wrong);
    }
    buf_free(&room);
    free((void *)(uintptr_t)octets.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    uint8_t what = take_octet(&in);
    struct cuts cuts = take_cuts(&in);

    if (what % 2 == 0) {
        check_parts(in, cuts);
    } else {
        size_t len = (size_t)take_number(&in, 2), at = (size_t)take_number(&in, 2);
        check_run(in, what & 2 ? 3 * len : len / 16, at);
    }
    return 0;
}
