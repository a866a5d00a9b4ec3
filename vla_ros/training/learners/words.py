"""Teach a small sentence encoder to understand before anything is shown to it.

Whatever way a goal is said, the vector of the sentence must give back the words of the plain
sentence, each by a linear layer: so colours, shapes and places lie apart in it. It takes seconds,
and needs of the demonstrations only what they were asked for. Then the encoder is left alone: what
a few demonstrations say of words would spoil it.

B sentences, P words of a plain sentence, V words that there are, L tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vla_ros.policies.cliport.language import WordEncoder
from vla_ros.policies.vla.tokenizer import Tokenizer, words_of
from vla_ros.training.speech import Speech
from vla_ros.training.trainer import cosine

STEPS, SENTENCES = 800, 64
LEARNING_RATE, WARM_UP_STEPS = 2e-3, 40


def teach_words(
    encoder: WordEncoder, tokenize: Tokenizer, plain: Sequence[str], seed: int
) -> float:
    """Train an encoder in place; return which share of sentences it understood in the end.

    Args:
        encoder: of sentences; on the CPU.
        tokenize: sentences to ids and mask.
        plain: a sentence for each goal that there is.
        seed: of what is said; the layers that give words back are drawn from torch's.
    """
    words, speech = _plain_words(plain), Speech(plain, seed)
    rng = np.random.default_rng([seed, 23])
    places, known = words.shape[1], int(words.max()) + 1
    readout = nn.Linear(encoder.width, places * known)
    parameters = [*encoder.parameters(), *readout.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, cosine(STEPS, WARM_UP_STEPS))
    understood: list[float] = []
    for _ in range(STEPS):
        rows = rng.integers(0, len(plain), SENTENCES)
        ids_BL, mask_BL = map(torch.from_numpy, tokenize([speech.say(int(row)) for row in rows]))
        logits_BPV = readout(encoder(ids_BL, mask_BL)).view(SENTENCES, places, known)
        loss = functional.cross_entropy(logits_BPV.flatten(0, 1), words[rows].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        right = (logits_BPV.argmax(-1) == words[rows]).all(1)
        understood.append(float(right.float().mean()))
    return float(np.mean(understood[-STEPS // 10 :]))


def _plain_words(plain: Sequence[str]) -> torch.Tensor:
    """Return the numbers of the words of sentences, one a row; 0 after the last."""
    split = [words_of(text) for text in plain]
    number = {word: k for k, word in enumerate(sorted(set().union(*split)), start=1)}
    table = np.zeros((len(split), max(map(len, split))), np.int64)
    for row, words in zip(table, split, strict=True):
        row[: len(words)] = [number[word] for word in words]
    return torch.from_numpy(table)
