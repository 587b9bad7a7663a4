"""One photo explained by every method, side by side with its quality (`make gallery`).

python deploy/gallery.py [PHOTO]      # build/gallery/methods.jpg; without a photo the demo's cat
"""

import sys
from typing import Any

from demo import BUILD, MODEL, Service, console, embedded  # type: ignore[import-not-found]  # beside this script
from PIL import Image, ImageDraw
from sidelight_client import Client, Result
from skimage import data

OUT = BUILD / "gallery"
PANELS: dict[str, tuple[str, dict[str, Any], str | None]] = {  # caption: method, its parameters, the baseline
    "rise": ("rise", {"masks": 2000}, "model_mean"),
    "lime": ("lime", {"samples": 1000}, "segment_mean"),
    "kernel_shap": ("kernel_shap", {"samples": 2000}, "segment_mean"),
    "occlusion": ("occlusion", {"segments": 100}, "blur"),
    "ciu": ("ciu", {}, "inpainting"),
    "pda": ("pda", {"samples": 1000}, "model_mean"),
    "sobol": ("sobol", {}, "model_mean"),
    "hsic": ("hsic", {}, "model_mean"),
    "perturbation (SLIC, Gaussian)": ("perturbation", {"segmentation": "slic", "samples": 2000}, "model_mean"),
    "integrated_gradients, input": ("integrated_gradients", {}, "model_mean"),
    "integrated_gradients, _blocks.10": ("integrated_gradients", {"layers": ["_blocks.10"]}, "feature_mean"),
    "layer_cam, _blocks.10": ("layer_cam", {"layers": ["_blocks.10"]}, "feature_zero"),
    "mask_optimisation, cells of 4 pixels": ("mask_optimisation", {"cell": 4, "steps": 400}, None),
}
SIDE, CAPTION, COLUMNS = 300, 36, 3


def panel(result: Result, caption: str) -> Image.Image:
    """The overlay of the model's crop with what it is and how good."""
    picture = result.overlay()
    left, top, right, bottom = picture.getchannel("A").getbbox() or (0, 0, *picture.size)
    canvas = Image.new("RGB", (SIDE, SIDE + CAPTION), "white")
    canvas.paste(picture.convert("RGB").crop((left, top, right, bottom)).resize((SIDE, SIDE)), (0, 0))
    words = f"{caption}\nSRG {result.metrics['srg'].values['srg']:.2f}, {result.evaluations} evaluations"
    ImageDraw.Draw(canvas).multiline_text((4, SIDE + 3), words, "black", font_size=12)
    return canvas


def main(arguments: list[str]) -> None:
    photo = Image.open(arguments[0]) if arguments else Image.fromarray(data.chelsea())
    OUT.mkdir(parents=True, exist_ok=True)
    panels = []
    with Service(embedded(), OUT / "sidelight.log") as service, Client(service.grpc) as client:
        for caption, (method, parameters, baseline) in PANELS.items():
            answer = client.explain(
                photo, model=MODEL, method=method, parameters=parameters, baseline=baseline, link="probability",
                metrics=["srg"], seed=1, deadline=600,
            )  # fmt: skip
            panels.append(panel(answer.best, caption))
            console.print(f"{caption}: {answer.best.evaluations} evaluations in {answer.timings['total']:.1f} s")
    rows = -(-len(panels) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (SIDE + 8), rows * (SIDE + CAPTION + 4)), "white")
    for i, one in enumerate(panels):
        sheet.paste(one, (i % COLUMNS * (SIDE + 8), i // COLUMNS * (SIDE + CAPTION + 4)))
    sheet.save(OUT / "methods.jpg", quality=65, optimize=True, progressive=True)
    console.print(f"wrote {OUT / 'methods.jpg'}")


if __name__ == "__main__":
    main(sys.argv[1:])
