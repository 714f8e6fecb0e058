/*
 * codec_zstd.c - Zstandard, by libzstd.
 *
 * What it decodes may be anything: no more octets are ever written than there is
 * room for, and a frame that wants more memory than a segment of ours needs is
 * damaged. The two contexts are made when they are first needed and kept: some
 * hundred KiB each, once in a process. Not for use by threads.
 */
#include "storage/content/codec_zstd.h"

#include <zstd.h>
#include <zstd_errors.h>

#include "daemon/base/mem.h"
#include "storage/content/content.h"

enum {
    LEVEL = 3,
    /* Behind these octets a block ends, so that the first part of a segment can be decoded alone, whatever is in it. */
    FIRST_BLOCK = PART_OCTETS - 100,
    WINDOW_LOG = 17,            /* of two: more than a segment has */
};
_Static_assert(1 << WINDOW_LOG > SEGMENT_OCTETS, "a segment is in its window");

static ZSTD_CCtx *encoder;
static ZSTD_DCtx *decoder;

/* ------------------------------------------------------------------ decoding */

size_t zstd_octets(struct span first_part)
{
    /* Above any size: it is not said, or this is no frame. */
    unsigned long long octets = ZSTD_getFrameContentSize(first_part.at, first_part.len);

    return octets <= SEGMENT_OCTETS ? (size_t)octets : 0;
}

static void get_decoder(void)
{
    if (decoder == NULL) {
        decoder = ZSTD_createDCtx();
        if (decoder == NULL)
            mem_exhausted(SEGMENT_OCTETS);
        ZSTD_DCtx_setParameter(decoder, ZSTD_d_windowLogMax, WINDOW_LOG);
    }
    ZSTD_DCtx_reset(decoder, ZSTD_reset_session_only);
}

ssize_t zstd_decode(const struct span *parts, size_t count, bool whole, char *room, size_t size)
{
    ZSTD_outBuffer out = { room, size, 0 };
    size_t left = 1;            /* 0: the frame has ended */
    bool all = size == zstd_octets(parts[0]);

    get_decoder();
    for (size_t i = 0; i < count; i++) {
        ZSTD_inBuffer in = { parts[i].at, parts[i].len, 0 };

        while (in.pos < in.size && (all || out.pos < size)) {
            size_t before = in.pos + out.pos;
            if (left == 0)
                return -1;      /* something is behind the frame */
            left = ZSTD_decompressStream(decoder, &out, &in);
            if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
                mem_exhausted(SEGMENT_OCTETS);
            if (ZSTD_isError(left) || in.pos + out.pos == before)
                return -1;      /* without progress: there are more octets than it says */
        }
    }
    if (whole && (out.pos < size || (all && left != 0)))
        return -1;
    return (ssize_t)out.pos;
}

/* ------------------------------------------------------------------ encoding */

static void get_encoder(void)
{
    if (encoder == NULL) {
        encoder = ZSTD_createCCtx();
        if (encoder == NULL)
            mem_exhausted(SEGMENT_OCTETS);
        ZSTD_CCtx_setParameter(encoder, ZSTD_c_compressionLevel, LEVEL);
        /* A bit that has turned makes other mail of a plain part, too, but of one line and not of all that follow. */
        ZSTD_CCtx_setParameter(encoder, ZSTD_c_checksumFlag, 1);
    }
    ZSTD_CCtx_reset(encoder, ZSTD_reset_session_only);
}

/* The octets up to `end`, and then what `how` says. False: there is no room for it. */
static bool encode(ZSTD_outBuffer *out, ZSTD_inBuffer *in, size_t end, ZSTD_EndDirective how)
{
    size_t left;

    in->size = end;
    left = ZSTD_compressStream2(encoder, out, in, how);
    return !ZSTD_isError(left) && left == 0;
}

size_t zstd_encode(struct span octets, char *room, size_t size)
{
    ZSTD_inBuffer in = { octets.at, 0, 0 };
    ZSTD_outBuffer out = { room, size, 0 };

    ASSERT(octets.len <= SEGMENT_OCTETS);
    get_encoder();
    ZSTD_CCtx_setPledgedSrcSize(encoder, octets.len);
    if (octets.len > FIRST_BLOCK && !encode(&out, &in, FIRST_BLOCK, ZSTD_e_flush))
        return 0;
    return encode(&out, &in, octets.len, ZSTD_e_end) ? out.pos : 0;
}
