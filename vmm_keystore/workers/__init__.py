# SPDX-License-Identifier: Apache-2.0
"""Starts the C programs, tells them what to do and takes the audit records: one worker per guest.

The parts, from the bottom::

    programs          where the installed programs are, and how one is started with its control socket
    activated         the programs that systemd starts, with rights that keystored has not
    loop              the one thread that reads control sockets and watches processes
    ipc               bytes of one message: pack, check, unpack
    connection        a control socket: requests, replies by tag, events
    state_memory      the tmpfs file of a guest: in-flight table and audit ring
    snapshot          what a guest may do, as the sealed memfd its worker takes over
    custodian         the process that has the KEK
    zygote            the process that workers are forked from
    worker            one worker: keys, snapshot, rings
    descriptor_store  the interface to what outlives keystored: holder (a process), systemd_store
    predecessor       the last keystored's worker, by the name of its process
    keeper            what the next keystored needs of one guest
    session           what a front-end asks of a worker, for vhost_user
    guest             one guest: its worker, replaced when it dies
    pool              all guests

No key byte passes through any of them: keys go from the custodian to a worker as the descriptor of secret memory.
"""
