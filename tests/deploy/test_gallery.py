"""The gallery runs as a newcomer would run it."""

import importlib.util
import sys
from pathlib import Path

from live import demo
from PIL import Image

GALLERY = Path(__file__).resolve().parents[2] / "deploy" / "gallery.py"


def test_the_gallery_has_a_panel_for_every_method_it_names(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "demo", demo)
    spec = importlib.util.spec_from_file_location("gallery", GALLERY)
    gallery = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gallery)
    few = {"occlusion": ("occlusion", {"segments": 9}, "blur"), "ciu": ("ciu", {"segments": 9}, "inpainting")}
    monkeypatch.setattr(gallery, "PANELS", few)
    monkeypatch.setattr(gallery, "OUT", tmp_path)
    gallery.main([])
    with Image.open(tmp_path / "methods.jpg") as sheet:
        assert sheet.size == (3 * (gallery.SIDE + 8), gallery.SIDE + gallery.CAPTION + 4)
