"""A language model of LSTM layers, with the parameter names of PyTorch's word-language-model example.

Zaremba, Sutskever, Vinyals: "Recurrent Neural Network Regularization", 2014; tied weights after Press and Wolf, 2016.
"""

from __future__ import annotations

from typing import Any

import squall as sq
import squall.nn.functional as F
from squall import nn


class LSTMLanguageModel(nn.Module):
    """Embeddings, LSTM layers, and the scores of the next token at every position.

    Args:
        vocab_size: tokens there are. embedding_size, hidden_size: features of a token and of the state. num_layers:
        LSTMs above each other. dropout: probability after the embeddings, between layers and after the last. tied: use
        the token table as last layer.

    Raises:
        ValueError: when weights are tied and embedding_size is not hidden_size.

    Example:
        >>> import squall as sq
        >>> model = LSTMLanguageModel(20, 8, 8, num_layers=1)
        >>> logits, state = model(sq.zeros(2, 5, dtype=sq.int64))
        >>> logits.shape, state[0].shape
        (squall.Size([2, 5, 20]), squall.Size([1, 2, 8]))
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int = 200,
        hidden_size: int = 200,
        num_layers: int = 2,
        dropout: float = 0.0,
        tied: bool = False,
    ) -> None:
        super().__init__()
        if tied and embedding_size != hidden_size:
            raise ValueError(
                f"LSTMLanguageModel: tied weights need embedding_size={embedding_size} to be hidden_size={hidden_size}"
            )
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(vocab_size, embedding_size)
        between = dropout if num_layers > 1 else 0.0
        self.rnn = nn.LSTM(embedding_size, hidden_size, num_layers, batch_first=True, dropout=between)
        self.decoder = nn.Linear(hidden_size, vocab_size)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        if tied:
            self.decoder.weight = self.encoder.weight

    def forward(self, tokens: Any, state: Any = None) -> tuple[Any, Any]:
        """Scores of the next tokens, and the state to go on from.

        Args:
            tokens: int64 of shape (batch, length). state: what an earlier call gave, None at the beginning.

        Returns:
            (batch, length, vocab_size), and two Tensors of shape (num_layers, batch, hidden_size).
        """
        out, state = self.rnn(self.drop(self.encoder(tokens)), state)
        return self.decoder(self.drop(out)), state

    def generate(self, tokens: Any, count: int, temperature: float = 1.0, generator: Any = None) -> Any:
        """Continue sequences token by token; every position is computed once.

        Args:
            tokens: int64 of shape (batch, length). count: tokens to add. temperature: 0 always takes the likeliest
            token, more is bolder. generator: the random source.

        Returns:
            Shape (batch, length + count).
        """
        training = self.training
        self.eval()
        parts, fresh, state = [tokens], tokens, None
        try:
            with sq.no_grad():
                for _ in range(count):
                    logits, state = self(fresh, state)
                    last = logits[:, -1]
                    if temperature == 0:
                        fresh = last.argmax(-1, keepdim=True)
                    else:
                        fresh = sq.multinomial(F.softmax(last / temperature, -1), 1, generator=generator)
                    sq.flush()
                    parts.append(fresh)
        finally:
            self.train(training)
        return sq.cat(parts, 1)
