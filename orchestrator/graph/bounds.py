"""Bounds toward one goal: what a plan costs beyond each artifact, so that a search for a detour looks nowhere else."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from orchestrator.graph.values import Values

__all__ = ["Bounds"]


class Bounds:
    """The least cost beyond each artifact of any plan for a goal, at the weights of when they were taken.

    While weights only rise they stay lower bounds, and a search in order of value and bound together reaches only
    what a plan as cheap as the new one could hold: A* (P. Hart, N. Nilsson, B. Raphael, "A Formal Basis for the
    Heuristic Determination of Minimum Cost Paths", IEEE Transactions on Systems Science and Cybernetics 4(2), 1968)
    over derivation trees (D. Klein, C. Manning, "A* Parsing: Fast Exact Viterbi Parse Selection", HLT-NAACL 2003,
    where such bounds are called outside estimates). Since sums of costs are exact, the bounds are consistent, and the
    values are those of a search without them.
    """

    def __init__(self, values: Values, goal: int) -> None:
        self.goal = goal
        self._arrays = arrays = values.arrays
        offers = [values.offer(index) for index in range(len(arrays.experts))]
        self._beyond = beyond = _costs_beyond(values, offers, goal)
        self._first = [*values.added]
        self._ahead = [added + beyond[product] for added, product in zip(values.added, arrays.product, strict=True)]
        """By expert: what it adds, and the bound of its product."""
        useful = {
            index
            for index, (offer, product) in enumerate(zip(offers, arrays.product, strict=True))
            if offer + beyond[product] < arrays.never
        }
        self._ready = [index for index in useful if arrays.inputs_of(index, values.value) <= arrays.mask]
        """Experts to whom what is there will do."""
        lists = [[index for index in indexes if index in useful] for indexes in arrays.consumers]
        self._consumers = [[index for index in indexes if arrays.least[index] == 1] for indexes in lists]
        """By artifact: experts to whom it alone will do."""
        self._joins = [[index for index in indexes if arrays.least[index] > 1] for indexes in lists]
        """By artifact: those who need more."""
        self._value = [artifact if artifact in values.there else arrays.never for artifact in range(len(beyond))]
        self._reached: list[int] = []

    def hold(self, index: int, added: int) -> bool:
        """Take what an expert adds now; False if that is less than it was at first, so that the bounds hold no more."""
        self._ahead[index] = added + self._beyond[self._arrays.product[index]]
        return added >= self._first[index]

    def values(self) -> list[int]:
        """The values of the goal and of what its cheapest plan holds; of other artifacts perhaps not."""
        product, mask, never, beyond = self._arrays.product, self._arrays.mask, self._arrays.never, self._beyond
        consumers, joins, ahead, value = self._consumers, self._joins, self._ahead, self._value
        while self._reached:
            value[self._reached.pop()] = never
        heap = [mask + ahead[index] for index in self._ready]
        heapify(heap)
        while heap and (offer := heappop(heap)) < never:
            artifact = product[offer & mask]
            if value[artifact] < never:
                continue
            value[artifact] = offer - beyond[artifact]
            self._reached.append(artifact)
            if artifact == self.goal:
                break
            inputs = value[artifact] | mask
            for index in consumers[artifact]:
                heappush(heap, inputs + ahead[index])
            for index in joins[artifact]:
                heappush(heap, (self._arrays.inputs_of(index, value) | mask) + ahead[index])
        return value


def _costs_beyond(values: Values, offers: list[int], goal: int) -> list[int]:
    """By artifact, the least cost of a plan for the goal less its own, in the place where a value has its cost."""
    arrays, value = values.arrays, values.value
    cost_only = -1 << arrays.below
    beyond = [arrays.never] * len(arrays.artifacts)
    beyond[goal] = 0
    heap = [goal]
    while heap:
        entry = heappop(heap)
        artifact = entry & arrays.mask
        if beyond[artifact] < entry - artifact or artifact in values.there:
            continue
        for index in arrays.producers[artifact]:
            inputs = arrays.inputs[index]
            if offers[index] >= arrays.never or not inputs:
                continue
            costs = [value[other] & cost_only for other in inputs]
            whole, dearest = beyond[artifact] + (offers[index] & cost_only), sorted(costs)[arrays.least[index] - 1]
            for other, cost in zip(inputs, costs, strict=True):
                bound = whole - min(cost, dearest)
                if bound < beyond[other]:
                    beyond[other] = bound
                    heappush(heap, bound + other)
    return beyond
