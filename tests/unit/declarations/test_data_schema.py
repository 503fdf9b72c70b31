"""Data that a job does not take are refused by what its function or class declares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Generic, NotRequired, Optional, TypedDict, TypeVar

import bson
import pytest
from bson import ObjectId
from pydantic import BaseModel
from tests.support.tables import table

from taskscheduler import InvalidArgumentsError, InvalidDataError, Job, call, job
from taskscheduler.declarations.data_schema import DataSchema
from taskscheduler.declarations.registry import REGISTRY, JobSpec

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]

T = TypeVar("T")


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


class HalfJob(Job):
    data: str
    other: Unknown


@dataclass
class HalfKnown:
    known: int
    unknown: Unknown = None


class HalfKnownJob(Job):
    data: HalfKnown


@dataclass
class Folder:
    """Contains others of its kind."""

    name: str
    inside: list[Folder] = field(default_factory=list)


class Wrapped(TypedDict):
    size: Size


@dataclass
class Box(Generic[T]):
    content: T
    size: Size


class Tagged(BaseModel):
    sizes: list[Size]


def job_of(hint: Any) -> type[Job]:
    """Returns a job class whose data are annotated so."""
    return type("AnnotatedJob", (Job,), {"__annotations__": {"data": hint}, "name": f"annotated-{ObjectId()}"})


def function_of(hint: Any) -> Any:
    """Returns a `@job` function whose argument is annotated so."""

    def takes(value: Any) -> Any:
        return value

    takes.__annotations__ = {"value": hint}
    return job(name=f"annotated-{ObjectId()}")(takes)


#: an annotation, a fitting value with instances, the same as it is stored, one that does not fit, what is wrong with it
PLACES: list[tuple[Any, Any, Any, Any, str]] = [
    (Size, Size(1), {"width": 1}, {"width": "1"}, "width must be int, not str"),
    (Size | None, Size(1), {"width": 1}, {"width": "1"}, "width must be int, not str"),
    (Optional[Size], None, None, 7, "must be a mapping with width, not int"),  # noqa: UP045
    (list[Size], [Size(1)], [{"width": 1}], [{"nonsense": 1}], "[0].width is missing"),
    (Sequence[Size | None], [None, Size(1)], [None, {"width": 1}], [{"width": None}], "[0].width must be int"),
    (tuple[Size, int], (Size(1), 2), [{"width": 1}, 2], [{"width": ""}, 2], "[0].width must be int, not str"),
    (tuple[Size, ...], (Size(1), Size(2)), [{"width": 1}, {"width": 2}], [{"width": 1}, 2], "[1] must be a mapping"),
    (dict[str, Size], {"a": Size(1)}, {"a": {"width": 1}}, {"a": {}}, "a.width is missing"),
    (dict[str, list[Size]], {"a": [Size(1)]}, {"a": [{"width": 1}]}, {"a": [{}]}, "a[0].width is missing"),
    (Wrapped, {"size": Size(1)}, {"size": {"width": 1}}, {"size": {"width": ""}}, "size.width must be int, not str"),
    (Annotated[list[Size], "note"], [Size(1)], [{"width": 1}], [{}], "[0].width is missing"),
    (Size | str, Size(1), {"width": 1}, {"width": ""}, "must be"),
    (Size | Image, Image("x"), {"name": "x", "size": {"width": 100}, "zoom": 1.0}, {"name": 1}, "must be"),
    (Size | list[Size], [Size(1)], [{"width": 1}], [{}], "must be"),
    (Folder, Folder("a", [Folder("b")]), {"name": "a", "inside": [{"name": "b", "inside": []}]}, {"name": 1}, "name"),
    (list[Folder], [Folder("a")], [{"name": "a", "inside": []}], [{"name": "a", "inside": [{}]}], "name is missing"),
    (Album | None, Album(Image("x")), Any, {"images": [{"name": 1}]}, "images[0].name must be str, not int"),
    (Box[int], Box(1, Size(2)), {"content": 1, "size": {"width": 2}}, {"content": 1, "size": 3}, "must be a mapping"),
    (Model | None, Model(to="x"), {"to": "x", "copies": 1}, {"copies": 1}, "to: Field required"),
    (list[Model], [Model(to="x")], [{"to": "x", "copies": 1}], [{"to": 1}], "to: Input should be a valid string"),
    (dict[str, Tagged], {"a": Tagged(sizes=[Size(1)])}, {"a": {"sizes": [{"width": 1}]}}, {"a": 1}, "valid dictionary"),
]


@table("declared", [job_of, function_of])
@table(("hint", "value", "as_stored", "wrong", "what"), PLACES)
def test_dataclasses_and_models_are_judged_and_made_wherever_they_stand(
    declared: Callable[[Any], Any], hint: Any, value: Any, as_stored: Any, wrong: Any, what: str
) -> None:
    given = declared(hint)
    by_function = declared is function_of
    data = call(given, value).data
    stored = accept(given, data)
    bson.encode({"data": stored})
    if as_stored is not Any:
        assert stored == ([as_stored] if by_function else as_stored)
    loaded = spec_of(given).signature.load(stored)[0][0] if by_function else schema_of(given).load(stored)  # type: ignore[union-attr]
    assert loaded == (list(value) if isinstance(value, tuple) else value)
    assert what in refusal(given, call(given, wrong).data)


@table("value", [Size(1), {"width": 1}])
@table("given", ["alone", "by position", "by name"])
def test_an_instance_may_be_given_to_a_function_in_each_way(value: Any, given: str) -> None:
    function = function_of(Size)
    data = {"alone": value, "by position": [value], "by name": {"value": value}}[given]
    args, named = spec_of(function).signature.load(accept(function, data))  # type: ignore[union-attr]
    assert [*args, *named.values()] == [Size(1)]


def test_an_instance_is_not_taken_apart_for_arguments_of_the_names_of_its_fields() -> None:
    @job(name="declared-named")
    def named(name: Folder) -> None: ...

    stored = accept(named, Folder("x"))
    assert stored == [{"name": "x", "inside": []}]
    assert spec_of(named).signature.load(stored)[0] == [Folder("x")]  # type: ignore[union-attr]


def test_parameters_of_every_kind_are_made() -> None:
    @job(name="declared-by-position")
    def by_position(first: Size, /, plain: int, *rest: Size) -> None: ...

    @job(name="declared-by-name")
    def by_name(*, only: Size, plain: int = 0, free=None, **extra: Size) -> None: ...  # type: ignore[no-untyped-def]

    size, stored = Size(1), {"width": 1}
    assert accept(by_position, [size, 5, size, size]) == [stored, 5, stored, stored]
    assert spec_of(by_position).signature.load([stored, 5, stored])[0] == [size, 5, size]  # type: ignore[union-attr]
    assert accept(by_name, {"only": size, "plain": 5, "more": size}) == {"only": stored, "plain": 5, "more": stored}
    named = {"only": stored, "free": stored, "more": stored}
    assert spec_of(by_name).signature.load(named)[1] == {"only": size, "free": stored, "more": size}  # type: ignore[union-attr]


def test_what_a_class_of_the_application_raises_refuses_the_data_of_a_function() -> None:
    assert refusal(function_of(Image), [{"name": "x", "zoom": 0}]).endswith("ValueError: zoom must be positive")


def test_instances_that_contain_themselves_are_refused() -> None:
    folder = Folder("x")
    folder.inside.append(folder)
    for given in (job_of(Folder), function_of(Folder)):
        with pytest.raises(InvalidDataError, match="it is nested too deeply or contains itself"):
            accept(given, folder)


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


@table(
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
        (unresolved, ["anything", 5]),
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


@table(
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
        (unresolved, ["anything", "at all"], "job declared-unresolved: argument other must be int, not str"),
        (HalfJob, 5, ".HalfJob: data must be str, not int"),
        (HalfKnownJob, {"known": "x"}, ".HalfKnownJob: argument known must be int, not str"),
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
