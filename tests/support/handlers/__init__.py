"""Handlers in each language that has a client library, which do what their messages say: the same for all of them.

A message is JSON: ``{"n": 7, "for": 0.5, "then": ["fail", "ok"]}`` is worked on for half a second, fails when it is
delivered for the first time and is done from the second time on. ``then`` is one of `ok`, `fail`, `nack` (with
``delay`` seconds) and `reject`, or a list of these. Each handler says on a line of JSON that it has begun and ended.
"""
