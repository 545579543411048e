"""`parallel_student.py OUT [ddp|fsdp]` trains under torchrun or alone on the same batches, writes weights and rounds.

Under FSDP2 the optimizer is made after the probe's forward, which would leave it with parameters of no use.
"""

import os
import sys

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from optima_lab import Optima

alone = "RANK" not in os.environ
if not alone:
    distributed.init_process_group("gloo")
rank, processes = (0, 1) if alone else (distributed.get_rank(), distributed.get_world_size())

torch.manual_seed(0)
sizes = ((8, 2), (12, 4))
student, teacher = (VisionTransformer(8, 4, embed_dim=w, depth=n, num_heads=2, num_classes=3) for w, n in sizes)
pictures = torch.randn(13, 8, 3, 8, 8)
torch.manual_seed(rank)  # as loaders and dropout have it
way = "" if alone else sys.argv[2]
if way == "fsdp":
    for part in (*student.blocks, student):
        fully_shard(part, mesh=init_device_mesh("cpu", (processes,)))
wrapped = DistributedDataParallel(student) if way == "ddp" else student
optima = Optima(
    wrapped,
    teacher,
    probe=pictures[0],
    modules={"image": "blocks.*"},
    groups=2,
    policy="linear_ts",
    round_steps=2,
    task=lambda output, batch: output.square().mean(),
)
optimizer = torch.optim.SGD([*student.parameters(), *optima.parameters()], lr=0.1)
for batch in pictures[1:]:
    optimizer.zero_grad()
    optima.loss(batch.chunk(processes)[rank]).backward()
    optimizer.step()
    optima.step()

whole = [getattr(weight, "full_tensor", lambda weight=weight: weight)() for weight in student.state_dict().values()]
mine = {
    "weights": [*whole, *optima.state_dict()["projections"].values()],
    "arms": [record["arm"] for record in optima.rounds.records],
    "rewards": [record["reward"] for record in optima.rounds.records],
}
everyone = [mine] * processes
if not alone:
    distributed.all_gather_object(everyone, mine)
    distributed.destroy_process_group()
if rank == 0:
    torch.save(everyone, sys.argv[1])
