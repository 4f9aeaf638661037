"""keypoints-trees: extremely randomised trees (Geurts et al., 2006) on the normalised pose.

The one model here that is no network: scikit-learn grows it in seconds, and it says how far the
pose alone carries without any tuning.
"""

from __future__ import annotations

from typing import Any

DEFAULTS: dict[str, Any] = {}


def build(
    labels: int,
    weights: str | None = None,
    *,
    trees: int = 200,
    leaves: int = 256,
    seed: int = 0,
    threads: int = 1,
) -> Any:
    """The untrained ``sklearn.ensemble.ExtraTreesClassifier``; ``weights`` is not used.

    Parameters
    ----------
    trees : how many.
    leaves : of each at most; the exported file holds ``trees * leaves * labels`` numbers.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(
        n_estimators=trees, max_leaf_nodes=leaves, n_jobs=threads, random_state=seed
    )
