//! The runner as its users meet it: the program, run as root and as an ordinary user.

#[path = "it/program.rs"]
mod program;
#[path = "it/net/mod.rs"]
mod net;
