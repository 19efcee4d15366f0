"""optimizers.json: 20-step trajectories of an MLP under each optimizer and schedule, from PyTorch in f64."""

import torch
from torch import nn
from torch.optim import lr_scheduler

from common import tensor, write

N_STEPS = 20
SIZES = [5, 7, 3]
N_BATCHES, BATCH = 4, 6

SGD = {"kind": "SGD", "lr": 0.1, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
ADAM = {"kind": "Adam", "lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
ADAMW = ADAM | {"kind": "AdamW", "weight_decay": 0.01}
COSINE = {"kind": "CosineAnnealingLR", "T_max": 20, "eta_min": 0.0}
WARM_UP = {"kind": "LinearLR", "start_factor": 0.1, "end_factor": 1.0, "total_iters": 5}
BOTH = {"kind": "SequentialLR", "milestones": [5], "schedulers": [WARM_UP, COSINE | {"T_max": 15}]}

# name, optimizer, what differs from the plain loop
CASES = [
    ("sgd", SGD, {}),
    ("sgd_momentum", SGD | {"momentum": 0.9}, {}),
    ("sgd_nesterov", SGD | {"momentum": 0.9, "nesterov": True}, {}),
    ("sgd_dampening", SGD | {"momentum": 0.9, "dampening": 0.1}, {}),
    ("sgd_weight_decay", SGD | {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, {}),
    ("sgd_plain_weight_decay", SGD | {"weight_decay": 0.01}, {}),
    ("sgd_dampening_weight_decay", SGD | {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.02}, {}),
    ("adam", ADAM, {}),
    ("adam_weight_decay", ADAM | {"weight_decay": 0.01}, {}),
    ("adam_other", ADAM | {"lr": 0.02, "betas": [0.8, 0.95], "eps": 1e-4}, {}),
    ("adamw", ADAMW, {}),
    ("adam_thawed", ADAM | {"weight_decay": 0.01}, {"frozen": {"0": 6}}),
    ("sgd_thawed", SGD | {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}, {"frozen": {"0": 6}}),
    ("adamw_other", ADAMW | {"betas": [0.7, 0.98], "weight_decay": 0.1}, {}),
    ("sgd_clip", SGD, {"clip_norm": 0.5}),
    ("sgd_clip_at_times", SGD, {"clip_norm": 0.95}),
    ("adam_clip", ADAM, {"clip_norm": 0.5}),
    ("adamw_clip", ADAMW, {"clip_norm": 0.5}),
    ("sgd_l1", SGD, {"l1": 1e-3}),
    ("sgd_l2", SGD, {"l2": 1e-3}),
    ("sgd_cosine", SGD, {"schedule": COSINE}),
    ("sgd_warm_up", SGD, {"schedule": WARM_UP}),
    ("sgd_warm_up_cosine", SGD, {"schedule": BOTH}),
    ("adamw_warm_up_cosine", ADAMW, {"schedule": BOTH}),
]


def network():
    return nn.Sequential(nn.Linear(SIZES[0], SIZES[1]), nn.Tanh(), nn.Linear(SIZES[1], SIZES[2])).double()


def schedule(optimizer, config):
    if config is None:
        return None
    arguments = {k: v for k, v in config.items() if k not in ("kind", "schedulers")}
    if "schedulers" in config:
        arguments["schedulers"] = [schedule(optimizer, part) for part in config["schedulers"]]
    return getattr(lr_scheduler, config["kind"])(optimizer, **arguments)


def train(start, batches, config, clip_norm=None, l1=0.0, l2=0.0, schedule_config=None, frozen=None):
    """frozen: {"0": 6} keeps layer 0 as it is in the first 6 steps."""
    net = network()
    net.load_state_dict(start)
    arguments = {k: tuple(v) if k == "betas" else v for k, v in config.items() if k != "kind"}
    optimizer = getattr(torch.optim, config["kind"])(net.parameters(), foreach=False, **arguments)
    scheduler = schedule(optimizer, schedule_config)
    record = {"lr": [], "loss": [], "grad_norm": [], "params": []}
    for step in range(N_STEPS):
        x, y = batches[step % N_BATCHES]
        optimizer.zero_grad()
        for layer, steps in (frozen or {}).items():
            getattr(net, layer).requires_grad_(step >= steps)
        loss = nn.functional.cross_entropy(net(x), y)
        for name, p in net.named_parameters():
            if name.endswith("weight"):
                loss = loss + l1 * p.abs().sum() + l2 / 2 * (p * p).sum()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), clip_norm or float("inf"), foreach=False)
        record["lr"].append(optimizer.param_groups[0]["lr"])
        record["loss"].append(loss.item())
        record["grad_norm"].append(norm.item())
        optimizer.step()
        if scheduler:
            scheduler.step()
        record["params"].append({k: p.detach().flatten().tolist() for k, p in net.named_parameters()})
    return record


def generate():
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(20)
    # Larger than PyTorch's own, so that gradients are large enough to clip.
    start = {k: 1.5 * p.detach().clone() for k, p in network().state_dict().items()}
    batches = [(1.5 * torch.randn(BATCH, SIZES[0]), torch.randint(0, SIZES[2], (BATCH,))) for _ in range(N_BATCHES)]
    rows = []
    for name, config, extra in CASES:
        options = {"clip_norm": None, "l1": 0.0, "l2": 0.0, "schedule": None, "frozen": None} | extra
        record = train(start, batches, config, *options.values())
        rows.append({"name": name, "optimizer": config} | options | record)
    clipped = [n > 0.95 for n in next(r for r in rows if r["name"] == "sgd_clip_at_times")["grad_norm"]]
    assert any(clipped) and not all(clipped), "clipping must act at some steps and rest at others"
    header = {
        "source": f"PyTorch {torch.__version__.split('+')[0]}, f64, CPU",
        "layers": SIZES,
        "initial": {k: tensor(p.numpy()) for k, p in start.items()},
        "batches": [{"x": tensor(x.numpy()), "y": tensor(y.numpy())} for x, y in batches],
    }
    write("optimizers.json", header, "cases", rows)


if __name__ == "__main__":
    generate()
