# SPDX-License-Identifier: Apache-2.0
"""A program that loads the keys itself, as programs do without a vault: where the search must find every one of them.

Arguments: the key files; the passphrase's file first. Says "ready", then waits until its standard input closes.
"""

import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

passphrase_file, *files = (Path(name) for name in sys.argv[1:])
passphrase = passphrase_file.read_bytes().strip()
loaded: list[object] = []
for file in files:
    data = file.read_bytes()
    if file.suffix == ".pem":
        loaded.append(load_pem_private_key(data, passphrase if b"ENCRYPTED" in data else None))
    else:
        loaded += [data, Cipher(algorithms.AES(data), modes.CTR(bytes(16))).encryptor()]
print("ready", flush=True)
sys.stdin.read()
