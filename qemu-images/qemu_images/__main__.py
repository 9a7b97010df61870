# SPDX-License-Identifier: Apache-2.0
"""``qemu-images/build``: make what the tests boot, or move the lock file."""

import argparse
import json
import sys

from qemu_images.apt import AptError
from qemu_images.cache import prune, say
from qemu_images.crypto_mb import crypto_mb
from qemu_images.images import qemu_image, uml_image
from qemu_images.kernel import FLAVOURS, BuildError, kernel, vmlinux
from qemu_images.keystore import content
from qemu_images.nginx import nginx
from qemu_images.packages import fetch, groups, write_lock
from qemu_images.prometheus import promtool
from qemu_images.qemu import qemu_11
from qemu_images.uml import FRAGMENTS, user_mode_linux
from qemu_images.userland import USERLAND_KERNEL, USERLAND_WORDS, userland_content, userland_disk


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qemu-images/build", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("kernel", help="unpack a Debian kernel; prints its vmlinux").add_argument(
        "flavour", choices=FLAVOURS
    )
    commands.add_parser("uml", help="build user-mode linux; prints the program").add_argument(
        "variant", choices=sorted(FRAGMENTS)
    )
    commands.add_parser("qemu-11", help="unpack QEMU of trixie-backports; prints the program's folder")
    commands.add_parser("crypto-mb", help="unpack libcrypto_mb of Debian testing; prints the library's folder")
    commands.add_parser("image", help="a guest with vks; prints kernel and initrd as JSON").add_argument(
        "kernel", choices=[*FLAVOURS, *sorted(FRAGMENTS)]
    )
    commands.add_parser(
        "userland",
        help="a guest with Debian 13's programs that use keys; prints kernel, initrd, disk and words as JSON",
    )
    commands.add_parser("all", help="everything the tests boot, so that no test waits for it")
    commands.add_parser("prune", help="remove what was not used for a while").add_argument(
        "--days", type=int, default=30, help="default: 30"
    )
    lock = commands.add_parser("lock", help="move the lock file to the suites' present versions")
    lock.add_argument("group", nargs="*", choices=[*groups(), []], help="default: all")
    return parser


def _crypto_mb_if_there() -> None:
    """What moves fast in testing and is optional must not keep everything else from being made."""
    try:
        crypto_mb()
    except AptError as error:
        say(f"notice: no libcrypto_mb, tests that need it will be skipped: {str(error).splitlines()[0]}")


def _make_all() -> None:
    """What the tests boot and unpack."""
    for flavour in FLAVOURS:
        vmlinux(kernel(flavour))
    for group in ("busybox", "cryptsetup", "kernel-tools", "udev"):
        fetch(group)
    for variant in FRAGMENTS:
        user_mode_linux(variant)
    qemu_11()
    promtool()
    nginx()
    userland_disk()
    _crypto_mb_if_there()


def main() -> int:
    """Run one command; results go to stdout, progress to stderr."""
    arguments = _parser().parse_args()
    try:
        match arguments.command:
            case "kernel":
                print(vmlinux(kernel(arguments.flavour)))
            case "uml":
                print(user_mode_linux(arguments.variant).linux)
            case "qemu-11":
                print(qemu_11().tree)
            case "crypto-mb":
                print(crypto_mb())
            case "image":
                make = uml_image if arguments.kernel in FRAGMENTS else qemu_image
                image = make(arguments.kernel, content(udev=arguments.kernel == "generic"))
                print(json.dumps({"kernel": str(image.kernel), "initrd": str(image.initrd)}))
            case "userland":
                image = qemu_image(USERLAND_KERNEL, userland_content())
                parts = {"kernel": image.kernel, "initrd": image.initrd, "disk": userland_disk()}
                print(json.dumps({name: str(path) for name, path in parts.items()} | {"append": USERLAND_WORDS}))
            case "all":
                _make_all()
            case "prune":
                print(f"{prune(arguments.days)} entries removed")
            case "lock":
                write_lock(arguments.group)
    except (AptError, BuildError) as error:
        print(f"qemu-images: {error}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
