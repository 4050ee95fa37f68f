"""Send a picture to a scoring service, with a token that something else keeps fresh.

pip install "urllib3>=2.6,<2.9"
SCORING_URI=https://... SCORING_TOKEN_FILE=/run/secrets/token python example.py digit.pgm

SCORING_CA_FILE names a file of certificates to trust, SCORING_TIMEOUT is in seconds; both may be unset. Waits between
attempts are logged. Ctrl-C cancels the call.
"""

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from scoring_client import AccessToken, Retry, ScoringClient, ScoringError

logger = logging.getLogger("example")


def stop(status: int, text: object) -> NoReturn:
    """End with one line on standard error."""
    print(" ".join(str(text).split()), file=sys.stderr)
    sys.exit(status)


def read_token() -> AccessToken:
    """Read the file each time a token is needed, so that a new one is found within five minutes."""
    token = Path(os.environ["SCORING_TOKEN_FILE"]).read_text(encoding="utf-8").rstrip("\r\n")  # editors end files so
    return AccessToken(token, refresh_by=time.time() + 300)


def log_retry(retry: Retry) -> None:
    """Log a wait; its reason holds no secret."""
    logger.warning("attempt %d: %s; the next one in %.1f s", retry.attempt, retry.reason, retry.wait)


def main() -> None:
    """Read the environment, make a client, make a call."""
    if len(sys.argv) != 2:
        stop(2, "usage: python example.py IMAGE")
    for name in ("SCORING_URI", "SCORING_TOKEN_FILE"):
        if not os.environ.get(name):
            stop(2, f"{name} is not set")
    try:
        timeout = float(os.environ.get("SCORING_TIMEOUT") or 100)
    except ValueError:
        stop(2, "SCORING_TIMEOUT must be a number of seconds")
    try:
        image = Path(sys.argv[1]).read_bytes()
    except OSError as error:
        stop(2, f"the image cannot be read: {error.strerror}")
    try:
        client = ScoringClient(
            os.environ["SCORING_URI"],
            token_provider=read_token,
            timeout=timeout,
            ca_file=os.environ.get("SCORING_CA_FILE") or None,
            on_retry=log_retry,
        )
    except ValueError as error:
        stop(2, error)
    # [START call]
    with client:
        try:
            body = client.score_bytes(image, "image/x-portable-graymap")
            text = body.decode("utf-8")
            json.loads(text)
        except ScoringError as error:
            stop(1, error)  # what the service, the network or the reply came to
        except OSError as error:
            stop(1, f"the token file cannot be read: {error.strerror}")  # raised by read_token
        except ValueError as error:
            stop(1, f"the token or the reply is not as it should be: {error}")
    print(" ".join(text.splitlines()))
    # [END call]


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        main()
    except KeyboardInterrupt:
        stop(130, "cancelled")
