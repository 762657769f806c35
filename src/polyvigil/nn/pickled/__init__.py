"""PyTorch checkpoints as safetensors. The only code of the program that reads pickles: imported by workflows.convert
and by the child process that it starts, by nothing else (docs/decisions/0013-convert.md)."""
