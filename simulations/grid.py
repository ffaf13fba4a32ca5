"""A Flower `Grid` that runs a ClientApp in this process: no Ray, no daemon, ready at once.

The same ServerApp and ClientApp that run here run on a SuperLink with SuperNodes; only the transport differs. Nodes
answer one after the other, each with its own `Context` that lives as long as the grid, as it does in a SuperNode.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

SERVER_NODE_ID = 1
RUN_ID = 1
UserConfig = dict[str, bool | float | int | str]
Fault = Callable[[Message], bool]


class InProcessGrid(Grid):
    """Deliver each message to `client_app` here.

    `nodes` maps node id to the node's own configuration. `lost(message)` may return True to lose a message on its way
    out or back, for fault injection; the ClientApp runs only if its instruction arrives. `seconds` is how long clients
    worked on the messages of each group; a round is a group.
    """

    def __init__(
        self,
        client_app: ClientApp,
        nodes: Mapping[int, UserConfig],
        run_config: UserConfig,
        lost: Fault = lambda message: False,
    ) -> None:
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 0, RUN_ID, SERVER_NODE_ID
        self._app, self._lost = client_app, lost
        self._run = Run.create_empty(RUN_ID)
        self._replies: dict[str, Message] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._contexts = {
            node: Context(RUN_ID, node, dict(config), RecordDict(), dict(run_config)) for node, config in nodes.items()
        }

    def set_run(self, run: Run) -> None:
        self._run = run

    @property
    def run(self) -> Run:
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id=dst_node_id, message_type=message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> Iterable[int]:
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return [self._push(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self._replies.pop(key) for key in message_ids if key in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Replies one by one, each computed when it is taken, so that a caller who adds them up holds one at a time."""
        return (reply for message in messages if (reply := self.deliver(message)) is not None)

    def _push(self, message: Message) -> str:
        reply = self.deliver(message)
        if reply is not None:
            self._replies[message.metadata.message_id] = reply
        return message.metadata.message_id

    def deliver(self, message: Message) -> Message | None:
        """The reply to `message`, unless one of the two is lost."""
        message.metadata.__dict__["_message_id"] = uuid.uuid4().hex
        message.metadata.__dict__["_src_node_id"] = SERVER_NODE_ID
        if self._lost(message):
            return None
        started = time.perf_counter()
        reply = self._answer(message)
        self.seconds[message.metadata.group_id] += time.perf_counter() - started
        return None if self._lost(reply) else reply

    def _answer(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        if node not in self._contexts:
            return Message(Error(ErrorCode.NODE_UNAVAILABLE, f"no node {node}"), reply_to=message)
        TaskIdentity.node_id = node
        try:
            return self._app(message, self._contexts[node])
        except Exception as error:  # a SuperNode, too, turns whatever the app raises into an error reply
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, type(error).__name__), reply_to=message)
        finally:
            TaskIdentity.node_id = SERVER_NODE_ID
