//! The runner as its users meet it: the program, run as root and as an ordinary user.

#[path = "it/net/mod.rs"]
mod net;
#[path = "it/program.rs"]
mod program;
