"""Send the article's two rows to a scoring service and print its predictions.

pip install requests
SCORING_URI=https://... SCORING_KEY=... python quickstart.py

SCORING_KEY may be unset: some services have none. SCORING_TIMEOUT is in seconds, 60 by default.
"""

import json
import os
import re
import sys
from typing import NoReturn

import requests

ROWS = [
    [0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635, -0.0359677812752396,
     -0.0266789028311707, -0.0249926566315915, -0.00259226199818282, 0.00371173823343597, 0.0403433716478807],
    [-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822, 0.0479653430750293,
     0.0293746718291555, -0.0176293810234174, 0.0343088588777263, 0.0702112981933102, 0.00720651632920303],
]  # fmt: skip

uri = os.environ.get("SCORING_URI", "")
key = os.environ.get("SCORING_KEY", "")


def stop(status: int, text: str) -> NoReturn:
    """End with one line on standard error, never with the key in it."""
    print(" ".join((text.replace(key, "***") if key else text).split())[:500], file=sys.stderr)
    sys.exit(status)


if not re.fullmatch(r"https?://[^/?#@\s]+([/?][^#\s]*)?", uri):
    stop(2, "SCORING_URI must be an absolute http or https URI, without user info or fragment")
if unfit := re.search("[^!-~]", key):
    at = f"at position {unfit.start()} (a trailing newline?)"
    stop(2, f"SCORING_KEY has a character that cannot be sent in a header {at}")
try:
    timeout = float(os.environ.get("SCORING_TIMEOUT") or 60)
except ValueError:
    timeout = 0
if not 0 < timeout < 1e6:
    stop(2, "SCORING_TIMEOUT must be a number of seconds greater than 0")

# [START call]
try:
    reply = requests.post(
        uri,
        json={"data": ROWS},
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=timeout,  # for connecting and for each wait for bytes; ScoringClient bounds the whole call
        allow_redirects=False,  # the key stays with this host
        auth=lambda request: request,  # otherwise an entry in ~/.netrc replaces the key
    )
except requests.RequestException as error:
    stop(1, f"cannot reach {uri.partition('?')[0]}: {type(error).__name__}")
text = reply.content.decode(errors="replace")
if not 200 <= reply.status_code <= 299:
    stop(1, f"{reply.status_code}: {text}")
try:
    predictions = json.loads(reply.content)
except (ValueError, RecursionError):
    predictions = None
if not isinstance(predictions, list):
    stop(1, f"the reply is not a JSON array: {text}")
print(predictions)
# [END call]
