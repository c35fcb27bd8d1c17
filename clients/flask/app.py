"""A Flask application with Flask-Session, as its manual shows it.

clients/README.md says what each route is for; docs/frameworks/flask.md shows the lines of the session.
"""

import os
from datetime import timedelta
from urllib.request import urlopen

from flask import Flask, jsonify, request, session
from flask_session import Session
from redis import Redis

app = Flask(__name__)

app.config["SESSION_TYPE"] = "redis"
app.config["SESSION_REDIS"] = Redis.from_url(os.environ["REDIS_URL"])
app.config["PERMANENT_SESSION_LIFETIME"] = timedelta(seconds=int(os.environ["IDLE_SECONDS"]))
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
Session(app)


@app.get("/healthz")
def healthz():
    return jsonify(ok=True)


@app.get("/me")
def me():
    return jsonify(user=session.get("user"))


@app.post("/login")
def login():
    app.session_interface.regenerate(session)
    session["user"] = request.args["user"]
    return jsonify(user=session["user"])


@app.post("/logout")
def logout():
    session.clear()
    return jsonify(user=None)


@app.post("/regenerate")
def regenerate():
    app.session_interface.regenerate(session)
    return jsonify(user=session.get("user"))


@app.post("/cart")
def add():
    session["cart_" + request.args["item"]] = True
    return jsonify(cart=cart())


@app.get("/cart")
def show():
    return jsonify(cart=cart())


@app.post("/slow")
def slow():
    user = session.get("user")
    urlopen(request.args["until"]).read()
    session["cart_" + request.args["item"]] = True
    return jsonify(user=user)


@app.post("/many")
def many():
    # Flask-Session has no call that makes a session, so each is made by a visitor of this process.
    count = int(request.args["n"])
    for index in range(count):
        app.test_client(use_cookies=False).post(f"/login?user=many-{index}")
    return jsonify(made=count)


@app.route("/sessions", methods=["GET", "DELETE"])
def sessions():
    return jsonify(why="Flask-Session neither lists nor clears sessions"), 501


def cart():
    return sorted(name.removeprefix("cart_") for name in session if name.startswith("cart_"))
