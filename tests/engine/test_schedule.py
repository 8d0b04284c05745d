"""The order of iterations, and the fresh first line."""

from __future__ import annotations

from llmtui.engine.schedule import Job, Turns, fresh_line, jobs


def play(turns: Turns, work: dict[str, int]) -> list[str]:
    taken = []
    while (name := turns.next([n for n, left in work.items() if left])) is not None:
        work[name] -= 1
        taken.append(name)
    return taken


def test_round_robin_alternates_its_direction() -> None:
    assert play(Turns("round-robin", ["a", "b", "c"], 0), {"a": 3, "b": 3, "c": 3}) == list("abccbaabc")
    assert play(Turns("round-robin", ["a", "b"], 0), {"a": 3, "b": 2}) == list("abbaa")


def test_sequential_finishes_one_backend_before_the_next() -> None:
    assert play(Turns("sequential", ["a", "b"], 0), {"b": 2, "a": 2}) == list("aabb")


def test_shuffled_rounds_contain_every_backend_once_and_depend_on_the_seed() -> None:
    names = list("abcde")
    one = play(Turns("shuffled", names, 7), dict.fromkeys(names, 4))
    assert all(sorted(one[i : i + 5]) == names for i in range(0, 20, 5))
    assert one == play(Turns("shuffled", names, 7), dict.fromkeys(names, 4))
    assert one != play(Turns("shuffled", names, 8), dict.fromkeys(names, 4))


def test_shuffled_orders_are_equally_likely() -> None:
    firsts = [play(Turns("shuffled", ["a", "b"], f"0/{run}"), {"a": 10, "b": 10})[::2] for run in range(400)]
    assert len({tuple(first) for first in firsts}) > 300
    assert 0.46 < sum(first.count("a") for first in firsts) / 4000 < 0.54


def test_jobs_are_warmups_then_measured_iterations() -> None:
    assert jobs(1, 2) == [Job("warmup", 1), Job("measured", 1), Job("measured", 2)]


def test_fresh_lines_differ_by_iteration_and_never_in_length() -> None:
    lines = [fresh_line("run", a, job, t) for a in (1, 2) for job in jobs(50, 200) for t in (0, 1)]
    assert len(set(lines)) == len(lines)
    assert {len(line) for line in lines} == {14}
    assert fresh_line("run", 1, Job("measured", 1)) != fresh_line("other", 1, Job("measured", 1))
