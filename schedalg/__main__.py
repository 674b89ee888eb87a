"""`python -m schedalg`: the command line."""

from schedalg.command_line import main

if __name__ == "__main__":
    main()
