"""How pages and static files go out: compressed, for browsers that take them so."""

import gzip

from flask import Response, request

WORTH_IT = 1_400  # bytes: less fits into one packet anyway
EFFORT = 6


def compressed(response: Response) -> Response:
    """Compress an answer for browsers that take it so, unless it is compressed already.

    A secret beside a stranger's text could be guessed from the length; here both come from the one who
    asks, for a page repeats nothing but what came in a form with a token.
    """
    if response.direct_passthrough or "Content-Encoding" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return response
    body = response.get_data()
    if len(body) > WORTH_IT:
        response.set_data(gzip.compress(body, EFFORT, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response
