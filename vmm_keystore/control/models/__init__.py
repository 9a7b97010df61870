# SPDX-License-Identifier: Apache-2.0
"""What the control API takes and gives, version 1, a file for each noun.

Times are ISO 8601 in UTC; bytes are hex (ids) or base64 (wrapped keys); words are those of the policy vocabulary.
Knows no route and no service.
"""

from vmm_keystore.control.models.audit import AuditCheckpoint, AuditKeyInfo, AuditPage, AuditVerified
from vmm_keystore.control.models.grants import (
    CheckInfo,
    GrantChanged,
    GrantCreate,
    GrantExplained,
    GrantInfo,
    GrantList,
    GrantTerms,
)
from vmm_keystore.control.models.guests import GuestCreate, GuestInfo, GuestList, GuestRemoved, WorkerInfo
from vmm_keystore.control.models.keys import (
    KeyChanged,
    KeyDestroy,
    KeyGenerate,
    KeyImport,
    KeyImportOffer,
    KeyInfo,
    KeyList,
    KeyMinVersion,
    KeyMove,
    KeyQuery,
    KeyRotation,
    KeyVersionInfo,
)
from vmm_keystore.control.models.roles import RoleChanged, RoleCreate, RoleGuests, RoleInfo, RoleList
from vmm_keystore.control.models.root import RootChange, RootChanged, RootInfo, RootPassphrase
from vmm_keystore.control.models.status import AuditInfo, CustodianInfo, StatusInfo
from vmm_keystore.control.models.words import (
    AppliedTo,
    ErrorAnswer,
    ErrorBody,
    Flag,
    HolderName,
    KeyStateWord,
    KeyTypeWord,
    MechanismWord,
    Model,
    Moment,
    Name,
    OpWord,
    Uid,
)

__all__ = [
    "AppliedTo",
    "AuditCheckpoint",
    "AuditInfo",
    "AuditKeyInfo",
    "AuditPage",
    "AuditVerified",
    "CheckInfo",
    "CustodianInfo",
    "ErrorAnswer",
    "ErrorBody",
    "Flag",
    "GrantChanged",
    "GrantCreate",
    "GrantExplained",
    "GrantInfo",
    "GrantList",
    "GrantTerms",
    "GuestCreate",
    "GuestInfo",
    "GuestList",
    "GuestRemoved",
    "HolderName",
    "KeyChanged",
    "KeyDestroy",
    "KeyGenerate",
    "KeyImport",
    "KeyImportOffer",
    "KeyInfo",
    "KeyList",
    "KeyMinVersion",
    "KeyMove",
    "KeyQuery",
    "KeyRotation",
    "KeyStateWord",
    "KeyTypeWord",
    "KeyVersionInfo",
    "MechanismWord",
    "Model",
    "Moment",
    "Name",
    "OpWord",
    "RoleChanged",
    "RoleCreate",
    "RoleGuests",
    "RoleInfo",
    "RoleList",
    "RootChange",
    "RootChanged",
    "RootInfo",
    "RootPassphrase",
    "StatusInfo",
    "Uid",
    "WorkerInfo",
]
