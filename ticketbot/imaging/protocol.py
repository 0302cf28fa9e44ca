"""What crosses the two pipes between us and a decoder child: fixed headers, then bytes.

The child reads what a stranger wrote, so nothing it sends is unpickled, evaluated or trusted beyond numbers in range.
"""

import struct

READY = b"R"

# to the child: bytes of the file, longest side of the answer; then the file
JOB = struct.Struct(">IH")

# to us: code (empty when read), format, width and height of the original after its EXIF turn, rows and columns of the
# answer; then rows x columns x 3 bytes
ANSWER = struct.Struct(">24s8sIIHH")
