"""Widgets for notebooks: put entries in order without typing, and turn a knob. A widget computes and changes no answer.

Only what ipywidgets 7.7.1 (Colab) and 8.1 share is relied on. Import this module where it is needed: it loads
ipywidgets.
"""

import html
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import ipywidgets as widgets
from IPython.display import display

from course_lib.text_bar import tqdm
from course_lib.validate import check_type, checked_list, checked_rows

TOOLTIPS = {
    "up": "Move {} one place up",
    "down": "Move {} one place down",
    "join / part": "Put {} into the iteration of the entry above, or take it out",
    "out / in": "Leave {} out of the answer, or put it back",
}


class KeptAsText(widgets.VBox):
    """A widget with a text below it, which is saved with the notebook: opened later, without a kernel, it is all there
    is. (What moved in the widget is not kept: an answer is a Python value in a cell.)"""

    def __init__(self, children: Sequence[widgets.Widget], text: str) -> None:
        super().__init__(children=children)
        self._kept = text

    def _ipython_display_(self, **options: Any) -> None:
        if hasattr(super(), "_ipython_display_"):  # ipywidgets 7
            super()._ipython_display_(**options)
        else:
            display(self._repr_mimebundle_(), raw=True)
        print(self._kept)


def ordering(labels: Sequence[str], name: str = "order", *, leave_out: bool = False,
             share_iterations: bool = False) -> "Ordering":
    """A list to put in order with buttons, and below it the Python list to paste: `name = [...]`.

    `leave_out`: entries may be left out (distractors). `share_iterations`: neighbours may be joined into one iteration;
    the answer is then a list of lists. ValueError for no labels, or for one that stands twice.
    """
    return Ordering(labels, name, leave_out, share_iterations)


class Ordering(KeptAsText):
    """One row of buttons for each place in the list; the labels move, the rows stay.

    Rows that moved would be drawn anew and drop the keyboard's focus. (A list box would be lost on keyboards too:
    JupyterLab takes the arrow keys for itself.) Where ipywidgets can move the focus, from version 8 on, it goes along
    with the label.
    """

    def __init__(self, labels: Sequence[str], name: str, leave_out: bool, share_iterations: bool) -> None:
        labels = checked_list("labels", labels, str, "texts")
        check_type("name", name, str, "a text: the name of the variable")
        if not labels or len(set(labels)) < len(labels):
            raise ValueError(f"labels must be at least one text, each another, got {list(labels)}")
        self._name, self._share = name, share_iterations
        self._labels = list(labels)  # those left out stand at the end
        self._num_in = len(labels)
        self._joined = [False] * len(labels)  # of places, not of labels: the iterations stay while labels move
        actions = {"up": self._up, "down": self._down}
        actions |= {"join / part": self._join} if share_iterations else {}
        actions |= {"out / in": self._leave_out} if leave_out else {}
        self.buttons = [{action: self._button(place, action, do) for action, do in actions.items()}
                        for place in range(len(labels))]
        self._shown = [widgets.HTML() for _ in labels]
        self.text = widgets.Textarea(description="To paste:", rows=3,
                                     layout=widgets.Layout(width="95%", max_width="640px"))
        self._show()
        rows = [widgets.HBox([*buttons.values(), shown])
                for buttons, shown in zip(self.buttons, self._shown, strict=True)]
        super().__init__([*rows, self.text], "No buttons above? They need a running kernel: run this cell again. "
                         f"It begins with {self.text.value}")

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

    def press(self, label: str, action: str) -> None:
        """Does what a click on the button `action` ("up", "down", ...) beside `label` does."""
        if label not in self._labels or action not in self.buttons[0]:
            raise ValueError(f"label must be one of {self._labels} and action one of {list(self.buttons[0])}, got "
                             f"{label!r} and {action!r}")
        self.buttons[self._labels.index(label)][action].click()

    def _iterations(self) -> list[int]:
        """The iteration of each entry that is in."""
        found: list[int] = []
        for place in range(self._num_in):
            found.append(found[-1] + (not self._joined[place]) if found else 0)
        return found

    def _up(self, place: int) -> int:
        return self._swap(place, place - 1)

    def _down(self, place: int) -> int:
        return self._swap(place, place + 1)

    def _swap(self, place: int, other: int) -> int:
        if not (0 <= other < self._num_in and place < self._num_in):
            return place
        labels = self._labels
        labels[place], labels[other] = labels[other], labels[place]
        self._show()
        return other

    def _join(self, place: int) -> int:
        if 0 < place < self._num_in:
            self._joined[place] = not self._joined[place]
            self._show()
        return place

    def _leave_out(self, place: int) -> int:
        was_in = place < self._num_in
        label = self._labels.pop(place)
        self._num_in += -1 if was_in else 1
        target = len(self._labels) if was_in else self._num_in - 1
        self._labels.insert(target, label)
        self._show()
        return target

    def _button(self, place: int, action: str, do: Callable[[int], int]) -> widgets.Button:
        def click(_: widgets.Button) -> None:
            target = do(place)  # where the label stands now
            focus = getattr(self.buttons[target][action], "focus", None)
            if target != place and focus is not None:  # ipywidgets 7 has no focus()
                focus()

        button = widgets.Button(description=action, layout=widgets.Layout(width="auto"))
        button.on_click(click)
        return button

    def _show(self) -> None:
        iterations = self._iterations()
        for place, label in enumerate(self._labels):
            text = f"left out: {label}" if place >= self._num_in else label
            if self._share and place < self._num_in:
                text = f"iteration {iterations[place]}: {label}"
            self._shown[place].value = html.escape(text)
            for action, button in self.buttons[place].items():
                button.tooltip = TOOLTIPS[action].format(label)
        self.text.value = f"{self._name} = {json.dumps(self.order, ensure_ascii=False)}"


