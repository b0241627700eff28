"""``python -m tvm_book`` is the command ``tvm-book``."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="tvm-book")
