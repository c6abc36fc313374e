"""The video rule as a user calls it: without a data set, with the demo's models, refused with one line."""

import json
import subprocess

import pytest

from conftest import ROOT
from posegauge.data import video_files
from posegauge.data.scenes import clips

DEMO = ("config/demo.yaml",)


@pytest.fixture(scope="module")
def repository(session_workspace):
    workspace = session_workspace("video")
    clips.write_clip(workspace.path / "it's a clip.mp4", workspace.path / "clip.json", 7, 12, 10, (320, 200))
    workspace.write("broken.mp4", "no video")
    return workspace


def with_video(path: str) -> tuple:
    return ("--config", f"video={{input: '{path}'}}")


def test_a_video_needs_models_and_no_data_set(repository):
    video = with_video("it''s a clip.mp4")
    output = repository.snakemake("annotate_video", options=("--dry-run", *video)).stdout
    assert "annotate_video" in output and "export_model" in output
    for file in ("rtmpose-m_simcc-coco", "rtmdet_m_8xb32"):
        assert f"Fetch {file}" in output
    for name in ("val2017", "extract_", "filter_person_images", "render_", "predict_", "measure_"):
        assert name not in output, name


def test_make_names_the_video_as_it_is(tmp_path):
    """Whatever a file's name holds reaches the config whole."""
    (tmp_path / "Makefile").write_text(
        (ROOT / "Makefile").read_text().replace("$(PY) workflow/run.py", "printf '%s\\n'")
    )
    call = [
        "make",
        "--no-print-directory",
        "-o",
        "setup",
        "video",
        "STAMP=",
        "IN=it's a clip.mp4",
        "OUT=b.mp4",
    ]
    printed = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "video={input: 'it''s a clip.mp4', output: 'b.mp4'}" in printed
    call[-2:] = ['IN=a $HOME "b", `c` [1].mp4', "OUT=o$x.mp4"]
    printed = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert """video={input: 'a $HOME "b", `c` [1].mp4', output: 'o$x.mp4'}""" in printed
    refused = subprocess.run([*call[:5], "STAMP="], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode and "make video IN=clip.mp4" in refused.stderr


def test_a_file_that_is_no_video_ends_in_one_clear_line(repository):
    done = repository.snakemake("annotate_video", configs=DEMO, options=with_video("broken.mp4"), check=False)
    assert done.returncode
    assert "broken.mp4: cannot be read as a video" in done.stdout
    assert "Select jobs to execute" not in done.stdout, "before the first job"
    assert not (repository.path / "results/demo/video/broken.mp4").exists()


def test_a_film_and_annotations_that_do_not_fit_are_refused_before_any_job(repository):
    """The film of the measurement: its annotations count from 1 where 0 is the first frame."""
    data = json.loads((repository.path / "clip.json").read_text())
    for image in data["images"]:
        image["file_name"] = f"frame_{image['id'] + 1:06d}"
    repository.write("late.json", json.dumps(data))
    film = "detect_every={clip: 'it''s a clip.mp4', annotations: late.json}"
    target, options = "results/demo/detect_every/onnxruntime_cpu_fp32.json", ("--config", film)
    done = repository.snakemake(target, configs=DEMO, options=options, check=False)
    assert done.returncode and "late.json: annotates frame 12" in done.stdout
    assert "Select jobs to execute" not in done.stdout, "before the first job"


def test_a_video_is_annotated_with_the_detector_on_every_5th_frame(repository):
    source = repository.path / "it's a clip.mp4"
    options = (*with_video("it''s a clip.mp4"), "pipeline={detect_every: 5}")
    repository.snakemake("annotate_video", configs=DEMO, options=options)
    folder = repository.path / "results/demo/video"
    record = json.loads((folder / "it's a clip.json").read_text())
    assert len(record["frames"]) == 12 and record["input"]["frame_rate"] == 10
    sources = [{person["box_source"] for person in frame["persons"]} for frame in record["frames"]]
    assert {"detected"} in sources and {"tracked"} in sources, "the demo's models know such people"
    assert record["settings"]["detect_every"] == 5
    for frame, source_of in zip(record["frames"], sources, strict=True):
        assert source_of <= {"detected" if frame["stages_ms"]["detect"] else "tracked"}
    assert 3 <= sum(frame["stages_ms"]["detect"] > 0 for frame in record["frames"]) < 9
    assert record["provenance"]["artifacts"]["detector"]["sha256"]
    annotated, original = video_files.read_clip(folder / "it's a clip.mp4"), video_files.read_clip(source)
    assert (annotated.width, annotated.height) == (original.width, original.height)
    times = [
        [float(stamp * clip.time_base) for stamp, _ in video_files.read_frames(clip)]
        for clip in (annotated, original)
    ]
    assert times[0] == times[1]
    assert not list(folder.glob(".*.parts"))