class SweepRow(Protocol):
    """One row of a sweep: `throughput` in output tokens per second, `p99_tbt` in seconds."""

    budget: int
    throughput: float
    p99_tbt: float


class HasHtml(Protocol):
    """A picture of course_lib.plots, or anything else that can be shown as HTML."""

    def _repr_html_(self) -> str: ...


def explorer(rows: Sequence[SweepRow], picture: Callable[[int], HasHtml]) -> "Explorer":
    """A slider over the rows' token budgets; throughput, P99 TBT and `picture(budget)` move with it.

    All pictures are drawn at once, here, so that the slider waits for nothing. ValueError for no rows.
    """
    return Explorer(rows, picture)


class Explorer(KeptAsText):
    """The slider, a line with both numbers, and the picture of the chosen budget."""

    def __init__(self, rows: Sequence[SweepRow], picture: Callable[[int], HasHtml]) -> None:
        rows = checked_rows("rows", rows, ("budget", "throughput", "p99_tbt"))
        check_type("picture", picture, Callable, "a function from a budget to its picture")
        ordered = sorted(rows, key=lambda row: row.budget)
        self._lines = {row.budget: f"budget {row.budget}: {row.throughput:.1f} tokens/s, "
                                   f"P99 time between tokens {1000 * row.p99_tbt:.0f} ms" for row in ordered}
        self._pictures = {row.budget: picture(row.budget)._repr_html_() for row in tqdm(ordered, desc="drawing")}
        self.slider = widgets.SelectionSlider(options=list(self._lines), value=ordered[len(ordered) // 2].budget,
                                              description="Token budget:", style={"description_width": "initial"},
                                              layout=widgets.Layout(width="95%", max_width="640px"))
        self.line, self.picture = widgets.HTML(), widgets.HTML()
        self.slider.observe(lambda _: self._show(), names="value")
        self._show()
        super().__init__([self.slider, self.line, self.picture], "No slider above? It needs a running kernel: run this "
                         "cell again. What it shows:\n" + "\n".join(self._lines.values()))

    def __repr__(self) -> str:
        return f"A slider over token budgets, shown where the notebook runs. {self._lines[self.slider.value]}"

    def _show(self) -> None:
        self.line.value = f"<b>{html.escape(self._lines[self.slider.value])}</b>"
        self.picture.value = self._pictures[self.slider.value]
