"""Where ranges go: a plan over the calls of a model, before anything is built."""

from collections import Counter
from dataclasses import dataclass, field

from keras_sparse.train import roles


@dataclass
class Plan:
    """What `prepare` builds.

    Attributes:
        roles: for each call, its role.
        reads: for each call, how it takes its inputs: "int8" (each on a range), "close" (on a range only where the
            tensor is the output of an int8 layer), or "as is" (within what the runtime fuses).
        range_of: {tensor: number of its range}; tensors that share a range have the same number.
        site_of: {tensor: its site within the range}, for tensors that the range is learned from.
    """

    roles: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    range_of: dict[int, int] = field(default_factory=dict)
    site_of: dict[int, int] = field(default_factory=dict)

    @property
    def sites(self):
        """{range: number of its sites}."""
        return Counter(self.range_of[tensor] for tensor in self.site_of)


INT8, CLOSE, AS_IS = "int8", "close", "as is"


def plan(trace, selected):
    """The `Plan` for a traced model.

    Args:
        trace: a `graph.Trace`.
        selected: ids of the layers whose kernels are quantized.
    """
    return _Planner(trace, selected).run()


class _Planner:
    def __init__(self, trace, selected):
        self.trace, self.selected = trace, selected
        self.uses = trace.uses()
        self.readers = {}
        for call in trace.calls:
            for tensor in call.inputs:
                self.readers.setdefault(tensor, []).append(call)
        self.open = {}  # tensor -> call that made it: an int8 output, whose fused operation may go on
        self.ranged = set()  # tensors that have a range
        self.learned = []  # tensors whose values a range is learned from, in order
        self.same = _Classes()

    def run(self):
        plan = Plan()
        for call in self.trace.calls:
            role = self.role(call)
            plan.roles.append(role)
            plan.reads.append(self.read(call, role))
            self.made(call, role)
        for tensor in self.trace.outputs:
            self.close(tensor)
        numbers = {}
        for tensor in self.ranged:
            plan.range_of[tensor] = numbers.setdefault(self.same.find(tensor), len(numbers))
        sites = Counter()
        for tensor in self.learned:
            plan.site_of[tensor] = sites[plan.range_of[tensor]]
            sites[plan.range_of[tensor]] += 1
        return plan

    def role(self, call):
        """The role of this call, given where its inputs come from."""
        role, _ = roles.role(call.layer)
        if role == roles.WEIGHTED:
            return role if id(call.layer) in self.selected else roles.FLOAT
        before = self.open.get(call.inputs[0]) if call.inputs else None
        alone = before is not None and self.uses[call.inputs[0]] == 1
        if role == roles.BATCH_NORM:
            fused = alone and roles.role(before.layer)[0] == roles.WEIGHTED
            return role if fused and roles.activation_name(before.layer.activation) == "linear" else roles.FLOAT
        if role == roles.RELU:
            if alone and roles.role(before.layer)[0] != roles.RELU:
                return role
            role = roles.COMPUTED
        int8 = any(tensor in self.open or tensor in self.ranged for tensor in call.inputs)
        return role if int8 or self.leads_to_int8(call) else roles.FLOAT

    def leads_to_int8(self, call):
        """Whether the values that a call moves reach a quantized layer as they are."""
        if roles.role(call.layer)[0] not in roles.KEEP_RANGE:
            return False
        after = [reader for tensor in call.outputs for reader in self.readers.get(tensor, [])]
        return any(id(reader.layer) in self.selected or self.leads_to_int8(reader) for reader in after)

    def read(self, call, role):
        if role in (roles.BATCH_NORM, roles.RELU):
            return AS_IS
        for tensor in call.inputs:
            if role == roles.FLOAT:
                self.close(tensor)
            else:
                self.learn(tensor)
        return CLOSE if role == roles.FLOAT else INT8

    def made(self, call, role):
        if role == roles.WEIGHTED and not roles.fuses(call.layer):
            return  # its activation comes out of a layer of its own
        for tensor in call.outputs:
            if role in (roles.WEIGHTED, roles.COMPUTED, roles.BATCH_NORM, roles.RELU):
                self.open[tensor] = call
            elif role in roles.KEEP_RANGE:
                self.ranged.add(tensor)
                for source in call.inputs:
                    self.same.join(tensor, source)

    def close(self, tensor):
        """The end of a fused operation: its output gets a range; a tensor that is not one stays as it is."""
        if tensor in self.open:
            self.learn(tensor)

    def learn(self, tensor):
        if tensor not in self.ranged:
            self.ranged.add(tensor)
            self.learned.append(tensor)


class _Classes:
    """Disjoint sets of tensors, each set with one range."""

    def __init__(self):
        self.parents = {}

    def find(self, tensor):
        while tensor in self.parents:
            tensor = self.parents[tensor]
        return tensor

    def join(self, a, b):
        a, b = self.find(a), self.find(b)
        if a != b:
            self.parents[a] = b
