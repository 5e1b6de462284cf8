/*
 * tree/bases: what each process has opened, and so what its save is a change of.
 *
 * An editor reads a record, and saves it minutes later. In between the record may have been read
 * anew, by others, with another content. The change that the person made is the difference to what
 * THEIR program opened. So for each process (thread group) the contents that it opened last are
 * remembered, by their hash; a content that is about to be replaced and that somebody has opened is
 * kept.
 *
 * Where a process has not opened the record, the content that was last opened by anybody stands in
 * (one program copies it out, another one copies it back); else what is known now.
 *
 * Bounded: BASES_PROCESSES processes, BASES_RING openings each, BASES_BYTES of older contents; what
 * falls out is the oldest.
 *
 * Layer: tree. Calls base only.
 */
#pragma once

#include <sys/types.h>

#include "systemefs/base/clock.h"
#include "systemefs/base/list.h"

#define BASES_PROCESSES 64
#define BASES_RING      256
#define BASES_BYTES     ((size_t)16 << 20)

struct bases;

struct bases *bases_create(const struct clock *clock); /* NULL: no memory */
void bases_destroy(struct bases *b);

/* The process (thread group) of a thread, as the kernel names the caller; 0: cannot be told. Looks
 * into /proc, and remembers for a moment. */
pid_t bases_process(struct bases *b, pid_t thread);

void bases_opened(struct bases *b, pid_t process, uint64_t ino, uint64_t hash);
/* The content of that inode is about to be replaced: kept, if somebody has opened it. */
void bases_replacing(struct bases *b, uint64_t ino, uint64_t hash, const char *text, size_t len);
/* The process has saved this: its next save is a change of that. */
void bases_saved(struct bases *b, pid_t process, uint64_t ino, const char *text, size_t len);
/* Whether the process itself has opened it, as far as that is remembered. */
bool bases_has_read(const struct bases *b, pid_t process, uint64_t ino);
/* What the process last opened: its hash (0: nothing), and its text where that has been replaced
 * since (else NULL: it is the content whose hash that is, or is not known any more). */
uint64_t bases_of(struct bases *b, pid_t process, uint64_t ino, const char **ret_text);
