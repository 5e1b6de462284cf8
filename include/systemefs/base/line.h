/*
 * base/line: text of others in a line of ours.
 *
 * What a server or a name says is shown in lines of the log, of .systemefs/errors and in extended
 * attributes. It must not begin a line of its own there, nor give orders to the terminal that shows
 * it: control characters do both, in ASCII and as U+0080..U+009F (U+0085 ends a line, U+009B begins
 * a command).
 *
 * Layer: base.
 */
#pragma once

/* Puts blanks in their place. */
static inline void line_clean(char *text)
{
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
        else if ((unsigned char)p[0] == 0xc2 && ((unsigned char)p[1] & 0xe0) == 0x80)
            p[0] = p[1] = ' ';
}
