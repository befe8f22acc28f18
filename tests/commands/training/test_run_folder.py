import threading

from remot.commands.training.run_folder import claim_folder


def test_runs_of_one_second_have_folders_of_their_own(tmp_path):
    names = [claim_folder(tmp_path / "runs", "GRPO-seed0-20260101-000000").name for _ in range(3)]
    assert names == [f"GRPO-seed0-20260101-000000{suffix}" for suffix in ("", "-2", "-3")]


def test_no_folder_is_given_twice(tmp_path):
    """Sixteen at once, of which a look before making the folder would let several through."""
    barrier, claimed = threading.Barrier(16), []

    def claim():
        barrier.wait()
        claimed.append(claim_folder(tmp_path, "run"))

    threads = [threading.Thread(target=claim) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(claimed)) == len(list(tmp_path.iterdir())) == 16
