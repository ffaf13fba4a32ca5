"""What a platform sends to its tenants: its address, its CA, the roster, the catalogue; one file, the same for all.

Nothing in it is secret, and everything in it must be genuine: with another CA or roster, the platform, or someone on
the way, could be all the other tenants. So a tenant takes it only with its fingerprint, which it gets on another way
and compares with other tenants.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from fedrec import __version__
from fedrec.deploy.certificates import read_certificate
from fedrec.errors import ConfigError
from fedrec.files import DAMAGED_ARCHIVE, write_bytes
from fedrec.privacy.secagg.roster import Roster

TERMS, CA, ROSTER, CATALOGUE = "invitation.toml", "ca.pem", "roster.txt", "catalogue.parquet"
FILES = (TERMS, CA, ROSTER, CATALOGUE)
MAX_BYTES = 1 << 31
LABEL = b"fedrec deploy v1 invitation"
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Invitation:
    """platform: its name. address: host:port. ca: PEM. catalogue: a Parquet file."""

    platform: str
    address: str
    ca: bytes
    roster: Roster
    catalogue: bytes
    version: str = __version__

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits in groups of 4 that two parties compare to know that they hold the same invitation."""
        state = hashlib.sha256(LABEL)
        for name, content in self._files().items():
            for part in (name.encode(), content):
                state.update(len(part).to_bytes(8, "little") + part)
        digits = state.hexdigest()
        return "-".join(digits[start : start + 4] for start in range(0, len(digits), 4))

    def is_pinned_by(self, fingerprint: str) -> bool:
        """Whether it has this fingerprint, however that is grouped."""
        given = "".join(one for one in fingerprint.lower() if one.isalnum())
        return hmac.compare_digest(given.encode(), self.fingerprint.replace("-", "").encode())

    def write(self, path: Path) -> None:
        """Write the invitation as one file."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in self._files().items():
                archive.writestr(zipfile.ZipInfo(name, _DATE), content)
        write_bytes(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> Invitation:
        """An invitation from its file. Raises ConfigError if it is damaged."""
        try:
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
                if (
                    sorted(info.filename for info in infos) != sorted(FILES)
                    or sum(i.file_size for i in infos) > MAX_BYTES
                ):
                    raise ConfigError(f"{path} is not an invitation; expected the files {', '.join(FILES)} in it.")
                content = {name: archive.read(name) for name in FILES}
            terms = tomllib.loads(content[TERMS].decode())
            return cls._of(terms["platform"], terms["address"], terms["fedrec"], content)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, *DAMAGED_ARCHIVE) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{path} is not an invitation that `fedrec platform invite` made: {error!r}.") from error

    @classmethod
    def _of(cls, platform: object, address: object, version: object, content: dict[str, bytes]) -> Invitation:
        read_certificate(content[CA])
        roster = Roster.from_text(content[ROSTER].decode())
        return cls(str(platform), str(address), content[CA], roster, content[CATALOGUE], str(version))

    def _files(self) -> dict[str, bytes]:
        terms = {"platform": self.platform, "address": self.address, "fedrec": self.version}
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in terms.items())
        return {
            TERMS: text.encode(),
            CA: self.ca,
            ROSTER: self.roster.to_text().encode(),
            CATALOGUE: self.catalogue,
        }
