# SPDX-License-Identifier: Apache-2.0
"""What systemd reads about keystored: service, control socket, user, folders."""

from __future__ import annotations

SERVICE = """\
[Unit]
Description=Key vault for virtual machines
After=local-fs.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WatchdogSec=30s
ExecStart={command}
Restart=on-failure
RestartSec=300ms
# A token did not take its PIN: the next tries would lock it.
RestartPreventExitStatus=4
# Where there is such a unit, it has the control socket before keystored is there.
Sockets={socket_unit}

# Guests keep their devices over a crash and over "systemctl restart": their workers go on, and systemd keeps what the
# next keystored needs to take them over. "systemctl stop" lets go of it, and then the workers end by themselves.
KillMode=process
FileDescriptorStoreMax=16384

LimitNOFILE=524288
LimitMEMLOCK=160M
LimitCORE=0
UMask=0077

# What keystored has no use for, taken from whoever takes it over. Guests' sockets may lie anywhere but in the system's
# own folders and at home; workers still become users with namespaces of their own.
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_CHOWN CAP_KILL CAP_SETGID CAP_SETPCAP CAP_SETUID
{out_of_reach}PrivateDevices=yes
PrivateNetwork=yes
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=user mnt net ipc uts
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @debug @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
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
# sysusers.d(5): whom keystored becomes
u {user} - "Key vault for virtual machines" {home} /usr/sbin/nologin
"""

TMPFILES = """\
# tmpfiles.d(5): keystored's own folder, which is never cleaned, and one for guests' sockets
d {state_dir} 0700 {user} - -
d {runtime_dir} 0755 {user} - -
"""
