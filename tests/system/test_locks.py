"""ealn_plugin/system/locks.py: held by one process, gone with it, and absent without harm."""

import multiprocessing

import pytest

from ealn_plugin.system import locks

FORK = multiprocessing.get_context("fork")


def held_by_another(path):
    """(process, event that ends it) of a process that holds the lock of ``path``."""
    ready, end = FORK.Event(), FORK.Event()

    def hold():
        with open(path, "wb") as file:
            locks.try_lock(file)
            ready.set()
            end.wait(60)

    process = FORK.Process(target=hold)
    process.start()
    assert ready.wait(60)
    return process, end


def test_a_lock_belongs_to_one_process_until_it_ends(tmp_path):
    process, end = held_by_another(tmp_path / "lock")
    with open(tmp_path / "lock", "rb") as file:
        with pytest.raises(locks.HeldElsewhere):
            locks.try_lock(file)
        waited = []
        assert locks.wait_for_lock(file, on_wait=lambda: (waited.append(True), end.set()))
        assert waited == [True]
    process.join()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    process, _ = held_by_another(tmp_path / "lock")
    process.kill()
    process.join()
    with open(tmp_path / "lock", "rb") as file:
        assert locks.try_lock(file)


def test_an_unlocked_file_can_be_locked_by_others_though_it_is_open(tmp_path):
    with open(tmp_path / "lock", "wb") as first, open(tmp_path / "lock", "rb") as second:
        assert locks.try_lock(first)
        with pytest.raises(locks.HeldElsewhere):
            locks.try_lock(second)
        locks.unlock(first)
        assert locks.try_lock(second)


def test_without_locks_nothing_is_locked_and_nothing_fails(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(37, "No locks available")

    with open(tmp_path / "lock", "wb") as file:
        monkeypatch.setattr(locks.fcntl, "flock", refuse)
        assert not locks.try_lock(file) and not locks.wait_for_lock(file)
        monkeypatch.setattr(locks, "fcntl", None)
        assert not locks.try_lock(file) and not locks.wait_for_lock(file)
        locks.unlock(file)
