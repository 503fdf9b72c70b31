"""Data that a job does not take are refused by what its function or class declares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

import pytest
from pydantic import BaseModel

from taskscheduler import InvalidArgumentsError, InvalidDataError, Job, job
from taskscheduler.job import declaration

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


@job(name="declared-send")
def send(to: str, copies: int = 1, *others: str, urgent: bool = False, **headers: str) -> None: ...


@job(name="declared-pair")
def pair(a: int, b: int) -> None: ...


@job(name="declared-one")
def one(value: int) -> None: ...


@job(name="declared-optional")
def optional(value: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013


@job(name="declared-unresolved")
def unresolved(value: Unknown, other: int) -> None: ...


@job(name="declared-loose")
def loose(a, b=None, *, job): ...  # type: ignore[no-untyped-def]


class MailData(TypedDict):
    to: str
    copies: int


@dataclass
class Size:
    width: int


@dataclass
class Image:
    name: str
    size: Size = field(default_factory=lambda: Size(100))
    zoom: float = 1.0

    def __post_init__(self) -> None:
        if self.zoom <= 0:
            raise ValueError("zoom must be positive")


class Model(BaseModel):
    to: str
    copies: int = 1


class MailJob(Job):
    data: MailData


class NumberJob(Job):
    data: int


class ImageJob(Job):
    data: Image


class ModelJob(Job):
    data: Model


class PlainJob(Job):
    pass


def accept(given: Any, data: Any) -> Any:
    return declaration(getattr(given, "__job__", given)).accept(data)


def refusal(given: Any, data: Any) -> str:
    with pytest.raises(InvalidArgumentsError) as caught:
        accept(given, data)
    assert isinstance(caught.value, InvalidDataError)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "data"),
    [
        (send, {"to": "x"}),
        (send, {"to": "x", "copies": 2, "urgent": True, "subject": "any"}),
        (send, ["x"]),
        (send, ("x", 2, "y", "z")),
        (send, "x"),
        (pair, [1, 2]),
        (one, 1),
        (optional, None),
        (optional, {"value": None}),
        (unresolved, ["anything", "at all"]),
        (loose, None),
        (loose, {"x": 1}),
        (loose, {"a": 1, "b": 2}),
        (MailJob, {"to": "x", "copies": 1}),
        (NumberJob, 5),
        (ImageJob, {"name": "x"}),
        (ModelJob, {"to": "x"}),
        (PlainJob, object()),
    ],
)
def test_data_that_fit_are_stored_as_they_are(given: Any, data: Any) -> None:
    assert accept(given, data) is data


@pytest.mark.parametrize(
    ("given", "data", "what"),
    [
        (send, {"to": 5}, "job declared-send: argument to must be str, not int"),
        (send, {}, "job declared-send: argument to is missing"),
        (send, None, "job declared-send: argument to is missing"),
        (send, {"copies": 2}, "job declared-send: argument to is missing"),
        (send, ["x", "2"], "job declared-send: argument copies must be int, not str"),
        (send, ["x", 2, "y", 3], "job declared-send: argument others must be str, not int"),
        (send, {"to": "x", "subject": 3}, "job declared-send: argument headers must be str, not int"),
        (send, 5, "job declared-send: argument to must be str, not int"),
        (pair, [1], "job declared-pair: it takes 2 arguments, not 1"),
        (pair, [1, 2, 3], "job declared-pair: it takes 2 arguments, not 3"),
        (pair, {"a": 1, "c": 2}, "job declared-pair: argument b is missing"),
        (pair, {"a": 1, "b": 2, "c": 3}, "job declared-pair: argument c is not known; it takes a, b"),
        (pair, 5, "job declared-pair: it does not take these data"),
        (one, {"valeu": 1}, "job declared-one: argument value is missing"),
        (one, True, "job declared-one: argument value must be int, not bool"),
        (MailJob, {"to": "x"}, ".MailJob: argument copies is missing"),
        (MailJob, {"to": "x", "copies": "1"}, ".MailJob: argument copies must be int, not str"),
        (MailJob, {"to": "x", "copies": 1, "cc": "y"}, ".MailJob: argument cc is not known; it takes to, copies"),
        (MailJob, None, ".MailJob: data must be a mapping with to, copies, not NoneType"),
        (NumberJob, "5", ".NumberJob: data must be int, not str"),
        (ImageJob, {"size": {"width": 1}}, ".ImageJob: argument name is missing"),
        (ImageJob, {"name": 1}, ".ImageJob: argument name must be str, not int"),
        (ImageJob, {"name": "x", "zoom": 0}, ".ImageJob: ValueError: zoom must be positive"),
        (ModelJob, {}, ".ModelJob: argument to: Field required"),
        (ModelJob, None, ".ModelJob: argument data: Input should be a valid dictionary or instance of Model"),
    ],
)
def test_data_that_do_not_fit_are_refused_by_name(given: Any, data: Any, what: str) -> None:
    assert refusal(given, data).endswith(what)


def test_instances_are_stored_as_mappings_and_made_again() -> None:
    image = Image("x", Size(5))
    stored = accept(ImageJob, image)
    assert stored == {"name": "x", "size": {"width": 5}, "zoom": 1.0}
    assert declaration(ImageJob).load(stored) == image  # type: ignore[union-attr]
    model = Model(to="x")
    assert accept(ModelJob, model) == {"to": "x", "copies": 1}
    assert declaration(ModelJob).load({"to": "x"}) == model  # type: ignore[union-attr]


def test_an_annotation_counts_for_the_heirs_of_a_class() -> None:
    class Heir(MailJob):
        pass

    assert "argument copies is missing" in refusal(Heir, {"to": "x"})


def test_a_declaration_is_read_once() -> None:
    assert declaration(MailJob) is declaration(MailJob)
    assert declaration(MailJob) is not declaration(NumberJob)
