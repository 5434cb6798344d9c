"""How good predicted views are: accuracy, coverage, calibration and a confusion table."""

import numpy as np

from ealn_plugin.data.viewpoints import View

CLASSES = (View.FRONT, View.REAR, View.SIDE)
_BINS = 10


def decide(probabilities, min_confidence):
    """The views that probabilities stand for.

    Args:
        probabilities: float [n, 3] of front, rear and side.
        min_confidence: in [0, 1]; where no view is at least as probable, it is UNKNOWN.
    Returns:
        (int64 [n] of View values, float64 [n] in [0, 1]: the probability of the likeliest view)
    """
    probabilities = np.asarray(probabilities, dtype=np.float64).reshape(-1, len(CLASSES))
    views, confidences = probabilities.argmax(1), probabilities.max(1, initial=0.0)
    # a file that cannot be decoded has zeros everywhere
    return np.where((confidences >= min_confidence) & (confidences > 0), views, int(View.UNKNOWN)), confidences


def view_report(probabilities, truth, min_confidence):
    """Compare probabilities with the true views.

    Args:
        probabilities: float [n, 3] of front, rear and side; truth: int [n] of View values without UNKNOWN, n >= 1.
        min_confidence: see `decide`.
    Returns:
        dict of JSON values; shares lie in [0, 1] and are None where there is nothing to take a share of:
            images: n; min_confidence: as given.
            accuracy, front_rear_accuracy: share whose likeliest view is the true one, of all images, and of those
                that truly show the front or the rear (taking one for a side counts as wrong).
            coverage: share that is confident enough to be labelled.
            labelled_accuracy, labelled_front_rear_accuracy: the same two shares of the labelled images alone.
            calibration_error: expected difference of confidence and accuracy, in ten bins of equal width
                (Guo et al., ICML 2017).
            confusion: 3 lists of 4 counts: the true view's images labelled front, rear, side, unknown.
    Raises:
        ValueError: no images, or a true view that is none of the three.
    """
    truth = np.asarray(truth, dtype=np.int64)
    if not len(truth) or not np.isin(truth, CLASSES).all():
        raise ValueError(
            f"{len(truth)} true views with the values {sorted(set(truth.tolist()))} were given, expected "
            f"at least one and only 0 (front), 1 (rear) and 2 (side); leave unknown ones out"
        )
    likeliest, confidences = decide(probabilities, 0.0)
    labels, _ = decide(probabilities, min_confidence)
    right, ends, labelled = likeliest == truth, truth != View.SIDE, labels != View.UNKNOWN
    columns = [*CLASSES, View.UNKNOWN]
    return {
        "images": len(truth),
        "min_confidence": float(min_confidence),
        "accuracy": _share(right),
        "front_rear_accuracy": _share(right[ends]),
        "coverage": _share(labelled),
        "labelled_accuracy": _share(right[labelled]),
        "labelled_front_rear_accuracy": _share(right[labelled & ends]),
        "calibration_error": _calibration_error(confidences, right),
        "confusion": [[int(((truth == row) & (labels == column)).sum()) for column in columns] for row in CLASSES],
    }


def format_view_report(report):
    """A `view_report` as lines of text.

    Raises:
        ValueError: it is no such report; it may come from a file.
    """
    try:
        return _formatted(report)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"the report of the classifier's accuracy is damaged ({type(error).__name__}: {error}); train "
            "the classifier again"
        ) from error


def _formatted(report):
    rows = [("", *(view.name.lower() for view in CLASSES), "unknown")]
    rows += [(view.name.lower(), *map(str, counts)) for view, counts in zip(CLASSES, report["confusion"], strict=True)]
    table = [f"  {row[0]:>6}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows]
    return "\n".join(
        [
            f"{report['images']} images: accuracy {_percent(report['accuracy'])}, "
            f"front/rear accuracy {_percent(report['front_rear_accuracy'])}, "
            f"calibration error {_percent(report['calibration_error'])}",
            f"labelled at a confidence of {report['min_confidence']:g} or more: {_percent(report['coverage'])}, "
            f"accuracy {_percent(report['labelled_accuracy'])}, "
            f"front/rear accuracy {_percent(report['labelled_front_rear_accuracy'])}",
            "true view (rows) and label (columns):",
            *table,
        ]
    )


def _share(flags):
    return float(flags.mean()) if flags.size else None


def _percent(share):
    return "-" if share is None else f"{100 * share:.2f}%"


def _calibration_error(confidences, right):
    bins = np.minimum((confidences * _BINS).astype(int), _BINS - 1)
    gaps = [abs(float((right[bins == number] - confidences[bins == number]).sum())) for number in range(_BINS)]
    return sum(gaps) / len(right)
