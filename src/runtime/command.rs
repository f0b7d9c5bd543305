//! Runs a command-line tool: with a time limit, no stdin, no secret in argv, cancellable.
