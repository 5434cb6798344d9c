"""Installation of ealn_plugin; the versions it was tested with are in constraints.txt."""

import ast
import pathlib

from setuptools import find_packages, setup

here = pathlib.Path(__file__).parent


def version():
    """``__version__`` of the package, which is not imported for it: that takes torch."""
    tree = ast.parse((here / "ealn_plugin" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__version__":
            return ast.literal_eval(node.value)
    raise RuntimeError("ealn_plugin/__init__.py has no __version__; give it one")


EXTRAS = {
    "figures": ["matplotlib"],
    "search": ["pylance"],
    "serve": ["fastapi", "uvicorn", "python-multipart", "pylance"],
    "detect": ["onnxruntime", "supervision>=0.30,<0.31", "pylance"],
    "report": ["jinja2", "matplotlib"],
    "export": ["onnx", "onnxscript", "onnxruntime"],
    "hub": ["huggingface_hub>=1.0"],
    "timm": ["timm"],
}
EXTRAS["all"] = sorted({package for packages in EXTRAS.values() for package in packages})
# heavy, and so neither in "all" nor tested in CI; CONTRIBUTING.md has the command
HEAVY = {"wandb": ["wandb"], "mlflow": ["mlflow"], "cluster": ["ray"]}
DOCS = ["mkdocs", "mkdocstrings[python]"]

setup(
    name="ealn_plugin",
    version=version(),
    description="Vehicle re-identification with Embedding Adversarial Learning (EALN) as a plugin of torchreid",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=[*find_packages(include=["ealn_plugin", "ealn_plugin.*"]), "ealn_plugin.configs", "ealn_cli"],
    package_dir={"ealn_plugin.configs": "configs", "ealn_cli": "tools/ealn_cli"},
    package_data={
        "ealn_plugin": ["py.typed", "weights/*.safetensors"],
        "ealn_plugin.reports.html": ["*.jinja"],
        "ealn_plugin.serving": ["page/*"],
        "ealn_plugin.configs": ["*.yaml", "compared/*.yaml"],
    },
    entry_points={"console_scripts": ["ealn = ealn_cli:main"]},
    install_requires=[
        "torch>=2.4",
        "torchvision",
        "torchreid>=0.2.5",
        "numpy>=2.0",
        "scipy",
        "Pillow>=10.1",
        "opencv-python-headless",
        "tensorboard",
        "tqdm",
        "yacs",
        "safetensors",
        # torchreid imports these without declaring them
        "gdown",
    ],
    extras_require={
        **EXTRAS,
        **HEAVY,
        "docs": DOCS,
        "test": ["pytest", "pytest-xdist", "hypothesis", "mypy", "ruff", *EXTRAS["all"]],
    },
)
