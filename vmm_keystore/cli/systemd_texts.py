# SPDX-License-Identifier: Apache-2.0
"""What systemd reads about keystored: services, sockets, user, folders."""

from __future__ import annotations

LIMITS = """\
LimitNOFILE=524288
LimitMEMLOCK=160M
LimitCORE=0
UMask=0077
"""

RESTRICTIONS = """\
NoNewPrivileges=yes
PrivateDevices=yes
PrivateMounts=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
"""
"""What none of the services has a use for."""

CONFINEMENT = f"""\
{RESTRICTIONS}PrivateNetwork=yes
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX
MemoryDenyWriteExecute=yes
"""
"""The same for those in which nothing runs but what is ours."""

SERVICE = """\
[Unit]
Description=Key vault for virtual machines
# Whoever stops a socket does not mean keystored, which needs it again when a program has died.
Wants={program_sockets}
After=local-fs.target {program_sockets}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WatchdogSec=30s
User={user}
ExecStart={command}
Restart=on-failure
RestartSec=300ms
# A token did not take its PIN: the next tries would lock it.
RestartPreventExitStatus=4
# Where there is such a unit, it has the control socket before keystored is there.
Sockets={socket_unit}
{state_folder}RuntimeDirectory={runtime_folder}
RuntimeDirectoryPreserve=yes

# Guests keep their devices over a crash and over "systemctl restart": their workers go on, and systemd keeps what the
# next keystored needs to take them over. "systemctl stop" lets go of it, and then the workers end by themselves.
KillMode=process
FileDescriptorStoreMax=16384

{limits}
# What keystored has no use for, taken from whoever takes it over. Guests' sockets may lie anywhere but in the system's
# own folders and at home. Whatever needs a right is a service of its own.
CapabilityBoundingSet=
{out_of_reach}RestrictNamespaces=yes
SystemCallFilter=~{forbidden_calls} @mount
{confinement}
[Install]
WantedBy=multi-user.target
"""

STATE_FOLDER = """\
StateDirectory={name}
StateDirectoryMode=0700
"""

CALLS_NEVER = "@clock @cpu-emulation @debug @module @obsolete @raw-io @reboot @swap"
"""System calls that neither keystored nor any program of it makes."""

_PROGRAM_HEAD = """\
[Unit]
Description={description}
# At shutdown: keystored first.
Before={service_unit}
CollectMode=inactive-or-failed

[Service]
User={user}
ExecStart={command}
"""

PROGRAM_SERVICE = (
    _PROGRAM_HEAD
    + """\
# Workers go on when the zygote ends; they end when nobody has the other end of their control sockets.
KillMode=process

{limits}
# It makes itself, or its workers, users of their own whom keystored may end, and loses every right but these at once.
AmbientCapabilities={capabilities}
CapabilityBoundingSet={capabilities}
PrivateTmp=yes
{shown}ProtectHome=read-only
ProtectProc=invisible
ProtectSystem=strict
# For an empty view where the kernel has no Landlock.
RestrictNamespaces=user mnt net ipc uts
SystemCallFilter=~{forbidden_calls}
{confinement}"""
)

HANDLER_SERVICE = (
    _PROGRAM_HEAD
    + """\
# What a program has left running ends with it. No handler's time is as long as this.
KillMode=control-group
KillSignal=SIGKILL
RuntimeMaxSec=2min
LimitCORE=0
UMask=0077

# It makes itself a user of its own and then has no right; the program is that user. Nothing of keystored's is there. A
# program may need a network, and other things of its own: more or less of this by systemctl edit.
AmbientCapabilities={capabilities}
CapabilityBoundingSet={capabilities}
InaccessiblePaths={hidden}
PrivateTmp=yes
{shown}ProtectHome=read-only
ProtectProc=invisible
ProtectSystem=strict
RestrictNamespaces=yes
SystemCallFilter=~{forbidden_calls} @mount
{restrictions}"""
)

SPAWNER_CAPABILITIES = "CAP_KILL CAP_SETGID CAP_SETPCAP CAP_SETUID"

PROGRAM_SOCKET = """\
[Unit]
Description=Socket at which keystored has {program} started

[Socket]
ListenSequentialPacket={socket}
Accept=yes
SocketUser={user}
SocketMode=0600
DirectoryMode=0755
RemoveOnStop=yes
# keystored alone connects, and knows how often.
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
"""

SOCKET = """\
[Unit]
Description=Control socket of the key vault for virtual machines

[Socket]
ListenStream={socket}
FileDescriptorName={name}
SocketUser={user}
SocketMode=0600
DirectoryMode={folder_mode}
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""

SYSUSERS = """\
# sysusers.d(5): whom keystored runs as
u {user} - "Key vault for virtual machines" {home} /usr/sbin/nologin
"""

TMPFILES = """\
# tmpfiles.d(5): keystored's own folder, which is never cleaned, and one for guests' sockets; by the group as the service
# has them, which else would change the owner of all that is in there
d {state_dir} 0700 {user} {group} -
d {runtime_dir} 0755 {user} {group} -
"""
