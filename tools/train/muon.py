"""Muon for hidden weight matrices, AdamW for the rest: fewer steps than AdamW alone where steps are dear.

Momentum is orthogonalised by a Newton-Schulz iteration (K. Jordan et al., 2024), scaled to AdamW's usual step size.
"""

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 4


def orthogonalise(batch):
    """Approximately the nearest orthogonal matrices to `batch`, (matrices, rows, columns)."""
    a, b, c = COEFFICIENTS
    tall = batch.shape[1] > batch.shape[2]
    x = batch.transpose(1, 2) if tall else batch
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    def __init__(self, groups, lr, momentum=0.95):
        super().__init__(groups, dict(lr=lr, momentum=momentum, weight_decay=0.0))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(weight.shape, []).append(weight)
            for shape, weights in by_shape.items():
                updates = orthogonalise(torch.stack([self._momentum(w, group["momentum"]) for w in weights]))
                size = group["lr"] * 0.2 * max(shape) ** 0.5
                for weight, update in zip(weights, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-size)

    def _momentum(self, weight, momentum):
        state = self.state[weight]
        if "buffer" not in state:
            state["buffer"] = torch.zeros_like(weight)
        state["buffer"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(state["buffer"], momentum)
