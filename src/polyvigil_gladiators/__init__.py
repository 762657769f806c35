"""The paper's tables, run again: what is missing is trained, and the paper's figure stands beside the measured one."""
