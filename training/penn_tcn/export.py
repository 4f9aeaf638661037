"""Ship the sequence network that `training.penn_tcn.train` made; report test once.

    python -m training.penn_tcn.export --report results/penn_tcn.json

Temperature and the "unknown" threshold are those of the run: chosen on recordings of the training
part that its first network had not seen. The network that is shipped has then seen those, too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from keyact.action.clips import ClipModel
from keyact.evaluate.cost import measure_size
from keyact.runtime import OnnxModel
from keyact.sequences import load_sequences
from keyact.train.calibration import calibrated_figures
from keyact.train.conversion import with_meta
from training import onnx_export
from training.penn_tcn.negatives import negatives

NAME = "penn-tcn"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--run", type=Path, default=Path("work/penn_tcn"))
    parser.add_argument("--labels", type=Path, default=Path("work/labels"))
    parser.add_argument("--out", type=Path, default=onnx_export.WEIGHTS)
    parser.add_argument("--report", type=Path, help="run test, once, and write its figures here")
    args = parser.parse_args()
    file = args.run / "model.onnx"
    meta = OnnxModel(file).meta | {
        "name": NAME,
        "summary": "15 actions of Penn Action: convolutions over the key points of a window",
        "licence": "Apache-2.0",
    }
    chosen = json.loads((args.run / "metrics.json").read_text("utf-8"))
    size = measure_size(file, "sequence")
    result: dict[str, object] = {
        "parameters": f"{size.parameters:,}",
        "multiply-accumulates": f"{size.macs:,}",
        "held out of train, negatives among them": {
            name: value
            for name, value in chosen.items()
            if isinstance(value, (int, float)) and not name.startswith("named")
        },
    }
    if args.report:
        result["test"] = judged(file, args.shared / "data/penn_action/labels")
        result["negatives of another seed"] = strangers(file, args.labels)
        args.report.parent.mkdir(parents=True, exist_ok=True)
        args.report.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    onnx_export.ship(
        with_meta(file.read_bytes(), meta),
        NAME,
        "sequence",
        meta["summary"],
        Path(__file__).parent / "CARD.md",
        result,
        args.out,
    )


def judged(file: Path, data: Path) -> dict[str, float]:
    """Figures on the official test part."""
    asked = [recording for recording in load_sequences(data) if recording.split == "test"]
    model = ClipModel(file)
    answers = model.predict(asked)
    labels = np.array([model.labels.index(str(recording.label)) for recording in asked])
    found = calibrated_figures(answers, labels, model.unknown_threshold)
    return {"recordings": len(asked), **found}


def strangers(file: Path, labels: Path) -> dict[str, float]:
    """How many recordings of none of the actions are given the name of one all the same."""
    model = ClipModel(file)
    asked = negatives(labels, 300, seed=1)
    named = model.predict(asked).max(1) >= model.unknown_threshold
    return {"recordings": len(asked), "named_share": round(float(named.mean()), 4)}


if __name__ == "__main__":
    main()
