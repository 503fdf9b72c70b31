"""Jobs that are called like functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskscheduler import CURRENT_JOB, Job, job


@job(name="hello")
def hello(name: str) -> str:
    return f"Hello {name}"


@job(name="collected")
def collected(*args: Any, **named: Any) -> dict[str, Any]:
    return {"args": list(args), "named": named}


@job(name="resize")
def resize(name: str, width: int = 100, *, mode: str = "fit", job: Job = CURRENT_JOB) -> dict[str, Any]:
    return {"name": name, "width": width, "mode": mode, "attempt": job.attempt}


@job(name="colliding")
def colliding(self: int, options: int, retry: int, queue: str) -> list[Any]:
    """Its arguments are named as what a scheduler takes."""
    return [self, options, retry, queue]


@job(name="refusing")
def refusing(reason: str) -> None:
    raise ValueError(reason)


@dataclass
class Picture:
    name: str
    width: int = 100


class Crop(Job):
    name = "calls-crop"
    data: Picture

    def start(self) -> Any:
        return [type(self.data).__name__, self.data.name, self.data.width]


class CropAll(Job):
    name = "calls-crop-all"
    data: list[Picture | None]

    def start(self) -> Any:
        return [type(one).__name__ for one in self.data]


@job(name="widest")
def widest(*pictures: Picture, least: Picture | None = None) -> Any:
    return max((one for one in (*pictures, least) if one is not None), key=lambda one: one.width).name


@job(name="widest-async")
async def widest_async(pictures: dict[str, Picture]) -> Any:
    return max(pictures.values(), key=lambda one: one.width).name


class Mail(Job):
    name = "calls-mail"

    def start(self) -> Any:
        return self.data


@job(name="hands-on")
def hands_on(name: str) -> str:
    """Adds another job, which goes where this one came from."""
    return hello.add(name).id_text


@job(name="hands-on-async")
async def hands_on_async(name: str) -> str:
    return (await hello.add_async(name)).id_text
