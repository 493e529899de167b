"""Our own pool programs: C source, the compiled sBPF file and its checksum, and how it is built.

The programs stand at the venues' well-known addresses and take their public instruction layouts, so that a bot's real
builders and decoders work unchanged. They are meant for the embedded chain and for no other.
"""

from slotzero.localnet.programs.loader import checksums, load

__all__ = ["checksums", "load"]
