"""The in-process grid behaves as Flower's own towards an app and a server."""

from __future__ import annotations

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedrec.simulations.grid import InProcessGrid

app = ClientApp()


@app.query("count")
def count(message: Message, context: Context) -> Message:
    """How many messages this node has had."""
    seen = int(context.state["n"]["n"]) + 1 if "n" in context.state else 1
    context.state["n"] = ConfigRecord({"n": seen})
    node = context.node_config["name"]
    return Message(RecordDict({"c": ConfigRecord({"n": seen, "node": node})}), reply_to=message)


@app.query("fail")
def fail(message: Message, context: Context) -> Message:
    """Raises with a text that must not travel."""
    raise ValueError("row 7 of ann")


def grid(lost=lambda message: False) -> InProcessGrid:
    return InProcessGrid(app, {5: {"name": "five"}, 6: {"name": "six"}}, {}, lost)


def ask(grid: InProcessGrid, kind: str, *nodes: int) -> list[Message]:
    return list(grid.send_and_receive([Message(RecordDict(), dst_node_id=n, message_type=kind) for n in nodes]))


def test_each_node_has_its_own_context_and_keeps_it():
    g = grid()
    replies = ask(g, "query.count", 5, 6) + ask(g, "query.count", 5)
    assert [(r.content["c"]["node"], r.content["c"]["n"]) for r in replies] == [("five", 1), ("six", 1), ("five", 2)]
    assert [r.metadata.src_node_id for r in replies] == [5, 6, 5]


def test_an_app_that_raises_gives_an_error_without_its_text():
    (reply,) = ask(grid(), "query.fail", 5)
    assert reply.has_error()
    assert "ann" not in str(reply.error)


def test_an_unknown_node_and_an_unknown_action_give_errors():
    g = grid()
    assert ask(g, "query.count", 99)[0].has_error()
    assert ask(g, "query.nothing", 5)[0].has_error()


def test_a_lost_instruction_does_not_run_and_a_lost_reply_did():
    lose_instruction = grid(lambda message: not message.metadata.reply_to_message_id)
    assert ask(lose_instruction, "query.count", 5) == []
    gone = [True]
    lose_reply = grid(lambda message: bool(message.metadata.reply_to_message_id) and gone[0])
    assert ask(lose_reply, "query.count", 5) == []
    gone[0] = False
    assert ask(lose_reply, "query.count", 5)[0].content["c"]["n"] == 2


def test_messages_can_be_pushed_and_pulled_apart():
    g = grid()
    keys = list(g.push_messages([Message(RecordDict(), dst_node_id=5, message_type="query.count")]))
    assert [reply.content["c"]["n"] for reply in g.pull_messages(keys)] == [1]
    assert list(g.pull_messages(keys)) == []
    assert sorted(g.get_node_ids()) == [5, 6]
