"""The search: the least value of every artifact, found once and then kept while weights change."""

from __future__ import annotations

from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush

from orchestrator.graph.arrays import Arrays

__all__ = ["Values"]

UNASKED = -1
"""In place of what an expert adds, until it is asked."""


class Values:
    """The least value of every artifact, and what each expert that was asked adds to the value of its inputs.

    The search is Dijkstra's algorithm in Knuth's generalisation to AND/OR graphs (D. Knuth, "A Generalization of
    Dijkstra's Algorithm", Information Processing Letters 6(1), 1977), with a heap: O((V + E) log V). Artifacts are
    reached in order of value, so the first k inputs of a join that are reached are its k cheapest.

    After changes only the values that they touch are found again, which for Knuth's problem was shown by G.
    Ramalingam and T. Reps, "An Incremental Algorithm for a Generalization of the Shortest-Path Problem", Journal of
    Algorithms 21(2), 1996. Here it takes two passes instead of their one queue: whatever hung on something dearer
    loses its value; then the same search gives values to what lost them and lower ones to what got cheaper. Since an
    expert adds to the value of each of its inputs, only one assignment of values agrees with what everybody offers,
    and so these are the values of a new search.
    """

    def __init__(self, arrays: Arrays, there: Collection[int], ask: Callable[[int], int]) -> None:
        self.arrays = arrays
        self.there = {*there}
        self.value: list[int] = [arrays.never] * len(arrays.artifacts)
        self.added: list[int] = [UNASKED] * len(arrays.experts)
        self._ask = ask
        self._new: set[int] = set()
        self._cheaper: set[int] = set()
        self._dearer: set[int] = set()

    @property
    def exact(self) -> bool:
        """Whether no change waits for `repair`."""
        return not (self._new or self._cheaper or self._dearer)

    def search(self, until: int | None = None) -> None:
        """Reach every artifact that can be reached, in order of value, or all up to `until`."""
        product, mask, never, value = self.arrays.product, self.arrays.mask, self.arrays.never, self.value
        missing = [*self.arrays.least]
        for artifact in self.there:
            value[artifact] = artifact
        heap = [offer for index in self.arrays.free if (offer := self.offer(index)) < never]
        heapify(heap)
        for artifact in sorted(self.there):
            self._reach(artifact, missing, heap)
        while heap:
            offer = heappop(heap)
            artifact = product[offer & mask]
            if value[artifact] < never:
                continue
            value[artifact] = offer
            if artifact == until:
                return
            self._reach(artifact, missing, heap)

    def _reach(self, artifact: int, missing: list[int], heap: list[int]) -> None:
        """Put on the heap what experts offer whose last missing input this artifact was."""
        arrays, added, value = self.arrays, self.added, self.value
        product, least, never, inputs = arrays.product, arrays.least, arrays.never, value[artifact] | arrays.mask
        for index in arrays.consumers[artifact]:
            missing[index] -= 1
            if missing[index] or value[product[index]] < never:
                continue
            if least[index] > 1:
                offer = self.offer(index)
            else:
                offer = inputs + (added[index] if added[index] != UNASKED else self._asked(index))
            if offer < never:
                heappush(heap, offer)

    def offer(self, index: int) -> int:
        """The value that a product has through an expert, who is asked what it adds if its inputs are reached."""
        arrays = self.arrays
        inputs = arrays.inputs_of(index, self.value)
        if inputs >= arrays.never:
            return arrays.never
        return min((inputs | arrays.mask) + self._asked(index), arrays.never)

    def _asked(self, index: int) -> int:
        """What an expert adds; it is asked the first time."""
        if self.added[index] == UNASKED:
            self.added[index] = self._ask(index)
        return self.added[index]

    def have(self, artifact: int) -> None:
        """Note that an artifact is there."""
        self.there.add(artifact)
        self._new.add(artifact)

    def change(self, index: int, added: int) -> None:
        """Note what an expert adds from now on."""
        before, self.added[index] = self.added[index], added
        product = self.arrays.product[index]
        if added < before:
            self._cheaper.add(index)
        elif added > before and self.value[product] & self.arrays.mask == index:
            self._dearer.add(product)

    def repair(self) -> None:
        """Make every value exact again."""
        if self.exact:
            return
        value, product, never = self.value, self.arrays.product, self.arrays.never
        lost = self._lose()
        new = [*self._new]
        for artifact in new:
            value[artifact] = artifact
        heap: list[int] = []
        for artifact in lost:
            value[artifact] = min(map(self.offer, self.arrays.producers[artifact]))
            heap.append(value[artifact])
        for index in self._cheaper:
            offer = self.offer(index)
            if offer < value[product[index]]:
                value[product[index]] = offer
                heap.append(offer)
        heapify(heap)
        for done in (self._new, self._cheaper, self._dearer):
            done.clear()
        for artifact in new:
            self._relax(artifact, heap)
        while heap and (offer := heappop(heap)) < never:
            artifact = product[offer & self.arrays.mask]
            if offer == value[artifact]:
                self._relax(artifact, heap)

    def _lose(self) -> set[int]:
        """Take the value from what got dearer and from all that may have hung on it."""
        arrays, value = self.arrays, self.value
        lost = self._dearer - self.there
        stack = [*lost]
        while stack:
            artifact = stack.pop()
            value[artifact] = arrays.never
            for index in arrays.consumers[artifact]:
                product = arrays.product[index]
                if value[product] & arrays.mask == index and product not in lost and product not in self.there:
                    lost.add(product)
                    stack.append(product)
        return lost

    def _relax(self, artifact: int, heap: list[int]) -> None:
        """Lower what can be had cheaper with an artifact that got a lower value; nobody else is asked a weight."""
        arrays, value = self.arrays, self.value
        inputs = value[artifact] | arrays.mask
        for index in arrays.consumers[artifact]:
            product = arrays.product[index]
            if inputs < value[product]:
                offer = self.offer(index) if arrays.least[index] > 1 else inputs + self._asked(index)
                if offer < value[product]:
                    value[product] = offer
                    heappush(heap, offer)
