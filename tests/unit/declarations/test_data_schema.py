"""Data that a job does not take are refused by what its function or class declares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import pytest
from pydantic import BaseModel

from taskscheduler import InvalidArgumentsError, InvalidDataError, Job, job
from taskscheduler.declarations.data_schema import DataSchema
from taskscheduler.declarations.registry import REGISTRY, JobSpec

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


@dataclass
class Album:
    cover: Image | None = None
    images: list[Image] = field(default_factory=list)
    named: dict[str, Size] = field(default_factory=dict)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.total = len(self.images)


class Tree(TypedDict):
    left: NotRequired[Tree | None]
    right: NotRequired[Tree | None]


class Model(BaseModel):
    to: str
    copies: int = 1


class MailJob(Job):
    data: MailData


class NumberJob(Job):
    data: int


class ImageJob(Job):
    data: Image


class AlbumJob(Job):
    data: Album


class TreeJob(Job):
    data: Tree


class ModelJob(Job):
    data: Model


class PlainJob(Job):
    pass


def spec_of(given: Any) -> JobSpec:
    spec = REGISTRY.resolve(given)[1]
    assert spec is not None
    return spec


def schema_of(cls: type[Job]) -> DataSchema:
    schema = spec_of(cls).data_schema
    assert schema is not None
    return schema


def accept(given: Any, data: Any) -> Any:
    return spec_of(given).accept(data)


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
        (TreeJob, {"left": {"right": {"left": None}}, "right": {}}),
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
        (ImageJob, {"name": "x", "size": 5}, ".ImageJob: argument size must be a mapping with width, not int"),
        (ImageJob, {"name": "x", "size": {"width": "5"}}, ".ImageJob: argument size.width must be int, not str"),
        (AlbumJob, {"images": [{"name": 1}]}, ".AlbumJob: argument images[0].name must be str, not int"),
        (TreeJob, {"up": {}}, ".TreeJob: argument up is not known; it takes left, right"),
        (
            TreeJob,
            {"left": {"right": {"up": 1}}},
            ".TreeJob: argument left must be tests.unit.declarations.test_data_schema.Tree | None, not dict",
        ),
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
    assert schema_of(ImageJob).load(stored) == image
    model = Model(to="x")
    assert accept(ModelJob, model) == {"to": "x", "copies": 1}
    assert schema_of(ModelJob).load({"to": "x"}) == model


def test_instances_inside_of_others_are_made_again_wherever_they_are() -> None:
    album = Album(Image("cover"), [Image("x", Size(5))], {"small": Size(1)})
    assert schema_of(AlbumJob).load(accept(AlbumJob, album)) == album
    assert schema_of(AlbumJob).load({"cover": None}) == Album()


def test_data_that_contain_themselves_are_refused() -> None:
    tree: dict[str, Any] = {}
    tree["left"] = tree
    assert refusal(TreeJob, tree).endswith("the data are nested too deeply")


def test_an_annotation_counts_for_the_heirs_of_a_class() -> None:
    class Heir(MailJob):
        pass

    assert "argument copies is missing" in refusal(Heir, {"to": "x"})


def test_a_schema_is_read_once() -> None:
    assert schema_of(MailJob) is schema_of(MailJob)
    assert schema_of(MailJob) is not schema_of(NumberJob)
