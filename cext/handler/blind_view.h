/* SPDX-License-Identifier: Apache-2.0 */
/* A view of the host's files in which some are not to be seen. Knows mounts; must not know whose files these are. */
#ifndef VKS_BLIND_VIEW_H
#define VKS_BLIND_VIEW_H

/*
 * User and mount namespaces of our own, with an empty folder over each folder of *paths* (NULL-terminated) and
 * /dev/null over each file or socket; what is not there hides itself. Our user stays the same. Single-threaded at this
 * point. 0, or a negative errno with what could not be hidden in *failed* (NULL: nothing could).
 */
__attribute__((warn_unused_result)) int vks_blind_view_enter(char *const *paths, const char **failed);

#endif
