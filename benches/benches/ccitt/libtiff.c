/*
 * Codes and decodes packed pages with libtiff, in memory, and times itself.
 *
 *   ccitt_libtiff FILE mh|mr|mmr WIDTH ROWS PASSES
 *
 * FILE is any number of pages of WIDTH by ROWS pixels. For each page one line goes to standard
 * output: the best time of PASSES to code and to decode it in microseconds, and the coded bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tiffio.h>

struct memory {
    uint8_t *bytes;
    uint64_t len, room, at;
};

static tsize_t read_memory(thandle_t handle, tdata_t to, tsize_t count) {
    struct memory *m = handle;
    if (m->at >= m->len) return 0;
    if ((uint64_t)count > m->len - m->at) count = (tsize_t)(m->len - m->at);
    memcpy(to, m->bytes + m->at, (size_t)count);
    m->at += (uint64_t)count;
    return count;
}

static tsize_t write_memory(thandle_t handle, tdata_t from, tsize_t count) {
    struct memory *m = handle;
    if (m->at + (uint64_t)count > m->room) return 0;
    memcpy(m->bytes + m->at, from, (size_t)count);
    m->at += (uint64_t)count;
    if (m->at > m->len) m->len = m->at;
    return count;
}

static toff_t seek_memory(thandle_t handle, toff_t offset, int from) {
    struct memory *m = handle;
    m->at = from == SEEK_SET ? offset : from == SEEK_CUR ? m->at + offset : m->len + offset;
    return m->at;
}

static int close_memory(thandle_t handle) { (void)handle; return 0; }
static toff_t size_memory(thandle_t handle) { return ((struct memory *)handle)->len; }

static int map_memory(thandle_t handle, tdata_t *base, toff_t *size) {
    struct memory *m = handle;
    *base = m->bytes;
    *size = m->len;
    return 1;
}

static void unmap_memory(thandle_t handle, tdata_t base, toff_t size) { (void)handle; (void)base; (void)size; }

static TIFF *open_memory(struct memory *m, const char *mode) {
    m->at = 0;
    return TIFFClientOpen("memory", mode, m, read_memory, write_memory, seek_memory, close_memory,
                          size_memory, map_memory, unmap_memory);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* What a page is coded as: Compression 3 or 4, and bit 0 of T4Options. */
struct coding {
    const char *name;
    int compression;
    uint32_t options;
};

static const struct coding CODINGS[] = {
    {"mh", COMPRESSION_CCITTFAX3, 0},
    {"mr", COMPRESSION_CCITTFAX3, GROUP3OPT_2DENCODING},
    {"mmr", COMPRESSION_CCITTFAX4, 0},
};

static const struct coding *find_coding(const char *name) {
    for (size_t i = 0; i < sizeof CODINGS / sizeof *CODINGS; i++)
        if (strcmp(CODINGS[i].name, name) == 0) return &CODINGS[i];
    fail("the coding is mh, mr or mmr");
    return NULL;
}

static void encode(struct memory *m, const struct coding *coding, const uint8_t *page, uint8_t *copy, size_t bytes,
                   uint32_t width, uint32_t rows) {
    /* libtiff may change the buffer it codes from. */
    memcpy(copy, page, bytes);
    m->len = 0;
    TIFF *tiff = open_memory(m, "wm");
    if (!tiff) fail("open for writing");
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, rows);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 1);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISWHITE);
    TIFFSetField(tiff, TIFFTAG_FILLORDER, FILLORDER_MSB2LSB);
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, rows);
    /* Above 150 lines an inch each fourth row of MR is one-dimensional, below it each second. */
    TIFFSetField(tiff, TIFFTAG_RESOLUTIONUNIT, RESUNIT_INCH);
    TIFFSetField(tiff, TIFFTAG_XRESOLUTION, 204.0);
    TIFFSetField(tiff, TIFFTAG_YRESOLUTION, 196.0);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, coding->compression);
    if (coding->compression == COMPRESSION_CCITTFAX3) TIFFSetField(tiff, TIFFTAG_GROUP3OPTIONS, coding->options);
    if (TIFFWriteEncodedStrip(tiff, 0, copy, (tsize_t)bytes) < 0) fail("encode");
    TIFFClose(tiff);
}

static uint64_t decode(struct memory *m, uint8_t *out, size_t bytes) {
    TIFF *tiff = open_memory(m, "r");
    if (!tiff) fail("open for reading");
    uint64_t coded = TIFFRawStripSize(tiff, 0);
    if (TIFFReadEncodedStrip(tiff, 0, out, (tsize_t)bytes) != (tsize_t)bytes) fail("decode");
    TIFFClose(tiff);
    return coded;
}

int main(int argc, char **argv) {
    if (argc != 6) fail("usage: ccitt_libtiff FILE mh|mr|mmr WIDTH ROWS PASSES");
    const struct coding *coding = find_coding(argv[2]);
    uint32_t width = (uint32_t)atoi(argv[3]), rows = (uint32_t)atoi(argv[4]);
    int passes = atoi(argv[5]);
    size_t bytes = (size_t)((width + 7) / 8) * rows;
    uint8_t *page = malloc(bytes), *copy = malloc(bytes), *out = malloc(bytes);
    struct memory m = {malloc(bytes * 8 + 65536), 0, bytes * 8 + 65536, 0};
    FILE *file = fopen(argv[1], "rb");
    if (!page || !copy || !out || !m.bytes || !file) fail("no memory or no file");
    while (fread(page, 1, bytes, file) == bytes) {
        double best_encode = 1e12, best_decode = 1e12;
        uint64_t coded = 0;
        for (int pass = 0; pass < passes; pass++) {
            double start = now();
            encode(&m, coding, page, copy, bytes, width, rows);
            double middle = now();
            coded = decode(&m, out, bytes);
            double end = now();
            if (middle - start < best_encode) best_encode = middle - start;
            if (end - middle < best_decode) best_decode = end - middle;
        }
        if (memcmp(page, out, bytes) != 0) fail("decoded pixels differ");
        printf("%.3f %.3f %llu\n", best_encode, best_decode, (unsigned long long)coded);
    }
    fclose(file);
    return 0;
}
