"""The fuzzing kit: random, wrong and hostile specs, each in a child process with limits.

python -m tests.fuzz --help        # the long run; tests/test_fuzz.py has a share of it
"""
