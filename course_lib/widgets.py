"""Widgets for notebooks: put entries in order without typing. A widget changes no answer; it prints what to paste.

Only features that ipywidgets 7.7.1 (Colab) and 8.1 share are used. Import it where it is needed: it loads ipywidgets.
"""

import json
from collections.abc import Sequence

import ipywidgets as widgets

MOST_ROWS = 14


def ordering(labels: Sequence[str], name: str = "order", *, leave_out: bool = False,
             share_iterations: bool = False) -> "Ordering":
    """A list to put in order, and below it the Python list to paste into the answer cell, as `name = [...]`.

    `leave_out`: entries may be left out (distractors). `share_iterations`: neighbours may be joined into one iteration;
    the answer is then a list of lists. ValueError for no labels, or for one that stands twice.
    """
    return Ordering(labels, name, leave_out, share_iterations)


class Ordering(widgets.VBox):
    """One list box and a few buttons that act on the entry chosen in it.

    A pair of buttons for each entry would lose the keyboard's focus on every move, for the row moves away from under
    it. Here the focus stays on the button, the choice moves with the entry, and a screen reader reads both.
    """

    def __init__(self, labels: Sequence[str], name: str, leave_out: bool, share_iterations: bool) -> None:
        if not labels or len(set(labels)) < len(labels):
            raise ValueError(f"labels must be at least one text, each another, got {list(labels)}")
        self._name, self._share = name, share_iterations
        self._labels = list(labels)  # those left out stand at the end
        self._num_in = len(labels)
        self._joined = [False] * len(labels)  # of places, not of labels: the iterations stay while entries move
        self.list_box = widgets.Select(description="Order:", rows=min(len(labels), MOST_ROWS) + 1,
                                       layout=widgets.Layout(width="95%", max_width="640px"))
        self.up = _button("Move up", "Move the chosen entry one place up", lambda _: self._move(-1))
        self.down = _button("Move down", "Move the chosen entry one place down", lambda _: self._move(+1))
        self.join = _button("Join / part", "Put the chosen entry into the iteration of the one above, or out of it",
                            lambda _: self._join())
        self.out = _button("Leave out / put back", "Leave the chosen entry out of the answer, or put it back",
                           lambda _: self._leave_out())
        self.text = widgets.Textarea(description="To paste:", rows=3,
                                     layout=widgets.Layout(width="95%", max_width="640px"))
        buttons = [self.up, self.down, *[self.join] * share_iterations, *[self.out] * leave_out]
        self._show(0)
        row = widgets.HBox(buttons, layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__(children=[self.list_box, row, self.text])

    def __repr__(self) -> str:
        return f"A list to put in order, shown where the notebook runs: {self.text.value}"

    @property
    def order(self) -> list[str] | list[list[str]]:
        """The answer as it stands: labels, or with `share_iterations` a list of labels an iteration."""
        if not self._share:
            return self._labels[:self._num_in]
        iterations: list[list[str]] = []
        for label, iteration in zip(self._labels, self._iterations(), strict=False):
            if iteration == len(iterations):
                iterations.append([])
            iterations[iteration].append(label)
        return iterations

    def _iterations(self) -> list[int]:
        """The iteration of each entry that is in."""
        found: list[int] = []
        for place in range(self._num_in):
            found.append(found[-1] + (not self._joined[place]) if found else 0)
        return found

    def _move(self, step: int) -> None:
        place = self.list_box.index
        if 0 <= place + step < self._num_in and place < self._num_in:
            labels = self._labels
            labels[place], labels[place + step] = labels[place + step], labels[place]
            self._show(place + step)

    def _join(self) -> None:
        place = self.list_box.index
        if 0 < place < self._num_in:
            self._joined[place] = not self._joined[place]
            self._show(place)

    def _leave_out(self) -> None:
        place = self.list_box.index
        is_in = place < self._num_in
        label = self._labels.pop(place)
        self._num_in += -1 if is_in else 1
        target = len(self._labels) if is_in else self._num_in - 1
        self._labels.insert(target, label)
        self._show(target)

    def _show(self, chosen: int) -> None:
        shown = list(self._labels)
        for place, iteration in enumerate(self._iterations()):
            if self._share:
                shown[place] = f"iteration {iteration}: {shown[place]}"
        for place in range(self._num_in, len(shown)):
            shown[place] = f"left out: {shown[place]}"
        self.list_box.options = shown
        self.list_box.index = chosen
        self.text.value = f"{self._name} = {json.dumps(self.order, ensure_ascii=False)}"


def _button(description: str, tooltip: str, on_click: object) -> widgets.Button:
    button = widgets.Button(description=description, tooltip=tooltip, layout=widgets.Layout(width="auto"))
    button.on_click(on_click)
    return button
