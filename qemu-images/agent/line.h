/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AGENT_LINE_H
#define AGENT_LINE_H

/* The line to the host by its name, "port:NAME" (virtio-serial) or "tty:PATH" (put into raw mode); -1 and errno. */
int line_open(const char *name);

#endif
