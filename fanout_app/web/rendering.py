"""Finished answers to pulls: what the owner of the messages makes, whichever worker the client has asked."""

from __future__ import annotations

from msgspec import UNSET, Raw
from multidict import CIMultiDict

from fanout_app.cluster.frames import Wish
from fanout_app.cluster.ports import Rendered
from fanout_app.core.lease import Answer
from fanout_app.web.answers import Answers
from fanout_app.web.codecs import FORMS, JSON
from fanout_app.web.ports import Runtime
from fanout_app.web.record_headers import describe
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.translation import CLIENT_HEADER


class Renderer:
    """Makes them as `Wish` says."""

    def __init__(self, runtime: Runtime, codec: TokenCodec) -> None:
        self._runtime = runtime
        self._codec = codec
        self._answers = Answers(runtime, codec)

    def __call__(self, answer: Answer, wish: Wish) -> Rendered:
        if wish.form == "next":
            return self._one_message(answer, wish)
        form = FORMS.get(wish.form, JSON)
        settled = Raw(wish.settled) if wish.settled else UNSET
        body = form.encode(self._answers.pulled(answer, settled, utf8=wish.utf8 and not form.binary))
        return Rendered(form.headers, body)

    def _one_message(self, answer: Answer, wish: Wish) -> Rendered:
        run = answer.shown[0]
        message = run.messages[0]
        token = self._codec.leases(run)[0]
        headers: CIMultiDict[str] = CIMultiDict(
            {
                "Location": f"/v1/leases/{token}",
                "Fanout-Lease": token,
                "Fanout-Delivery-Count": str(run.delivery_count),
                "Fanout-Lease-Ends": str(self._runtime.unix_ms(run.deadline)),
                "Kafka-Topic": self._runtime.topic,
                "Kafka-Partition": str(run.partition),
                "Kafka-Offset": str(message.offset),
                "Kafka-Timestamp": str(message.timestamp),
            }
        )
        if wish.tell_client:
            headers[CLIENT_HEADER] = answer.client
        describe(message, headers)
        if message.value is None:
            headers["Fanout-Null"] = "1"
        # Its names are a kind of text of their own, which cannot be sent to another worker.
        return Rendered(tuple((str(name), value) for name, value in headers.items()), message.value)
