"""Hugging Face's `Trainer` with UDS: every batch is scored, and its best samples are trained on.

    trainer = UDSTrainer(
        model, args, train_dataset=data, data_collator=collator,
        selector=OnlineSelector(model.config.vocab_size, keep=1),
    )

`per_device_train_batch_size` is the number of candidates B, of which `selector.keep` are trained on.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from winnow.selectors.online import OnlineSelector


class UDSTrainer(Trainer):
    """A `Trainer` that trains on what its selector keeps of each micro-batch.

    One more forward pass without gradients scores the candidates; it runs in training mode, as the
    authors' does, so that dropout is active where the model has any. The loss is the mean over the
    labels of what was kept, and the mean of these means over accumulated micro-batches, for how many
    labels the later ones will keep is not known. A tensor whose first dimension is not the number of
    samples goes through whole.

    Checkpoints hold the selector's state beside the optimizer's, one file per process, so a resumed
    run selects as an uninterrupted one; `save_only_model` leaves it out, as it does the optimizer's.
    """

    def __init__(self, *args: Any, selector: OnlineSelector, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.selector = selector

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        del num_items_in_batch  # counts the labels of all candidates
        if self.selector.due:
            inputs = self._keep(model, self._prepare_inputs(inputs))
        else:
            self.selector.skip()
        return super().training_step(model, inputs, None)

    def _keep(self, model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        model.train()
        unlabelled = {name: value for name, value in inputs.items() if name != "labels"}
        with torch.no_grad(), self.compute_loss_context_manager():
            logits = model(**unlabelled).logits
        kept = self.selector(logits, inputs.get("attention_mask"), inputs.get("labels"))
        n = len(logits)
        return {
            name: value[kept.to(value.device)]
            if torch.is_tensor(value) and value.ndim and len(value) == n
            else value
            for name, value in inputs.items()
        }

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        torch.save(self.selector.state_dict(), self._state_file(output_dir))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            state = torch.load(self._state_file(checkpoint), map_location="cpu", weights_only=True)
            self.selector.load_state_dict(state)

    def _state_file(self, folder: str) -> Path:
        return Path(folder) / f"uds_selector_{self.args.process_index}.pt"
