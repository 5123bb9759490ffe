//! What is printed: tables for people, JSON for scripts, `--format` with podman's templates for both.
