"""The roster's pages: the one that asks for a class, and the one that shows it."""

import threading
from http import HTTPStatus
from typing import Any

import numpy as np
from flask import Response, current_app, request

from data import card_words
from serving.api import ready_predictor
from serving.pages.shell import render
from serving.pages.words import compared
from serving.predictor import Predictor
from serving.problems import Problem
from serving.roster.carrying import pack
from serving.roster.choice import page_of, page_size
from serving.roster.noting import write_noted
from serving.roster.reading import MOST_ROWS
from serving.roster.received import Received, has_example
from serving.roster.view import BLANK, class_bar, class_parts, counts_shown, details_of, lines_of

MOST_TROUBLES = 50  # shown on the page


def upload_page(problem: Problem | None = None) -> Response:
    """Return the page that asks for a class, with what was wrong with the last one."""
    predictor = ready_predictor(current_app.extensions["predictor"])
    threading.Thread(target=warm, args=(predictor,), daemon=True).start()
    values: dict[str, Any] = {
        "contract": predictor.bundle.contract,
        "most": MOST_ROWS,
        "example": has_example(predictor),
    }
    values |= {"counts": predictor.counts_warning, "said": card_words}
    return render("roster.html", problem.status if problem else HTTPStatus.OK, problem=problem, **values)


def warm(predictor: Predictor) -> None:
    """Have the booster read while a person looks for the file: the first time it takes a second."""
    bundle = predictor.bundle
    bundle.explain(np.zeros((1, len(bundle.space.names)), dtype=np.float32))


def class_page(given: Received, said: str) -> Response:
    """Return the page of a class, with what has just been done."""
    predictor, contract = given.predictor, given.contract
    places, page, pages = page_of(given.choice, given.shown)
    records = [given.roster.records[place] for place in places]
    lines = lines_of(places.tolist(), given.roster, given.forecasts, given.shown, contract)
    parts = class_parts(given.forecasts, predictor.bundle)
    values: dict[str, Any] = {
        "said": said,
        "contract": contract,
        "given": given,
        "lines": lines,
        "records": records,
        "details": details_of(predictor, records, [line.number for line in lines]),
        "page": page,
        "pages": pages,
        "size": page_size(len(given.roster.records)),
        "parts": parts,
        "bar": class_bar(parts, contract),
        "counts": counts_shown(given.forecasts, given.shown, predictor.bundle),
        "carried": pack(given.roster.header, given.roster.rows, given.roster.delimiter, contract),
        "noted": write_noted(given.noted),
        "compared": compared(predictor.bundle.scale),
        "told_of_counts": predictor.counts_warning,
        "blank": BLANK,
        "troubles": given.roster.troubles[:MOST_TROUBLES],
        "form": request.form,
    }
    return render("roster_class.html", HTTPStatus.OK, **values)
