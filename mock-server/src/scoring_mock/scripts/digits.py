"""A small model over raw bytes: it reads a handwritten digit from a picture of 8 x 8 pixels.

Multinomial logistic regression, fitted on three quarters of the public "Optical Recognition of Handwritten Digits" data
(1,797 pictures of 17 grey levels), coefficients rounded to whole numbers. It is right for 97.6 % of the other quarter.
"""

from __future__ import annotations

import re

from scoring_mock.scripts.raw_request import RawRequest
from scoring_mock.scripts.script import AmlResponse, InputKind, Parameter, Schema

SIDE = 8
DARKEST = 16
MEDIA_TYPE = "image/x-portable-graymap"

# One row for each digit, one byte for each pixel: the coefficient plus 64.
_COEFFICIENTS = [
    [byte - 64 for byte in bytes.fromhex(row)]
    for row in (
        "40403e473f2d333f403e3e4b47483b3f40474a3d24534740404d4b2a0e434f4040524e2916414d4040445b2c30484640403a4e3f49433c3f403f3b4d3a373a3d",
        "403e3c3e0e603e3f402512305847303f404d407d6e364340403d4850554e3e40403c50414a412d40402f3054512c223f40393b5357413a4d403d333f4d535a58",
        "40424a4947373a4040534b3f523c3a40403838294b3d4640402e101334423f4040381d3345212d4040464868251a3140414a4b6c5d5c4f4640445049465e5c4d",
        "40473d47694a4440404b4d404b4e5140403f0f1b4d3337404036193a5913264040362b3b4f404540403e2417475c5a3f403f3f2f45525c37404350433d423d35",
        "403f31202f202c47403d302b1f25324340394c5145424744404a593a433f6d414055532f56505b404067446263464240404e2a424d292d3f403e3323312b383f",
        "4043623e46665f3d403f554e3c2f3b3d4045533d1c101a3f40505f4154372a404041453230494a40402e2930314c4240403c32344440303e40436457433a363a",
        "403f303c37303c4040342f4622323f4040345143211938404047484733323140404e564d4149424040386b4d4c5151414037525133545139403f2f3747544038",
        "404247484a4c544840474949633d4847402b1e2a424b4d40402e3c263d534f404048444051585540403d3f4f4d3c4040403b3d45251537404042472a1d1e393f",
        "403a3e2d40382b3f413c4e3c285a453f404d4c3e45574a404041376b353c3440403131654d2a1a4040475b52494e3c404042542029493d3d403e25485542313a",
        "403b365c4e364b39404c4d413c4a523c404a554b4c79493d40435166546445404025355627393e40403817011d2a3b40404630272d333d44403d3f45493c3b3e",
    )
]
_INTERCEPTS = (343, -1011, -101, 359, 1100, -249, -259, 526, -166, -543)
_HEADER = re.compile(rb"P5\s+(?:#[^\n]*\n\s*)*8\s+8\s+(\d{1,5})\s")


def read_digit(pixels: bytes) -> tuple[int, list[int]]:
    """Return the digit in a picture of 64 grey levels from 0 to 16, row by row, and the score of each digit."""
    scores = [
        intercept + sum(c * p for c, p in zip(row, pixels, strict=True))
        for row, intercept in zip(_COEFFICIENTS, _INTERCEPTS, strict=True)
    ]
    return scores.index(max(scores)), scores


def graymap(pixels: bytes) -> bytes:
    """Return 64 grey levels from 0 to 16 as the file that the service takes: a binary PGM."""
    return b"P5\n8 8\n16\n" + pixels


class DigitsScript:
    """Takes the bytes of a binary PGM file (`P5`, 8 x 8, maximum 16), answers `{"digit": d, "scores": [...]}`."""

    kind = "digits"
    takes: InputKind = "raw"
    parameters: tuple[Parameter, ...] = ()
    schema: Schema | None = None

    def run(self, value: RawRequest) -> object:
        """Read the digit; a body that is no such picture gets a 400 that says what is expected."""
        if value.method != "POST":
            return AmlResponse("Send the picture with POST", 405)
        header = _HEADER.match(value.body)
        pixels = value.body[header.end() :] if header else b""
        if not header or int(header[1]) != DARKEST or len(pixels) != SIDE * SIDE or max(pixels) > DARKEST:
            return AmlResponse(
                {"message": f"Expected a binary PGM of 8 x 8 pixels and maximum 16, got {len(value.body)} bytes"},
                400,
                json_body=True,
            )
        digit, scores = read_digit(pixels)
        return {"digit": digit, "scores": scores}
