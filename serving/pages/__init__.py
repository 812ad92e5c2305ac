"""The educator's pages: server-rendered, made from the contract of the model that answers.

A page is a file here, a template, and its line in PAGES. What all share is in `layout`.
"""

from flask import Flask
from jinja2 import StrictUndefined
from werkzeug.exceptions import NotFound

from serving.pages import model_card, roster, show, student
from serving.pages.layout import (
    asset,
    csrf,
    keep_sessions,
    let_into_documents,
    login,
    proof_of,
    show_static,
    tell_nowhere,
)

PAGES = (
    (student.student, "/", "One student"),
    (roster.roster, "/roster", "A class"),
    (model_card.model_card, "/model/card", "About the model"),
)
"""Each with its address and its name in the navigation."""


def install_pages(app: Flask) -> None:
    """Add the pages to an application; raises OSError where home cannot be written."""
    keep_sessions(app, app.extensions["settings"])
    # Flask-WTF's own look at the origin knows no proxy that asks by another name: see layout.protect.
    app.config |= {
        "WTF_CSRF_CHECK_DEFAULT": False,
        "WTF_CSRF_TIME_LIMIT": None,
        "WTF_CSRF_SSL_STRICT": False,
    }
    csrf.init_app(app)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.globals |= {"asset": asset, "show": show, "proof_of": proof_of}
    app.jinja_env.globals["navigation"] = [(path, name) for _, path, name in PAGES]
    app.jinja_env.filters |= show.FILTERS
    app.add_url_rule("/static/<name>", "static", show_static)
    app.register_error_handler(NotFound, tell_nowhere)
    blueprints = (login, *(page for page, _, _ in PAGES))
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    names = {blueprint.name for blueprint in blueprints}
    rules = (rule for rule in app.url_map.iter_rules() if rule.endpoint.split(".")[0] in names)
    own = {rule.rule for rule in rules}
    # The middleware leaves to us who may see these; programs are known by their key, people by their log-in.
    documents = {rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/docs")}
    app.extensions["documents"] = frozenset({*documents, "/openapi.json"})
    app.extensions["page_paths"] = frozenset(own) | app.extensions["documents"]
    app.before_request(let_into_documents)
