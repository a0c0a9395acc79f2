"""The authors' network as method.md describes it, and its file: what the importer is held against."""

import torch
from torch import nn

LETTERS = "acgnt"
LAYERS = 10


class Mlp(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """x + CircularShift(MLP(x)): 11 groups of channels, group 0 stays, group i is rolled by -2^(i-1)."""

    def __init__(self, dim, hidden):
        super().__init__()
        self.column_transform = Mlp(dim, hidden)

    def forward(self, x):
        first, *others = torch.chunk(self.column_transform(x), LAYERS + 1, dim=-1)
        rolled = [torch.roll(part, -(2**number), dims=1) for number, part in enumerate(others)]
        return x + torch.cat([first, *rolled], dim=-1)


class Stack(nn.Module):
    def __init__(self, parts):
        super().__init__()
        self.SwanDNA_blocks = nn.ModuleList(parts)

    def forward(self, x):
        for part in self.SwanDNA_blocks:
            x = part(x)
        return x


class Authors(nn.Module):
    def __init__(self, dim=308, hidden=512, blocks=4):
        super().__init__()
        self.embedding = nn.Linear(5, dim)
        self.encoder = Stack(Stack(Block(dim, hidden) for _ in range(LAYERS)) for _ in range(blocks))
        self.linear = nn.Linear(dim, 5)

    def forward(self, sequence, class_tokens=10):
        """[L + C, 5] of text, the class tokens (zero rows) last."""
        one_hot = torch.zeros(len(sequence) + class_tokens, 5)
        one_hot[range(len(sequence)), [LETTERS.index(letter) for letter in sequence.lower()]] = 1
        return self.linear(self.encoder(self.embedding(one_hot[None])))[0]


def authors(seed, **sizes):
    torch.manual_seed(seed)
    return Authors(**sizes).eval()


def content(teacher, student, epochs=29):
    return {"Teacher": teacher.state_dict(), "Student": student.state_dict(), "EPOCHS_RUN": epochs}
