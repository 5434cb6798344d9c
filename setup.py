"""Installation of ealn_plugin; the versions it was tested with are in constraints.txt."""

import pathlib

from setuptools import find_packages, setup

here = pathlib.Path(__file__).parent

setup(
    name="ealn_plugin",
    version="0.1.0",
    description="Vehicle re-identification with Embedding Adversarial Learning (EALN) as a plugin of torchreid",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["ealn_plugin", "ealn_plugin.*"]),
    package_data={"ealn_plugin.reports.html": ["*.jinja"]},
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
        # torchreid imports these without declaring them
        "gdown",
    ],
    extras_require={
        "figures": ["matplotlib"],
        "search": ["faiss-cpu"],
        "report": ["jinja2", "matplotlib"],
        "export": ["onnx", "onnxscript", "onnxruntime"],
        "test": [
            "pytest",
            "pytest-xdist",
            "hypothesis",
            "ruff",
            "matplotlib",
            "faiss-cpu",
            "jinja2",
            "onnx",
            "onnxscript",
            "onnxruntime",
        ],
    },
)
