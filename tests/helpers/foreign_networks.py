"""State dicts in the layouts of FastReID and TransReID, and what their networks compute, written as plain functions.

Names and shapes are those of the published code; none of our networks is used.
"""

import torch
import torch.nn.functional as F

DEPTHS = {"18x": ([2, 2, 2, 2], False), "50x": ([3, 4, 6, 3], True)}
"""{FastReID's name of a depth: (blocks in each stage, whether they have bottlenecks)}"""


class Names(dict):
    """A state dict under construction, of small random numbers."""

    def conv(self, name, out, into, side, bias=False):
        self[f"{name}.weight"] = torch.randn(out, into, side, side) * (2 / (into * side * side)) ** 0.5
        if bias:
            self[f"{name}.bias"] = 0.1 * torch.randn(out)

    def norm(self, name, channels, running=True):
        self[f"{name}.weight"], self[f"{name}.bias"] = 0.5 + torch.rand(channels), 0.1 * torch.randn(channels)
        if running:
            self[f"{name}.running_mean"], self[f"{name}.running_var"] = (
                0.1 * torch.randn(channels),
                0.5 + torch.rand(channels),
            )
            self[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def linear(self, name, out, into):
        self[f"{name}.weight"], self[f"{name}.bias"] = torch.randn(out, into) * into**-0.5, 0.1 * torch.randn(out)


def resnet_weights(depth="18x", ibn=False, non_local=(0, 0, 0, 0), prefix="backbone."):
    blocks, bottleneck = DEPTHS[depth]
    names, into = Names(), 64
    names.conv(f"{prefix}conv1", 64, 3, 7)
    names.norm(f"{prefix}bn1", 64)
    for stage, (count, planes) in enumerate(zip(blocks, (64, 128, 256, 512)), 1):
        out = planes * (4 if bottleneck else 1)
        for number in range(count):
            at = f"{prefix}layer{stage}.{number}"
            sides = (
                [(1, planes, into), (3, planes, planes), (1, out, planes)]
                if bottleneck
                else [(3, planes, into), (3, out, planes)]
            )
            for place, (side, a, b) in enumerate(sides, 1):
                names.conv(f"{at}.conv{place}", a, b, side)
                if place == 1 and ibn and stage < 4:
                    names.norm(f"{at}.bn1.IN", a // 2, running=False)
                    names.norm(f"{at}.bn1.BN", a - a // 2)
                else:
                    names.norm(f"{at}.bn{place}", a)
            if number == 0 and (stage > 1 or into != out):
                names.conv(f"{at}.downsample.0", out, into, 1)
                names.norm(f"{at}.downsample.1", out)
            into = out
        for number in range(non_local[stage - 1]):
            at = f"{prefix}NL_{stage}.{number}"
            for part in ("g", "theta", "phi"):
                names.conv(f"{at}.{part}", 1, into, 1, bias=True)
                names[f"{at}.{part}.weight"] *= 0.1
            names.conv(f"{at}.W.0", into, 1, 1, bias=True)
            names.norm(f"{at}.W.1", into)
    for name in names:  # residual blocks would add up without a bound
        if name.endswith("bn2.weight" if not bottleneck else "bn3.weight"):
            names[name] *= 0.2
    return names, into


def normalized(w, name, x):
    return F.batch_norm(x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"])


def resnet_maps(w, images, depth="18x", non_local=(0, 0, 0, 0), prefix="backbone.", ceiled=True, first_relu=True):
    blocks, bottleneck = DEPTHS[depth]
    x = normalized(w, f"{prefix}bn1", F.conv2d(images, w[f"{prefix}conv1.weight"], stride=2, padding=3))
    x = F.relu(x) if first_relu else x
    x = F.max_pool2d(x, 3, 2, ceil_mode=True) if ceiled else F.max_pool2d(x, 3, 2, padding=1)
    for stage, count in enumerate(blocks, 1):
        for number in range(count):
            at = f"{prefix}layer{stage}.{number}"
            stride = 2 if number == 0 and stage in (2, 3) else 1  # LAST_STRIDE 1
            y, parts = x, 3 if bottleneck else 2
            for place in range(1, parts + 1):
                weight = w[f"{at}.conv{place}.weight"]
                strided = stride if place == parts - 1 else 1
                y = F.conv2d(y, weight, stride=strided, padding=weight.shape[-1] // 2)
                if f"{at}.bn{place}.IN.weight" in w:
                    half = len(w[f"{at}.bn1.IN.weight"])
                    first = F.instance_norm(y[:, :half], weight=w[f"{at}.bn1.IN.weight"], bias=w[f"{at}.bn1.IN.bias"])
                    y = torch.cat([first, normalized(w, f"{at}.bn1.BN", y[:, half:])], 1)
                else:
                    y = normalized(w, f"{at}.bn{place}", y)
                y = F.relu(y) if place < parts else y
            if f"{at}.downsample.0.weight" in w:
                x = normalized(w, f"{at}.downsample.1", F.conv2d(x, w[f"{at}.downsample.0.weight"], stride=stride))
            x = F.relu(x + y)
            block = number - (count - non_local[stage - 1])
            if block >= 0:
                x = non_local_block(w, f"{prefix}NL_{stage}.{block}", x)
    return x


def non_local_block(w, at, x):
    theta, phi, g = (F.conv2d(x, w[f"{at}.{p}.weight"], w[f"{at}.{p}.bias"]).flatten(2) for p in ("theta", "phi", "g"))
    seen = (torch.einsum("nci,ncj->nij", theta, phi) / phi.shape[2] @ g.transpose(1, 2)).transpose(1, 2)
    seen = F.conv2d(seen.reshape(len(x), -1, *x.shape[2:]), w[f"{at}.W.0.weight"], w[f"{at}.W.0.bias"])
    return x + normalized(w, f"{at}.W.1", seen)


def transformer_weights(dim=192, depth=12, patches=9, local=True, cameras=0):
    names = Names()
    names["base.cls_token"], names["base.pos_embed"] = torch.randn(1, 1, dim), torch.randn(1, 1 + patches, dim)
    if cameras:
        names["base.sie_embed"] = torch.randn(cameras, 1, dim)
    names.conv("base.patch_embed.proj", dim, 3, 16, bias=True)
    places = [f"base.blocks.{number}" for number in range(depth)] + (["b1.0", "b2.0"] if local else [])
    for at in places:
        names.norm(f"{at}.norm1", dim, running=False)
        names.linear(f"{at}.attn.qkv", 3 * dim, dim)
        names.linear(f"{at}.attn.proj", dim, dim)
        names.norm(f"{at}.norm2", dim, running=False)
        names.linear(f"{at}.mlp.fc1", 4 * dim, dim)
        names.linear(f"{at}.mlp.fc2", dim, 4 * dim)
    for at in ["base.norm"] + (["b1.1", "b2.1"] if local else []):
        names.norm(at, dim, running=False)
    names.linear("base.fc", 1000, dim)
    for number in ["", "_1", "_2", "_3", "_4"] if local else [""]:
        names[f"classifier{number}.weight"] = torch.randn(11, dim)
        names.norm(f"bottleneck{number}", dim)
    return names


def transformer_feature(w, images, heads=3, depth=12, stride=16, local=True):
    """The global feature before the bottleneck; with the local branch its last block is b1's."""

    def norm(at, x):
        return F.layer_norm(x, x.shape[-1:], w[f"{at}.weight"], w[f"{at}.bias"], 1e-6)

    def linear(at, x):
        return x @ w[f"{at}.weight"].T + w[f"{at}.bias"]

    def block(at, x):
        n, count, dim = x.shape
        q, k, v = linear(f"{at}.attn.qkv", norm(f"{at}.norm1", x)).view(n, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
        mixed = (q @ k.transpose(-2, -1) * (dim // heads) ** -0.5).softmax(-1) @ v
        x = x + linear(f"{at}.attn.proj", mixed.transpose(1, 2).reshape(n, count, dim))
        return x + linear(f"{at}.mlp.fc2", F.gelu(linear(f"{at}.mlp.fc1", norm(f"{at}.norm2", x))))

    at = "base.patch_embed.proj"
    x = F.conv2d(images, w[f"{at}.weight"], w[f"{at}.bias"], stride=stride).flatten(2).transpose(1, 2)
    x = torch.cat([w["base.cls_token"].expand(len(x), -1, -1), x], 1) + w["base.pos_embed"]
    for number in range(depth - local):
        x = block(f"base.blocks.{number}", x)
    x = norm("b1.1", block("b1.0", x)) if local else norm("base.norm", x)
    return x[:, 0]
