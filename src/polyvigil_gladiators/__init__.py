"""The paper's tables, run again: what is missing is trained, and the paper's metric stands beside the measured one."""
