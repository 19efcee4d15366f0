"""layers.json: outputs and gradients of layers and losses, from PyTorch in f64."""

import torch
from torch import nn

from common import tensor, write


def numbers(*shape, scale=1.5):
    return scale * torch.randn(shape)


torch.set_default_dtype(torch.float64)

# At ties, far out on both sides (where a naive formula overflows), and in between.
WIDE = torch.tensor([[0.0, 1000.0, -1000.0, 3.0], [-0.5, 40.0, -40.0, 1e-9], [1.0, 1.0, 1.0, 1.0]])
# A row without variance shows eps.
FLAT = torch.tensor([[2.0, 2.0, 2.0, 2.0, 2.0], [1.0, -1.0, 0.5, 3.0, 0.0]])

ACTIVATIONS = {
    "Relu": nn.ReLU(),
    "Tanh": nn.Tanh(),
    "Sigmoid": nn.Sigmoid(),
    "Gelu": nn.GELU(),
    "Silu": nn.SiLU(),
    # PyTorch's own threshold of 20 makes it linear there, which is off by 2e-9.
    "Softplus": nn.Softplus(threshold=700),
    "Softmax": nn.Softmax(-1),
    "LogSoftmax": nn.LogSoftmax(-1),
}


def layers():
    """name, arguments, PyTorch's layer, inputs."""
    yield "Linear", {"in": 5, "out": 3}, nn.Linear(5, 3), [numbers(2, 5), numbers(2, 4, 5), numbers(5), numbers(0, 5)]
    yield "Linear", {"in": 5, "out": 3, "bias": False}, nn.Linear(5, 3, bias=False), [numbers(2, 5)]
    for eps in (1e-5, 1e-3):
        norm = nn.LayerNorm(5, eps=eps)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        yield "LayerNorm", {"features": 5, "eps": eps}, norm, [numbers(3, 5), numbers(2, 3, 5), numbers(5), FLAT, numbers(0, 5)]
    for name, layer in ACTIVATIONS.items():
        yield name, {}, layer, [WIDE, numbers(2, 3, 4), numbers(0, 4)]
    mlp = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.GELU(), nn.Linear(7, 3), nn.LogSoftmax(-1))
    yield "Sequential", {}, mlp, [numbers(4, 5), numbers(1, 5)]


def losses():
    """name, PyTorch's function, inputs, targets."""
    classes = lambda *shape: torch.randint(0, 4, shape)
    # PyTorch wants the classes on axis 1, we on the last.
    cross = lambda x, t: nn.functional.cross_entropy(x.movedim(-1, 1), t)
    cases = [(numbers(5, 4), classes(5)), (numbers(2, 3, 4), classes(2, 3)), (WIDE, torch.tensor([1, 2, 3]))]
    for x, t in cases + [(numbers(1, 4), classes(1))]:
        yield "cross_entropy", cross, x, t
    for shape in ((3, 4), (2, 3, 1), (), (1,)):
        yield "mse_loss", nn.functional.mse_loss, numbers(*shape), numbers(*shape)
    bce = nn.functional.binary_cross_entropy_with_logits
    for x, t in [(numbers(5), torch.rand(5)), (WIDE, (torch.rand(3, 4) > 0.5).double()), (numbers(2, 3), torch.rand(2, 3))]:
        yield "binary_cross_entropy_with_logits", bce, x, t


def generate():
    torch.set_num_threads(1)
    torch.manual_seed(7)
    rows = []
    for name, arguments, layer, inputs in layers():
        named = dict(layer.named_parameters())
        for x in inputs:
            x = x.clone().requires_grad_()
            y = layer(x)
            d = torch.randn_like(y)
            dx, *dp = torch.autograd.grad((y * d).sum(), [x, *named.values()])
            parameters = {k: tensor(p.detach().numpy()) for k, p in named.items()}
            gradients = {k: tensor(g.numpy()) for k, g in zip(named, dp)}
            values = {"x": x.detach(), "y": y.detach(), "d": d, "dx": dx}
            rows.append(
                {"layer": name, "arguments": arguments, "params": parameters, "dparams": gradients}
                | {k: tensor(v.numpy()) for k, v in values.items()}
            )
    for name, function, x, target in losses():
        x = x.clone().requires_grad_()
        y = function(x, target)
        (dx,) = torch.autograd.grad(y, [x])
        values = {"x": x.detach(), "target": target, "y": y.detach(), "dx": dx}
        rows.append({"loss": name} | {k: tensor(v.numpy()) for k, v in values.items()})
    write("layers.json", {"source": f"PyTorch {torch.__version__.split('+')[0]}, f64, CPU"}, "cases", rows)


if __name__ == "__main__":
    generate()
