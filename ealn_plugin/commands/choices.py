"""What the arguments of the command lines may be, where the room that knows it imports torch.

Each is a copy that a test compares with its original, so that a help text costs no import of torch.
"""

PROTOCOLS = (
    "image",
    "veri_image",
    "veri_track",
    "vehicleid_cmc",
    "vehicleid_map",
    "same_view",
    "cross_view",
    "all_views",
)
"""ealn_plugin.evaluation.protocols"""

VIEWS = ("front", "rear", "side", "unknown")
"""ealn_plugin.data.viewpoints.View"""

LAYOUTS = ("veri776", "vehicleid")
RENDERED = ("tiny", "small", "full")
"""ealn_plugin.data.synthetic: layouts and PRESETS"""

PLACES, WHERE_WEIGHT = ("distance", "transitions"), 0.5
"""ealn_plugin.evaluation.spatio_temporal: FORMS; ealn_plugin.search.places: WEIGHT"""

FIGURES = {
    4: "CMC curves",
    5: "hard negatives",
    6: "other views",
    7: "hard negatives during training",
    8: "response maps",
    9: "distances",
    10: "sensitivity to beta1 and beta2",
    11: "losses",
}
"""ealn_plugin.reports.figures"""

EXPORT_FORMATS, EXPORT_PACKAGES, OPSETS = ("onnx", "program"), ("onnx", "onnxscript", "onnxruntime"), (18, 23)
WEIGHTS_FORMAT = "safetensors"
"""ealn_plugin.export: formats and weights_file"""

REPORT_PACKAGES = ("jinja2", "matplotlib")
"""ealn_plugin.reports.html.page"""

ABLATION = ("en", "hard", "view", "hard_view")
"""ealn_plugin.runs.compared"""

GRID_SCHEMES, GRID_PRESETS = ("en", "hard", "view", "hard_view", "cyclegan", "stargan"), ("demo", "full")
"""ealn_plugin.runs.grid"""

SEARCH_SPLITS, SEARCH_KINDS, FLAT_UP_TO, RECALL_AT = ("train", "query", "gallery"), ("auto", "flat", "ivf"), 20_000, 10
SEARCH_ENGINES = ("lance", "milvus", "faiss")
ENGINE_PACKAGES = {
    "lance": ("lance", "pylance"),
    "milvus": ("pymilvus", "pymilvus milvus-lite"),
    "faiss": ("faiss", "faiss-cpu"),
}
"""The module of an engine, and what is installed to have it."""
SEARCH_GROUPS, TARGET_RECALL = ("vehicle", "camera", "track"), 0.97
"""ealn_plugin.search: gallery, writer, neighbours, writer"""

DETECT_CLASSES = ("car", "motorcycle", "bus", "truck")
VIDEOS = (".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mpg", ".mpeg", ".ts")
"""ealn_plugin.detection: detector, video"""

PRECISIONS = ("bf16", "fp16", "fp32")
"""ealn_plugin.inference.extractor"""

RANK_SIZES = ("small", "vehicleid_large", "veri776")
"""ealn_plugin.benchmark.rank"""

WEIGHTS_HELP = (
    "its weights: torchreid checkpoint, state dict or safetensors, or hf:OWNER/NAME; alone, without --model, where "
    "they say which network they belong to, as those of the export do"
)
