//! The runner as its users meet it: the program, run as root and as an ordinary user.

#[path = "it/image/mod.rs"]
mod image;
#[path = "it/program.rs"]
mod program;
