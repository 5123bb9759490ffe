//! Policies, good and hostile, and images against them.

mod images;
mod parsing;
mod vectors;
