"""The main job on real input: a photo, the service, a real Triton, a real pretrained network."""

import concurrent.futures
import json
import subprocess
import sys

import grpc
import live
import numpy as np
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from metrics import total
from PIL import Image
from sidelight_client import Client, Model, NotFound, Rise

CATS = {"tiger cat", "Egyptian cat", "tabby"}


def explain(client, masks=64, model=live.MODEL, **question):
    return client.explain(live.photo(), model=model, method=Rise(masks=masks), seed=5, deadline=120, **question)


def test_a_cat_is_explained_as_a_cat(real):
    answer = explain(real.client, 400, link="probability")
    best = answer.best
    assert best.target.name in CATS and 0.2 < best.value < 0.9 and best.baseline_value < 0.1
    assert best.map.shape == best.standard_error.shape == (224, 224)
    assert np.isfinite(best.map).all() and (best.standard_error > 0).all()
    assert best.evaluations == 402 and best.rows_done == 400 and best.converged
    # what the cat's probability rests on lies on the face, not along the border of the crop
    border = np.ones((224, 224), bool)
    border[28:-28, 28:-28] = False
    assert best.map[~border].mean() > best.map[border].mean()


def test_triton_and_the_same_network_inside_the_service_give_the_same_map(real):
    served, embedded = explain(real.client, 128).best, explain(real.client, 128, model="twin").best
    span = served.map.max() - served.map.min()
    assert abs(served.map - embedded.map).max() < 1e-3 * span
    assert served.value == pytest.approx(embedded.value, rel=1e-4)
    assert (served.message.model.executor, embedded.message.model.executor) == (1, 3)


def test_two_models_in_one_request_are_answered_as_alone(real):
    both = real.client.explain(
        live.photo(), model=[live.MODEL, "twin"], method=Rise(masks=48), seed=5, deadline=60, target="tabby"
    )
    alone = explain(real.client, 48, target="tabby").best
    assert [r.model for r in both.results] == [live.MODEL, "twin"]
    np.testing.assert_allclose(both.results[0].map, alone.map, rtol=1e-4, atol=1e-5)


def test_the_same_request_gives_the_same_answer_alone_and_among_ten(real):
    alone = explain(real.client).best
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        futures = [pool.submit(explain, real.client, **({"target": i} if i else {})) for i in range(10)]
        among = [f.result().best for f in futures]
    scale = abs(alone.map).max()
    np.testing.assert_allclose(among[0].map / scale, alone.map / scale, rtol=0, atol=1e-5)
    assert {r.target.index for r in among[1:]} == set(range(1, 10))


def test_all_classes_of_one_pass_equal_each_alone(real):
    top = explain(real.client, top_k=3)
    assert len(top.results) == 3 and top.results[0].evaluations == 66
    for result in top.results:
        alone = explain(real.client, target=result.target.name).best
        np.testing.assert_allclose(result.map, alone.map, rtol=0, atol=1e-4 * abs(alone.map).max())


def test_a_partial_answer_at_the_deadline_is_replayed_by_its_rows(real):
    partial = real.client.explain(
        live.photo(), model=live.MODEL, method=Rise(masks=100_000), seed=5, deadline=3, allow_partial=True
    )
    assert partial.best.stop_reason == "deadline" and not partial.best.converged
    assert 32 <= partial.best.rows_done < 5000
    again = real.client.replay(partial, deadline=120)
    assert again.best.rows_done == partial.best.rows_done
    scale = abs(partial.best.map).max()
    np.testing.assert_allclose(again.best.map / scale, partial.best.map / scale, rtol=0, atol=1e-5)


def test_the_map_goes_back_onto_the_photo_where_the_model_looked(real):
    best = explain(real.client, outputs=["map", "map_at_input", "overlay"]).best
    at_input, overlay = best.map_at_input, best.overlay()
    assert at_input.shape == (300, 451) and overlay.size == (451, 300)
    outside = np.isnan(at_input)
    assert 0.3 < outside.mean() < 0.6 and outside[:, 0].all() and not outside[150, 225]
    assert (np.asarray(overlay)[..., 3][outside] == 0).all()


def test_previews_come_while_it_runs(real):
    seen = []
    real.client.explain(
        live.photo(), model=live.MODEL, method=Rise(masks=600), seed=5, deadline=60, preview_every=0.3,
        on_progress=seen.append,
    )  # fmt: skip
    previews = [p for event in seen for p in getattr(event, "previews", ())]
    assert len(previews) >= 2 and previews[0].shape == (1, 224, 224) and np.isfinite(previews[0]).all()


def test_the_command_line_explains_a_file(real, tmp_path):
    photo = tmp_path / "cat.png"
    live.photo().save(photo)
    command = [sys.executable, "-m", "sidelight_client", "explain", str(photo), "--model", live.MODEL]
    command += ["--address", real.service.grpc, "--set", "masks=32", "--json", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["results"][0]["target"]["instance"]["label"] in CATS
    assert Image.open(tmp_path / "out" / "overlay.png").size == (451, 300)


def test_reflection_lists_the_services_and_their_messages(real):
    with grpc.insecure_channel(real.service.grpc) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {"sidelight.v1.ExplanationService", "grpc.health.v1.Health"} <= set(database.get_services())
        file = database.FindFileContainingSymbol("sidelight.v1.ExplanationService")
        assert {m.name for m in file.service[0].method} >= {"Explain", "ExplainStream", "EstimateCost", "GetCatalogue"}


def test_the_catalogue_tells_what_was_measured(real):
    catalogue = real.client.catalogue()
    served, twin = (next(m for m in catalogue.models if m.name == n) for n in (live.MODEL, "twin"))
    assert served.ready and served.classes == 1000 and served.labels[281] == "tabby" and list(served.versions) == ["1"]
    assert served.shares_production and served.shared_memory == "system"
    assert served.determinism.neighbour_gap < 1e-5 and served.determinism.rows_per_second > 1
    assert not twin.shares_production
    rise = next(m for m in catalogue.methods if m.name == "rise")
    assert {p.name: p.default for p in rise.parameters} == {"masks": "4000", "cells": "7", "keep": "0.5"}


def test_evaluations_and_outcomes_are_counted(real):
    labels = {"method": "rise", "model": live.MODEL}
    rows = total(real.service.metrics, "sidelight_model_evaluations_total", **labels)
    fine = total(real.service.metrics, "sidelight_explanations_total", outcome="OK", **labels)
    explain(real.client, 50)
    assert total(real.service.metrics, "sidelight_model_evaluations_total", **labels) == rows + 52
    assert total(real.service.metrics, "sidelight_explanations_total", outcome="OK", **labels) == fine + 1


def test_what_is_not_there_is_named_with_what_is(real):
    with pytest.raises(NotFound, match=live.MODEL):
        explain(real.client, model="efficientnet_lite")
    with Client(real.service.grpc) as client, pytest.raises(NotFound, match=r"[Vv]ersion"):
        explain(client, model=Model(live.MODEL, "7"))
