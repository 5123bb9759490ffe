//! The part of Go's text/template that people write for `inspect --format`.
//!
//! There are fields and keys (`.Labels.maintainer`), variables, `if`, `with`, `range` with `else`, comments and trimming,
//! pipelines and parentheses, and the functions of [`function`]. There are no templates inside of templates (`define`,
//! `template`, `block`), no `break` and `continue`, no methods, and no numbers that are not whole.
//!
//! A template is read once and bounded in length and depth; what it does is bounded in steps and output.

mod eval;
mod function;
mod lex;
mod parse;
#[cfg(test)]
mod tests;

use super::Value;
use crate::{Error, Result};

/// Bytes of a template.
const MAX_TEMPLATE: usize = 64 * 1024;
/// Blocks and parentheses inside of each other.
const MAX_DEPTH: usize = 64;
/// Nodes that are evaluated in one run.
const MAX_STEPS: usize = 1_000_000;
/// Bytes of output.
const MAX_OUTPUT: usize = 64 * 1024 * 1024;

/// Renders `data` through a template. As Skopeo does: `\n` and `\t` are read as a line end and a tab, and the output ends
/// in a line end.
///
/// # Errors
/// `Error::Usage` with the place and the fault, both for templates that cannot be read and for those that ask for what
/// the data has not.
pub fn render(template: &str, data: &Value) -> Result<String> {
    let text = template.replace("\\n", "\n").replace("\\t", "\t");
    let text = if text.ends_with('\n') { text } else { text + "\n" };
    let run = || {
        if text.len() > MAX_TEMPLATE {
            return Err(format!("it is longer than {MAX_TEMPLATE} bytes"));
        }
        if text.starts_with("table ") {
            return Err("tables are not made here; write the columns with \\t between them".to_owned());
        }
        let nodes = parse::parse(lex::split(&text)?)?;
        eval::run(&nodes, data)
    };
    run().map_err(|fault| Error::Usage(format!("the template of --format: {fault}")))
}
